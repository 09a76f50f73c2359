package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"cheeseboard/storage/pypi"
)

// The variables that make a writer of the test's program.
const (
	writerDir   = "CHEESEBOARD_TEST_WRITER"
	writerRound = "CHEESEBOARD_TEST_ROUND"
	writerBoot  = "CHEESEBOARD_TEST_BOOT" // since when the machine runs, for the writer
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		round, err := strconv.Atoi(os.Getenv(writerRound))
		if err == nil {
			err = write(dir, uint64(round))
		}
		say("error", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// say reports a step. What has been said has happened: it is one write to a pipe.
func say(words ...any) { _, _ = os.Stdout.WriteString(fmt.Sprintln(words...)) }

// The life of a project that a writer follows: version v of its page names the
// files v to v+window-1, so that each version brings a file and takes one away.
const window = 6

var lives = []pypi.Name{"ash", "beech", "cedar", "deal"}

// giantLife is a project whose page does not fit into one transaction. Its files
// are only named.
const giantLife pypi.Name = "giant"

func lifeFile(name pypi.Name, i int) (Ref, []byte) {
	b := content(int(name[0])*1000+i, 20_000+i%5*40_000)
	return Ref{Name: name, Digest: sum(b), Filename: fmt.Sprintf("%s-%d.tar.gz", name, i)}, b
}

func lifePage(name pypi.Name, version int) *pypi.Project {
	p := &pypi.Project{Name: name, LastSerial: int64(version)}
	if name == giantLife {
		for i := range 20_000 {
			var d pypi.Digest
			copy(d[:], fmt.Sprintf("%d of version %d", i, version))
			p.Files = append(p.Files, stated(fmt.Sprintf("giant-%d-%d.tar.gz", version, i), d, 1))
		}
		return p
	}
	for i := version; i < version+window; i++ {
		ref, b := lifeFile(name, i)
		p.Files = append(p.Files, stated(ref.Filename, ref.Digest, int64(len(b))))
	}
	return p
}

func stated(filename string, d pypi.Digest, size int64) pypi.File {
	return pypi.File{
		Filename: filename, URL: "https://files.example/" + filename, Size: size,
		Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: d.String()}},
	}
}

// write has several writers change a store at once, each the lives of its own, so
// that their changes are committed together.
func write(dir string, round uint64) error {
	store, err := Open(dir, Options{Reserve: -1, SyncEvery: 32 << 10, BootID: os.Getenv(writerBoot)})
	if err != nil {
		return err
	}
	say("open")
	failed := make(chan error)
	for i, own := range [][]pypi.Name{lives[:2], lives[2:3], lives[3:]} {
		w := &writer{rand: rand.New(rand.NewPCG(round, 3+uint64(i))), store: store, lives: own, giant: i == 0}
		go func() { failed <- w.run() }()
	}
	return <-failed
}

// writer changes a store at random until it is killed, and says what it does:
// "will" before a page is changed, and what has been acknowledged.
type writer struct {
	rand  *rand.Rand
	store *Store
	lives []pypi.Name
	giant bool // it follows the giant too
}

func (w *writer) run() (err error) {
	for {
		name := w.lives[w.rand.IntN(len(w.lives))]
		switch n := w.rand.IntN(60); {
		case n < 15:
			err = w.turn(name)
		case n == 16:
			err = w.remove(name)
		case n == 17 && w.giant:
			err = w.turn(giantLife)
		case n == 18 && w.giant:
			err = w.remove(giantLife)
		case n < 22:
			err = w.turnAll()
		default:
			err = w.bring(name)
		}
		if err != nil {
			return err
		}
	}
}

// turn stores the next version of a page.
func (w *writer) turn(name pypi.Name) error {
	info, _, err := w.store.Info(name)
	if err != nil {
		return err
	}
	next := int(info.Serial) + 1
	say("will", name, next)
	if err := w.store.PutProject(lifePage(name, next)); err != nil {
		return err
	}
	say("page", name, next)
	return nil
}

// turnAll stores the next versions of all its pages in one go, each with a note that
// tells its version.
func (w *writer) turnAll() error {
	var updates []Update
	for _, name := range w.lives {
		info, _, err := w.store.Info(name)
		if err != nil {
			return err
		}
		next := int(info.Serial) + 1
		say("will", name, next)
		updates = append(updates, Update{Project: lifePage(name, next), State: &State{Value: strconv.AppendInt(nil, int64(next), 10)}})
	}
	if err := errors.Join(w.store.PutProjects(updates)...); err != nil {
		return err
	}
	for _, u := range updates {
		say("page", u.Project.Name, u.Project.LastSerial)
		say("noted", u.Project.Name, u.Project.LastSerial)
	}
	return nil
}

func (w *writer) remove(name pypi.Name) error {
	say("will", name, 0)
	if err := w.store.DeleteProject(name); err != nil {
		return err
	}
	say("page", name, 0)
	return nil
}

// bring puts some file of the page into the store, or a part of it.
func (w *writer) bring(name pypi.Name) error {
	info, known, err := w.store.Info(name)
	if err != nil || !known {
		return err
	}
	i := int(info.Serial) + w.rand.IntN(window)
	ref, b := lifeFile(name, i)
	in, err := w.store.Begin(ref, int64(len(b)))
	if errors.Is(err, ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	for left := b[in.Offset():]; len(left) > 0; left = left[min(len(left), 8<<10):] {
		if _, err := in.Write(left[:min(len(left), 8<<10)]); err != nil {
			return err
		}
		switch w.rand.IntN(20) {
		case 0:
			if err := in.Sync(); err != nil {
				return err
			}
			say("synced", name, i, in.Offset())
		case 1:
			return in.Close()
		}
	}
	if err := in.Commit(); err != nil {
		return err
	}
	say("file", name, i)
	return nil
}

package storage

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
)

func sum(b []byte) pypi.Digest { return sha256.Sum256(b) }

// TestKill kills a process that writes, at random moments, again and again in
// the same folder. After each kill the folder opens, verify finds nothing, what
// was acknowledged is there, and no partial has lost what its state file speaks of.
func TestKill(t *testing.T) {
	kills := 15
	switch {
	case os.Getenv("CHEESEBOARD_TEST_LONG") != "":
		kills = 1000
	case testing.Short():
		kills = 4
	}
	dir := t.TempDir()
	told := newTold()
	moments := rand.New(rand.NewPCG(11, 13))
	for round := range kills {
		lines := 1 + moments.IntN(40)
		pause := time.Duration(moments.IntN(20_000)) * time.Microsecond
		steps := writeUntil(t, dir, round, lines, pause, func(p *os.Process) { _ = p.Kill() })
		for _, line := range steps {
			told.hear(t, line)
		}
		promised := states(t, dir)
		s := open(t, dir, Options{SyncEvery: 32 << 10})
		if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
			t.Errorf("kill %d: verify finds %+v", round, found)
		}
		told.check(t, s)
		promised.check(t, s)
		closeStore(t, s)
		if t.Failed() {
			t.Fatalf("after kill %d; the last steps were %q", round, steps[max(0, len(steps)-8):])
		}
	}
	t.Logf("%d kills; %d acknowledged steps, %d of them files; %d partials with synced bytes", kills, told.steps, told.files, told.partials)
	if told.files == 0 || told.steps < kills {
		t.Error("the writer did next to nothing")
	}
}

// writeUntil starts a writer, lets it say a number of lines, and after a pause has
// end kill it. It gives all that the writer has said.
func writeUntil(t *testing.T, dir string, round, lines int, pause time.Duration, end func(*os.Process)) []string {
	t.Helper()
	cmd, out := startWriter(t, dir, round)
	var steps []string
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break // what has no end of line was not said
		}
		steps = append(steps, strings.TrimSpace(line))
		if len(steps) == lines {
			// No moment is better than another: this is chance, not waiting.
			time.AfterFunc(pause, func() { end(cmd.Process) })
		}
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the writer ended by itself: %v; it said %q and wrote %s", err, steps[max(0, len(steps)-5):], cmd.Stderr)
	}
	return steps
}

// startWriter runs this program again. In an emulator of another processor the
// kernel may not know how to; the emulator is then asked by name.
func startWriter(t *testing.T, dir string, round int) (*exec.Cmd, io.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Skipf("this program does not know its own file: %v", err)
	}
	start := func(command ...string) (*exec.Cmd, io.Reader, error) {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), writerDir+"="+dir, writerRound+"="+strconv.Itoa(round), writerBoot+"="+bootOf(dir))
		cmd.Stderr = new(bytes.Buffer)
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		return cmd, out, cmd.Start()
	}
	cmd, out, err := start(self)
	if errors.Is(err, syscall.ENOEXEC) {
		cmd, out, err = start("qemu-"+runtime.GOARCH+"-static", self)
	}
	if err != nil {
		t.Skipf("this program cannot be started again here: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // for the case that the test fails
	return cmd, out
}

// bootOf is the boot of the machine whose disk holds dir: of each image another,
// and of a plain folder the true one.
func bootOf(dir string) string {
	var at, above syscall.Stat_t
	mount := filepath.Dir(dir)
	if syscall.Stat(mount, &at) != nil || syscall.Stat(filepath.Dir(mount), &above) != nil || at.Dev == above.Dev {
		return ""
	}
	return "boot of " + mount
}

// told is what writers have said, and what must therefore be true.
type told struct {
	version map[pypi.Name]int // acknowledged; 0: deleted, or never stored
	pending map[pypi.Name]int // what it was about to become
	held    map[pypi.Name]map[int]bool
	noted   map[pypi.Name]int // the last note: of this version or a later one

	steps, files, partials int
}

func newTold() *told {
	return &told{version: map[pypi.Name]int{}, pending: map[pypi.Name]int{}, noted: map[pypi.Name]int{}, held: map[pypi.Name]map[int]bool{}}
}

func (w *told) hear(t *testing.T, line string) {
	t.Helper()
	w.steps++
	words := strings.Fields(line)
	if words[0] == "open" {
		return
	}
	if len(words) < 3 || words[0] == "error" {
		t.Fatalf("the writer says %q", line)
	}
	name := pypi.Name(words[1])
	n, err := strconv.Atoi(words[2])
	if err != nil {
		t.Fatalf("the writer says %q: %v", line, err)
	}
	switch words[0] {
	case "will":
		w.pending[name] = n
	case "page":
		delete(w.pending, name)
		w.turn(name, n)
	case "file":
		w.files++
		w.held[name][n] = true
	case "synced":
		w.partials++
	case "noted":
		w.noted[name] = n
	}
}

// turn notes that a page has a version now: files that it does not name are gone.
func (w *told) turn(name pypi.Name, version int) {
	w.version[name] = version
	if w.held[name] == nil || version == 0 {
		w.held[name] = map[int]bool{}
	}
	for i := range w.held[name] {
		if i < version || i >= version+window {
			delete(w.held[name], i)
		}
	}
}

func (w *told) check(t *testing.T, s *Store) {
	t.Helper()
	for _, name := range append(lives[:len(lives):len(lives)], giantLife) {
		p, known, err := s.Project(name)
		if err != nil {
			t.Errorf("page of %s: %v", name, err)
			continue
		}
		version := 0
		if known {
			version = int(p.LastSerial)
			if want := len(lifePage(name, version).Files); len(p.Files) != want {
				t.Errorf("version %d of %s has %d files, want %d", version, name, len(p.Files), want)
			}
		}
		if next, was := w.pending[name]; version != w.version[name] && (!was || version != next) {
			t.Errorf("%s has version %d; acknowledged was %d, under way %d", name, version, w.version[name], next)
		}
		delete(w.pending, name)
		w.turn(name, version)
		w.checkNote(t, s, name)
		held, err := s.Held(name)
		if err != nil {
			t.Errorf("files of %s: %v", name, err)
		}
		for i := range w.held[name] {
			ref, b := lifeFile(name, i)
			if got := held[ref.Digest]; got.Filename != ref.Filename || got.Size != int64(len(b)) {
				t.Errorf("file %d of %s was acknowledged, and is not there: %+v", i, name, got)
			}
		}
		// A file can be there that was not acknowledged in time.
		for i := version; i < version+window && known && name != giantLife; i++ {
			if ref, _ := lifeFile(name, i); held[ref.Digest].Filename != "" {
				w.held[name][i] = true
			}
		}
	}
}

// checkNote holds that the note of a page is there once it was acknowledged, and
// never without the page that it came with.
func (w *told) checkNote(t *testing.T, s *Store, name pypi.Name) {
	t.Helper()
	note, err := s.State(name)
	if err != nil {
		t.Errorf("note of %s: %v", name, err)
		return
	}
	n := 0
	if note != nil {
		if n, err = strconv.Atoi(string(note)); err != nil {
			t.Errorf("note of %s: %v", name, err)
		}
	}
	if was := w.noted[name]; n != was && n != w.version[name] {
		t.Errorf("the note of %s is of version %d; acknowledged was %d, the page has %d", name, n, was, w.version[name])
	}
	w.noted[name] = n
}

// promises are what the state files of partials speak of.
type promises map[pypi.Digest]struct {
	Synced int64  `json:"synced"`
	Size   int64  `json:"size"`
	Note   []byte `json:"note"`
}

// states reads the state files as a kill has left them.
func states(t *testing.T, dir string) promises {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "partial", "*.state"))
	if err != nil {
		t.Fatal(err)
	}
	p := promises{}
	for _, path := range paths {
		digest, err := pypi.ParseDigest(strings.TrimSuffix(filepath.Base(path), ".state"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		state := p[digest]
		if json.Unmarshal(raw, &state) != nil || state.Synced == 0 {
			continue // the first state of a partial promises nothing, and may be torn
		}
		if _, err := os.Stat(filepath.Join(dir, "blobs", digest.String()[:2], digest.String())); err == nil {
			continue // it has become a blob, which verify looks at
		}
		p[digest] = state
	}
	return p
}

func (p promises) check(t *testing.T, s *Store) {
	t.Helper()
	for digest, state := range p {
		var ref Ref
		if err := json.Unmarshal(state.Note, &ref); err != nil {
			t.Errorf("the note of %s: %v", digest, err)
			continue
		}
		ref.Digest = digest
		in, err := s.Begin(ref, state.Size)
		if err != nil {
			t.Errorf("go on with %s: %v", ref.Filename, err)
			continue
		}
		if in.Offset() < state.Synced {
			t.Errorf("%s goes on at %d, but %d bytes were synced", ref.Filename, in.Offset(), state.Synced)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
}

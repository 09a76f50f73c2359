package storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"cheeseboard/storage/pypi"
)

// sideDisk is the size of the file system that is filled.
const sideDisk = 64

// scene is a store on a small disk that is filled from one side.
type scene struct {
	*testing.T
	disk, dir string
	s         *Store
	here      *shelf // pinned, and must be served at any time
	n         int    // names that were given out
	size      int    // of the disk, MB
}

// name gives a project that was not there.
func (c *scene) name(first string) pypi.Name {
	c.n++
	return pypi.Name(fmt.Sprintf("%s%d", first, c.n))
}

// one is a project with one file, whose bytes no other has.
func (c *scene) one(first string, size int, pinned bool) *shelf {
	sh := fill(c, c.name(first), 1, size)
	b := content(1000*c.n, size)
	digest := sh.refs[0].Digest
	delete(sh.bytes, digest)
	digest = sha256.Sum256(b)
	sh.bytes[digest] = b
	sh.page.Files[0].Hashes = pypi.Hashes{{Algorithm: "sha256", Hex: digest.String()}}
	sh.refs = sh.refs[:1]
	sh.refs[0].Digest, sh.refs[0].Pinned = digest, pinned
	return sh
}

// bring puts one more project with one file in.
func (c *scene) bring(first string, size int, pinned bool) error {
	sh := c.one(first, size, pinned)
	if err := c.s.PutProject(sh.page); err != nil {
		return err
	}
	return bring(c.s, sh, sh.refs[0])
}

// until repeats what fills the disk until it is refused, and gives the refusal.
func (c *scene) until(do func() error) {
	c.Helper()
	for range 5000 {
		err := do()
		if errors.Is(err, ErrFull) {
			return
		}
		if err != nil {
			c.Fatalf("what fills the disk ends with %v", err)
		}
	}
	c.Fatal("the disk does not become full")
}

// side fills the disk, and gives what makes room again. remains is what goes on
// while it is full.
type side struct {
	name     string
	remains  string
	arriving bool
	fill     func(c *scene) (empty func())
}

var sides = []side{
	{"pages", "serve verify delete", false, func(c *scene) func() {
		var names []pypi.Name
		c.until(func() error {
			name := c.name("m")
			names = append(names, name)
			return errors.Join(c.s.PutProject(&pypi.Project{Name: name}), c.s.SetState(name, noise(c.n)))
		})
		// Badger gives the space of what is deleted free when it merges: whoever
		// has a disk that is full of pages takes a larger one.
		return func() {
			c.size *= 2
			if err := syscall.Mount("tmpfs", c.disk, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%dm", c.size)); err != nil {
				c.Fatal(err)
			}
		}
	}},
	{"pinned files", "serve verify delete page note", false, func(c *scene) func() {
		var names []pypi.Name
		c.until(func() error {
			err := c.bring("f", 1<<20, true)
			names = append(names, pypi.Name(fmt.Sprintf("f%d", c.n)))
			return err
		})
		return func() {
			for _, name := range names {
				if err := c.s.DeleteProject(name); err != nil {
					c.Errorf("delete %s: %v", name, err)
				}
			}
		}
	}},
	{"cached files", "serve verify delete page note pinned cached", false, func(c *scene) func() {
		for range 64 {
			if err := c.bring("f", 1<<20, false); err != nil {
				c.Errorf("a cached file, for which others can go: %v", err)
			}
		}
		return func() {}
	}},
	{"files on their way", "serve verify delete page note", true, func(c *scene) func() {
		var all []*Incoming
		c.until(func() error {
			sh := c.one("f", 1<<20, true)
			if err := c.s.PutProject(sh.page); err != nil {
				return err
			}
			in, err := c.s.Begin(sh.refs[0], 1<<20)
			if err != nil {
				return err
			}
			all = append(all, in)
			_, err = in.Write(sh.bytes[sh.refs[0].Digest][:1<<19])
			return err
		})
		return func() {
			for _, in := range all {
				if err := in.Close(); err != nil {
					c.Errorf("close a partial: %v", err)
				}
			}
		}
	}},
	{"partials", "serve verify delete page note pinned cached", false, func(c *scene) func() {
		for range 64 {
			sh := c.one("f", 1<<20, true)
			if err := c.s.PutProject(sh.page); err != nil {
				c.Fatal(err)
			}
			partly(c.T, c.s, sh, sh.refs[0], 1<<20-1)
		}
		return func() {}
	}},
	{"quarantine", "serve verify delete page note pinned cached", false, func(c *scene) func() {
		for range 15 {
			sh := c.one("f", 1<<20, true)
			if err := c.s.PutProject(sh.page); err != nil {
				c.Fatal(err)
			}
			sh.bytes[sh.refs[0].Digest][0] ^= 1
			var bad *MismatchError
			if err := bring(c.s, sh, sh.refs[0]); !errors.As(err, &bad) {
				c.Fatalf("wrong bytes give %v", err)
			}
		}
		free, err := c.s.free(c.dir)
		if err != nil {
			c.Fatal(err)
		}
		return stuff(c.T, c.disk, c.s.floor()+min(free-c.s.floor(), 100<<10))
	}},
	{"others, up to the need", "serve verify delete page note pinned cached", false, func(c *scene) func() {
		return stuff(c.T, c.disk, c.s.meta.Need()+4<<20)
	}},
	{"others, below it", "serve verify delete", false, func(c *scene) func() {
		return stuff(c.T, c.disk, c.s.meta.Need()-4<<20)
	}},
	{"others, to the last byte", "serve verify", false, func(c *scene) func() { return stuff(c.T, c.disk, 0) }},
}

// acts are what is tried while the disk is full, and after.
var acts = []struct {
	name string
	do   func(c *scene) error
}{
	{"serve", func(c *scene) error { whole(c, c.s, c.here); return nil }},
	{"verify", func(c *scene) error {
		if _, found := verify(c, c.s, VerifyOptions{}); len(found) > 0 {
			return fmt.Errorf("verify finds %+v", found)
		}
		return nil
	}},
	{"delete", func(c *scene) error { return c.s.DeleteProject(c.name("nobody")) }},
	{"page", func(c *scene) error { return c.s.PutProject(&pypi.Project{Name: c.name("x")}) }},
	{"note", func(c *scene) error { return c.s.SetState("a", []byte(c.name("x"))) }},
	{"cached", func(c *scene) error { return c.bring("g", 200_000, false) }},
	{"pinned", func(c *scene) error { return c.bring("h", 200_000, true) }},
}

// try does everything, and gives what went on. What did not was refused with ErrFull
// and a sentence, and nothing else.
func (c *scene) try() (works []string) {
	c.Helper()
	for _, act := range acts {
		err := act.do(c)
		switch {
		case err == nil:
			works = append(works, act.name)
		case !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "make room"):
			c.Errorf("%s gives %v", act.name, err)
		}
	}
	return works
}

// TestFullFromEverySide fills a disk of 64 MB from every side. For each: what is
// refused is refused with ErrFull, what must go on goes on, the store can be closed
// and opened, and with room again all goes on, without opening it anew.
func TestFullFromEverySide(t *testing.T) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0) // into memory: writing does not fail
	_, _ = fmt.Fprintln(w, "full of\tgoes on\trefused\tclosed\topened again\twith room again")
	for i, side := range sides {
		t.Run(side.name, func(t *testing.T) {
			if testing.Short() && i%3 > 0 {
				t.Skip("megabytes are hashed by the hundred, which takes minutes in an emulator")
			}
			c := &scene{T: t, disk: smallDisk(t, sideDisk), size: sideDisk}
			c.dir = filepath.Join(c.disk, "data")
			c.s = open(t, c.dir, Options{})
			c.here = fill(t, "a", 3, 300_000)
			bringAll(t, c.s, c.here)
			empty := side.fill(c)
			works := c.try()
			refused := missingFrom(works)
			for _, must := range strings.Fields(side.remains) {
				if strings.Contains(refused, must) {
					t.Errorf("%s is refused", must)
				}
			}
			empty()
			if len(c.try()) != len(acts) {
				t.Errorf("with room again there is still refused: %s", missingFrom(c.try()))
			}

			// The same once more, now over a stop and a start.
			empty = side.fill(c)
			if side.arriving { // whoever stops closes them first
				empty()
				empty = func() {}
			}
			closed := "well"
			if err := c.s.Close(); errors.Is(err, ErrFull) {
				closed = "kept in its log"
			} else if err != nil {
				t.Errorf("close: %v", err)
			}
			if closed != "well" {
				empty = c.moved()
			}
			c.s = open(t, c.dir, Options{})
			opened := "to write"
			if c.s.ReadOnly() {
				opened = "to read"
			}
			whole(t, c.s, c.here)
			c.verifies()
			empty()
			if c.s.ReadOnly() {
				c.again()
			}
			if len(c.try()) != len(acts) {
				t.Errorf("after a start, with room again, there is still refused: %s", missingFrom(c.try()))
			}
			closeStore(t, c.s)
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\tall\n", side.name, strings.Join(works, " "), refused, closed, opened)
		})
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("a disk of %d MB:\n%s", sideDisk, table.String())
}

// moved carries the folder to another disk, which is full to the last byte too: that
// of a store which could not be closed is locked until the process ends.
func (c *scene) moved() (empty func()) {
	c.Helper()
	c.disk = smallDisk(c.T, c.size)
	to := filepath.Join(c.disk, "data")
	if out, err := exec.Command("cp", "-a", "--sparse=always", c.dir, to).CombinedOutput(); err != nil {
		c.Fatalf("copy the folder: %v\n%s", err, out)
	}
	c.dir = to
	return stuff(c.T, c.disk, 0)
}

func (c *scene) verifies() {
	c.Helper()
	if _, found := verify(c, c.s, VerifyOptions{}); len(found) > 0 {
		c.Errorf("after a start verify finds %+v", found)
	}
}

// again waits until the store says that there is room, and opens it anew.
func (c *scene) again() {
	c.Helper()
	ctx, stop := context.WithTimeout(c.Context(), 30*time.Second)
	defer stop()
	c.s.Tend(ctx)
	select {
	case <-c.s.Roomy():
	default:
		c.Fatal("a store that can only be read does not say that there is room again")
	}
	closeStore(c, c.s)
	c.s = open(c, c.dir, Options{})
	if c.s.ReadOnly() {
		c.Error("with room again it can only be read")
	}
}

// missingFrom lists the acts that are not among those that went on.
func missingFrom(works []string) string {
	var out []string
	for _, act := range acts {
		if !strings.Contains(" "+strings.Join(works, " ")+" ", " "+act.name+" ") {
			out = append(out, act.name)
		}
	}
	return strings.Join(out, " ")
}

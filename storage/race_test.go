package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"cheeseboard/storage/pypi"
)

// crowd is several goroutines at one store.
type crowd struct {
	t       *testing.T
	store   *Store
	shelves []*shelf
	turns   int

	brought, found, verified atomic.Int64
}

// TestManyAtOnce lets goroutines bring the same and different files while pages
// are replaced, shrink, vanish and come back, files are read and pinned, and
// verify runs, with and without repairs. No answer may be one that the calls do
// not promise, verify finds nothing in between, and in the end all is whole.
func TestManyAtOnce(t *testing.T) {
	c := &crowd{t: t, store: open(t, t.TempDir(), Options{SyncEvery: 8 << 10}), turns: 60}
	if os.Getenv("CHEESEBOARD_TEST_LONG") != "" {
		c.turns = 5000
	}
	// The same bytes belong to several projects.
	for _, name := range []pypi.Name{"a", "b", "c"} {
		sh := fill(t, "a", 4, 20_000)
		own := fill(t, name, 2, 10_000)
		sh.page.Name = name
		sh.page.Files = append(sh.page.Files, own.page.Files...)
		sh.refs = append(sh.refs, own.refs...)
		for d, b := range own.bytes {
			sh.bytes[d] = b
		}
		for i := range sh.refs {
			sh.refs[i].Name = name
		}
		c.shelves = append(c.shelves, sh)
	}
	done := make(chan struct{})
	var bringing, looking sync.WaitGroup
	for i := range 4 {
		bringing.Go(func() { c.bring(uint64(i)) })
	}
	for i := range 2 {
		bringing.Go(func() { c.turn(uint64(i)) })
	}
	for _, repair := range []bool{false, true} {
		looking.Go(func() { c.verify(done, repair) })
	}
	looking.Go(func() { c.read(done) })
	bringing.Wait()
	close(done)
	looking.Wait()
	for _, sh := range c.shelves {
		bringAll(t, c.store, sh)
		whole(t, c.store, sh)
	}
	if _, found := verify(t, c.store, VerifyOptions{Restart: true}); len(found) != 0 {
		t.Errorf("in the end verify finds %+v", found)
	}
	if waiting, err := c.store.Waiting(); err != nil || len(waiting) != 0 {
		t.Errorf("in the end wait %+v (%v)", waiting, err)
	}
	closeStore(t, c.store)
	if c.brought.Load() == 0 || c.found.Load() == 0 || c.verified.Load() == 0 {
		t.Errorf("%d files were brought, %d read, %d verifies ran", c.brought.Load(), c.found.Load(), c.verified.Load())
	}
	t.Logf("%d files were brought, %d read, %d verifies ran", c.brought.Load(), c.found.Load(), c.verified.Load())
}

// bring brings files in pieces, and gives up some.
func (c *crowd) bring(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range c.turns * 3 {
		sh := c.shelves[r.IntN(len(c.shelves))]
		ref := sh.refs[r.IntN(len(sh.refs))]
		err := c.one(r, sh, ref)
		switch {
		case err == nil:
			c.brought.Add(1)
		case errors.Is(err, ErrHeld), errors.Is(err, ErrBusy), errors.Is(err, ErrNotNamed), errors.Is(err, iotest.ErrTimeout):
		default:
			c.t.Errorf("bring %s of %s: %v", ref.Filename, ref.Name, err)
		}
	}
}

func (c *crowd) one(r *rand.Rand, sh *shelf, ref Ref) error {
	b := sh.bytes[ref.Digest]
	in, err := c.store.Begin(ref, int64(len(b)))
	if err != nil {
		return err
	}
	for left := b[in.Offset():]; len(left) > 0; {
		n := min(len(left), 1+r.IntN(9000))
		if _, err := in.Write(left[:n]); err != nil {
			return errors.Join(err, in.Close())
		}
		left = left[n:]
		switch r.IntN(30) {
		case 0:
			return errors.Join(iotest.ErrTimeout, in.Close()) // the line broke
		case 1:
			return errors.Join(iotest.ErrTimeout, in.Discard())
		}
	}
	if err := in.Commit(); err != nil {
		return errors.Join(err, in.Close())
	}
	return nil
}

// turn replaces pages by parts of themselves.
func (c *crowd) turn(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	for i := range c.turns {
		sh := c.shelves[r.IntN(len(c.shelves))]
		p := *sh.page
		p.Files = nil
		for _, f := range sh.page.Files {
			if r.IntN(4) > 0 {
				p.Files = append(p.Files, f)
			}
		}
		p.LastSerial = int64(i)
		var err error
		if r.IntN(6) == 0 {
			err = c.store.DeleteProject(p.Name)
		} else {
			err = c.store.PutProject(&p)
		}
		if err != nil {
			c.t.Errorf("change page of %s: %v", p.Name, err)
		}
	}
}

func (c *crowd) verify(done chan struct{}, repair bool) {
	for {
		select {
		case <-done:
			return
		default:
		}
		_, err := c.store.Verify(context.Background(), VerifyOptions{Repair: repair, Restart: true, Report: func(f Finding) {
			c.t.Errorf("while others write, verify finds %+v", f)
		}})
		if err != nil {
			c.t.Errorf("verify: %v", err)
		}
		c.verified.Add(1)
	}
}

// read opens what is held: it is there, or has just been dropped.
func (c *crowd) read(done chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		sh := c.shelves[i%len(c.shelves)]
		held, err := c.store.Held(sh.page.Name)
		if err != nil {
			c.t.Errorf("held of %s: %v", sh.page.Name, err)
		}
		for digest, ref := range held {
			if err := c.look(sh, digest, ref); err != nil {
				c.t.Errorf("%s of %s: %v", ref.Filename, ref.Name, err)
			}
		}
	}
}

func (c *crowd) look(sh *shelf, digest pypi.Digest, ref Ref) error {
	if err := c.store.Pin(ref.Name, digest, !ref.Pinned); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNotNamed) {
		return err
	}
	f, _, err := c.store.OpenFile(ref.Name, digest)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != int64(len(sh.bytes[digest])) {
		err = fmt.Errorf("it has %d bytes, want %d", info.Size(), len(sh.bytes[digest]))
	}
	c.found.Add(1)
	return errors.Join(err, f.Close())
}

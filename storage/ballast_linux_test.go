package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// TestBallast fills a disk to its last byte under a store that holds room for its
// metadata: files can be removed, it closes well, and opens to be written. With room
// again the ballast is held again.
func TestBallast(t *testing.T) {
	disk := smallDisk(t, 160)
	dir := filepath.Join(disk, "data")
	s := open(t, dir, Options{Cache: 1 << 30})
	here, cached := fill(t, "a", 2, 100_000), cachedShelf(t, "b", 4, 100_000)
	bringAll(t, s, here)
	bringAll(t, s, cached)
	before, err := s.Totals()
	if err != nil {
		t.Fatal(err)
	}
	hold := func() {
		t.Helper()
		if err := s.holdBallast(); err != nil {
			t.Fatal(err)
		}
	}
	hold()
	after, err := s.Totals()
	if held := s.ballast.size(); err != nil || held < s.meta.Need()-2*ballastShort || after.Free < before.Free-1<<20 {
		t.Fatalf("%d MB are held; before %d MB were free, now %d (%v)", held>>20, before.Free>>20, after.Free>>20, err)
	}
	if free, err := durable.Free(disk); err != nil || free > after.Free-s.ballast.size() {
		t.Errorf("%d MB are free for others (%v): the ballast does not hold its room", free>>20, err)
	}
	empty := stuff(t, disk, 0)
	if err := s.DeleteProject("nobody"); err != nil {
		t.Errorf("a deletion on a full disk: %v", err)
	}
	if err := s.PutProject(&pypi.Project{Name: "more"}); !errors.Is(err, ErrFull) {
		t.Errorf("a page on a full disk: %v; the room is for finishing and removing", err)
	}
	if n := s.ballast.size(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	lately(s)
	if freed, err := s.evict(1); err != nil || freed == 0 {
		t.Errorf("to remove a cached file on a full disk: %d bytes, %v", freed, err)
	}
	closeStore(t, s)
	whileFull := func() {
		t.Helper()
		s = open(t, dir, Options{Cache: 1 << 30})
		if s.ReadOnly() {
			t.Error("with the room that the ballast gave it can only be read")
		}
		whole(t, s, here)
		sound(t, s)
	}
	whileFull()
	empty()
	hold()
	if s.ballast.size() == 0 {
		t.Error("with room again nothing is held")
	}
	// The process ends at once, and the disk is full when it starts again.
	empty = stuff(t, disk, 0)
	s.crash(t)
	whileFull()
	if s.ballast.size() != 0 {
		t.Error("opened on a full disk, the ballast is still held")
	}
	closeStore(t, s)
	empty()
}

// crash closes a store without what Close of the store itself does.
func (s *Store) crash(t *testing.T) {
	t.Helper()
	if err := errors.Join(s.meta.Close(), s.unlock()); err != nil {
		t.Fatal(err)
	}
}

// TestOthersFillTheDisk has somebody else fill the disk, faster than a card takes it,
// again and again while pages are written and Badger merges tables. A write through
// a memory map that met the full disk would end this program.
func TestOthersFillTheDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	const rate = 400 << 20 // bytes a second
	disk := smallDisk(t, 384)
	s := open(t, filepath.Join(disk, "data"), Options{})
	here := fill(t, "a", 2, 100_000)
	bringAll(t, s, here)
	if err := s.holdBallast(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { s.Tend(ctx) })
	written, refused := 0, 0
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			name := pypi.Name(fmt.Sprintf("p%d", i%40))
			switch err := s.SetState(name, noise(i)); {
			case err == nil:
				written++
			case errors.Is(err, ErrFull):
				refused++
				select { // nobody asks again at once
				case <-time.After(time.Millisecond):
				case <-ctx.Done():
				}
			default:
				t.Errorf("a write gives %v", err)
			}
		}
	})
	for range 3 {
		fillAt(t, filepath.Join(disk, "stuffing"), rate)
		whole(t, s, here)
		if err := os.Remove(filepath.Join(disk, "stuffing")); err != nil {
			t.Fatal(err)
		}
		if err := s.holdBallast(); err != nil {
			t.Error(err)
		}
	}
	stop()
	all.Wait()
	t.Logf("%d writes, %d refused", written, refused)
	if written == 0 || refused == 0 {
		t.Errorf("%d writes, %d refused: the disk was never full, or always", written, refused)
	}
	sound(t, s)
	closeStore(t, s)
}

// fillAt writes until the disk is full, and for a second more takes what is given
// free. It never writes faster than rate, in bytes a second, for any length of time:
// what it could not write while others had the processor it does not catch up on.
func fillAt(t *testing.T, path string, rate int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 256<<10)
	pace := time.Duration(len(block)) * time.Second / time.Duration(rate)
	for err == nil {
		_, err = f.Write(block)
		<-time.After(pace)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		wait := pace
		if _, err := f.Write(block); err != nil {
			wait = 10 * time.Millisecond
		}
		<-time.After(wait)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/meta"
)

// A box that serves holds the room that its metadata need in a file of its own,
// which is a part of the reserve. Others can fill the disk, but not that: when
// little else is free, the file is removed, and Badger can finish what it has begun,
// files can be removed, the folder can be closed, and opened again. Badger writes
// its log through a memory map, where a disk without room ends the process.

// ballastName is the file that holds the room.
const ballastName = "ballast"

// ballastMargin is what must be free beyond it, so that it is not made and removed
// in turn.
const ballastMargin = 16 << 20

// ballastShort is how much less it holds than the metadata need to grow: what is
// given free when the disk is full is for finishing and removing, not for more.
const ballastShort = 4 << 20

type ballast struct {
	path string
	disk *durable.Disk
	free func() (int64, error) // of the file system

	mu   sync.Mutex
	held int64
}

// find looks whether an earlier run has left the ballast.
func (b *ballast) find() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if info, err := os.Stat(b.path); err == nil {
		b.held = info.Size()
	}
}

// size is the number of bytes that are held.
func (b *ballast) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// take holds size bytes if there is room for that, and as much again is free.
func (b *ballast) take(size int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	free, err := b.free()
	if err != nil || b.held >= size-ballastMargin || free+b.held < 2*size+ballastMargin {
		return err
	}
	if err := durable.Allocate(b.path, size); err != nil {
		return errors.Join(err, b.disk.Remove(b.path))
	}
	b.held = size
	return nil
}

// release gives the room free if less than need is free, and tells whether it did.
func (b *ballast) release(need int64) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	free, err := b.free()
	if err != nil || b.held == 0 || free >= need {
		return false, err
	}
	if err := b.disk.Remove(b.path); err != nil {
		return false, err
	}
	b.held = 0
	return true, nil
}

// metaNeed is what must be free for the metadata; before they are open it is not
// known, and the ballast has the size that they had needed.
func (s *Store) metaNeed() int64 {
	if s.meta == nil {
		return max(s.ballast.size(), meta.Floor)
	}
	return s.meta.Need()
}

// metaFree is what is free for the metadata. Where that is less than they need, they
// get the ballast.
func (s *Store) metaFree(string) (int64, error) {
	released, err := s.ballast.release(s.metaNeed())
	if err != nil {
		return 0, err
	}
	if released {
		s.log.Warn("the disk is nearly full: the room that was held for the metadata is given free")
	}
	return s.ballast.free()
}

// filesFree is what is free for files and the reserve: the ballast is a part of that.
func (s *Store) filesFree(string) (int64, error) {
	free, err := s.ballast.free()
	return free + s.ballast.size(), err
}

// holdBallast makes the ballast, if there is room for it.
func (s *Store) holdBallast() error {
	err := s.ballast.take(s.meta.Need() - ballastShort)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return full(err)
}

func newBallast(dir string, disk *durable.Disk, free func(string) (int64, error)) ballast {
	return ballast{path: filepath.Join(dir, ballastName), disk: disk, free: func() (int64, error) { return free(dir) }}
}

// openToRead opens the metadata, which cannot be written for want of room or since the disk
// can only be read, if there are any; full says so.
func (s *Store) openToRead(folder string, options meta.Options, full error) error {
	readable, err := meta.OpenReadOnly(folder, options)
	if errors.Is(err, fs.ErrNotExist) {
		return full // there is nothing to read
	}
	if err != nil {
		return errors.Join(full, err)
	}
	s.log.Error("what is here is served, and nothing can be written", "reason", full)
	s.meta = readable
	return nil
}

// ReadOnly tells whether the store can only be read, since the disk was so full when it
// was opened, or could not be written: every change gives ErrFull.
func (s *Store) ReadOnly() bool { return s.meta.ReadOnly() }

// Roomy is closed by Tend when a store that is ReadOnly could be written again: it
// can be written after it was closed and opened again.
func (s *Store) Roomy() <-chan struct{} { return s.roomy }

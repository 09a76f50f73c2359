package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// smallDisk mounts a file system of its own, of some MB.
func smallDisk(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes))
	if err != nil {
		t.Skipf("a small file system cannot be mounted here: %v (it needs root)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// stuff fills a file system to the last byte, but for some that stay free. What
// it gives makes room again.
func stuff(t *testing.T, dir string, leave int64) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "stuffing")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	info, err := f.Stat()
	if err == nil && leave > 0 {
		err = f.Truncate(info.Size() - leave)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	free, err := durable.Free(dir)
	if err != nil || free > leave+4096 {
		t.Fatalf("%d bytes are free (%v)", free, err)
	}
	return func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// TestFullDisk fills a real disk to its last byte under an open store: each call
// that needs room says so, what is here is served, nothing is damaged, and all
// goes on where it stopped once there is room. A write through a memory map that
// meets the full disk would end this program.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 96)
	dir := filepath.Join(disk, "data")
	const size = 300_000
	s := open(t, dir, Options{SyncEvery: 64 << 10})
	here, more := fill(t, "a", 3, size), fill(t, "b", 3, size)
	bringAll(t, s, here)
	if err := s.PutProject(more.page); err != nil {
		t.Fatal(err)
	}
	begin := func(i, n int) *Incoming {
		t.Helper()
		in, err := s.Begin(more.refs[i], size)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(more.bytes[more.refs[i].Digest][:n]); err != nil {
			t.Fatal(err)
		}
		return in
	}
	half, almost := begin(0, 100_000), begin(2, size)
	if _, err := half.Write(more.bytes[more.refs[0].Digest][100_000:110_000]); err != nil {
		t.Fatal(err)
	}
	fullFor := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrFull) {
			t.Errorf("%s gives %v, want ErrFull", what, err)
		}
	}
	fullNow := func() {
		t.Helper()
		fullFor("a commit", almost.Commit())
		_, err := s.Begin(more.refs[4], size)
		fullFor("a new file", err)
		fullFor("a page", s.PutProject(&pypi.Project{Name: "c"}))
		fullFor("a state", s.SetState("a", []byte("x")))
		fullFor("a value", s.SetValue("x", []byte("x")))
		whole(t, s, here)
		if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
			t.Errorf("on a full disk verify finds %+v", found)
		}
	}

	empty := stuff(t, disk, 0)
	fullNow()
	fullFor("a deletion", s.DeleteProject("a"))
	_, err := half.Write(make([]byte, 1000))
	fullFor("a write", err)
	// Past the check of the room, where the disk itself says so.
	_, err = half.Partial.Write(more.bytes[more.refs[0].Digest][110_000:])
	fullFor("the disk", full(err))
	fullFor("to sync", half.Sync())
	fullFor("to close", half.Close())
	empty()

	// With room for what deletions need, they go on.
	empty = stuff(t, disk, s.floor()-(1<<20))
	fullNow()
	if err := s.DeleteProject("nobody"); err != nil {
		t.Errorf("a deletion with %d MB free: %v", s.floor()>>20-1, err)
	}
	empty()

	if err := almost.Commit(); err != nil {
		t.Errorf("commit, now that there is room: %v", err)
	}
	if err := almost.Close(); err != nil {
		t.Error(err)
	}
	if half = begin(0, 0); half.Offset() < 110_000 {
		t.Errorf("it goes on at %d", half.Offset())
	}
	if err := half.Close(); err != nil {
		t.Error(err)
	}
	bringAll(t, s, more)
	whole(t, s, more)
	closeStore(t, s)

	empty = stuff(t, disk, 0)
	s = open(t, dir, Options{})
	if !s.ReadOnly() {
		t.Error("on a full disk the store says that it can be written")
	}
	whole(t, s, here)
	whole(t, s, more)
	fullFor("a page", s.PutProject(&pypi.Project{Name: "c"}))
	fullFor("a state", s.SetState("a", []byte("x")))
	fullFor("a pin", s.Pin("a", here.refs[0].Digest, false))
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Errorf("a store that can only be read: verify finds %+v", found)
	}
	closeStore(t, s)
	_, err = Open(filepath.Join(disk, "another"), Options{Reserve: -1})
	fullFor("to make a store", err)
	empty()
	s = open(t, dir, Options{})
	whole(t, s, here)
	whole(t, s, more)
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Errorf("in the end verify finds %+v", found)
	}
	closeStore(t, s)
}

// TestCloseOnAFullDisk closes a store that has something in memory when there is
// no room to write it out. What was acknowledged is in its log.
func TestCloseOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, 96)
	dir := filepath.Join(disk, "data")
	s := open(t, dir, Options{})
	sh := fill(t, "a", 3, 10_000)
	bringAll(t, s, sh)
	empty := stuff(t, disk, 0)
	if err := s.Close(); !errors.Is(err, ErrFull) {
		t.Errorf("close gives %v", err)
	}
	empty()
	// The process would end now; the kernel would give its locks free.
	s = open(t, snapshot(t, dir), Options{})
	defer closeStore(t, s)
	whole(t, s, sh)
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
}

// TestPagesFillTheDisk stores and replaces pages and notes until there is no
// room, while Badger merges tables in the background: it stops in time, by itself.
func TestPagesFillTheDisk(t *testing.T) {
	disk := smallDisk(t, 96)
	dir := filepath.Join(disk, "data")
	s := open(t, dir, Options{})
	least := int64(1 << 62)
	last := map[pypi.Name]int{}
	var err error
	for i := range 10_000 {
		name := pypi.Name(fmt.Sprintf("p%d", i%500))
		page := &pypi.Project{Name: name, LastSerial: int64(i), Files: []pypi.File{stated(fmt.Sprintf("%s-%d.tar.gz", name, i), pypi.Digest{1}, 1)}}
		if err = s.PutProject(page); err != nil {
			break
		}
		if err = s.SetState(name, noise(i)); err != nil {
			break
		}
		last[name] = i
		free, ferr := durable.Free(disk)
		if ferr != nil {
			t.Fatal(ferr)
		}
		least = min(least, free)
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("the pages end with %v", err)
	}
	t.Logf("%d pages fit, at least %d MB stayed free", len(last), least>>20)
	if least < 8<<20 {
		t.Errorf("only %d KB stayed free", least>>10)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	for name, i := range last {
		state, err := s.State(name)
		if err != nil || !bytes.Equal(state, noise(i)) {
			t.Errorf("the note of %s has %d bytes (%v)", name, len(state), err)
		}
	}
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
}

// noise is bytes that cannot be packed.
func noise(seed int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], uint64(seed))
	b := make([]byte, 48<<10)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails, as it says
	return b
}

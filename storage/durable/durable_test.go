package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

var errFault = errors.New("injected")

// TestWriteFileFailsBothWays fails each step of WriteFile before it happened and
// after it happened: the file must hold the old content or the new, whole.
func TestWriteFileFailsBothWays(t *testing.T) {
	for _, step := range []Step{StepWrite, StepSync, StepRename, StepSyncDir} {
		for _, done := range []bool{false, true} {
			dir := t.TempDir()
			path := filepath.Join(dir, "state")
			if err := (&Disk{}).WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			hit := 0
			disk := &Disk{Fault: func(s Step, _ string, d bool) error {
				if s == step && d == done {
					hit++
					return errFault
				}
				return nil
			}}
			err := disk.WriteFile(path, []byte("new content"), 0o600)
			if !errors.Is(err, errFault) || hit != 1 {
				t.Errorf("%s done=%v: error %v, hit %d times", step, done, err, hit)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			renamed := step == StepSyncDir || step == StepRename && done
			if want := map[bool]string{false: "old", true: "new content"}[renamed]; string(got) != want {
				t.Errorf("%s done=%v: the file holds %q, want %q", step, done, got, want)
			}
			if err := (&Disk{}).WriteFile(path, []byte("later"), 0o600); err != nil {
				t.Errorf("%s done=%v: a later write fails: %v", step, done, err)
			}
			names, err := os.ReadDir(dir)
			if err != nil || len(names) != 1 {
				t.Errorf("%s done=%v: left behind %v (%v)", step, done, names, err)
			}
		}
	}
}

func TestPublishIsSynced(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(from, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var steps []Step
	disk := &Disk{Fault: func(s Step, _ string, done bool) error {
		if done {
			steps = append(steps, s)
		}
		return nil
	}}
	if err := disk.Publish(from, to); err != nil {
		t.Fatal(err)
	}
	if len(steps) != 2 || steps[0] != StepRename || steps[1] != StepSyncDir {
		t.Errorf("steps %v, want rename, then sync of the directory", steps)
	}
}

// TestSyncDirTogether has several want a directory synced while it is being synced:
// they share one sync, which begins after all of them have come. What it fails with
// is told to each, and to nobody else.
func TestSyncDirTogether(t *testing.T) {
	const crowd = 5
	dir := t.TempDir()
	began, goOn := make(chan int), make(chan error)
	n := 0
	disk := &Disk{Fault: func(_ Step, _ string, done bool) error {
		if done {
			return nil
		}
		n++
		began <- n
		return <-goOn
	}}
	first, others := make(chan error, 1), make(chan error, crowd)
	go func() { first <- disk.SyncDir(dir) }()
	<-began
	for range crowd {
		go func() { others <- disk.SyncDir(dir + "/.") }()
	}
	for joined := false; !joined; runtime.Gosched() { // one of them at least waits
		disk.dirs.mu.Lock()
		joined = disk.dirs.next[dir] != nil
		disk.dirs.mu.Unlock()
	}
	select {
	case err := <-others:
		t.Fatalf("a sync that began before it was asked for was enough (%v)", err)
	default:
	}
	goOn <- nil
	if err := <-first; err != nil {
		t.Error(err)
	}
	told := 0
	for told < crowd { // who came late has one of its own
		select {
		case <-began:
			goOn <- errFault
		case err := <-others:
			if told++; !errors.Is(err, errFault) {
				t.Errorf("told of %v", err)
			}
		}
	}
	go func() { first <- disk.SyncDir(dir) }()
	<-began
	goOn <- nil
	if err := <-first; err != nil {
		t.Errorf("after a failure: %v", err)
	}
	if len(disk.dirs.next)+len(disk.dirs.running) != 0 {
		t.Error("what is over is remembered")
	}
}

func TestSyncWith(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(dir, "gone")
	for _, c := range []struct {
		disk         *Disk
		dirs         []string
		bytes, names error
	}{
		{&Disk{}, []string{dir}, nil, nil},
		{&Disk{}, []string{gone, dir}, nil, fs.ErrNotExist},
		{&Disk{}, []string{dir, gone}, nil, fs.ErrNotExist},
		{&Disk{Fault: func(s Step, _ string, _ bool) error {
			if s == StepSync {
				return errFault
			}
			return nil
		}}, []string{dir}, errFault, nil},
	} {
		bytes, names := c.disk.SyncWith(f, c.dirs...)
		if !errors.Is(bytes, c.bytes) || !errors.Is(names, c.names) {
			t.Errorf("%v: bytes %v, names %v", c.dirs, bytes, names)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if bytes, names := (&Disk{}).SyncWith(f, dir); bytes == nil || names != nil {
		t.Errorf("of a closed file: bytes %v, names %v", bytes, names)
	}
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	var disk Disk
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 {
		if err := disk.MkdirAll(deep, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.MkdirAll(filepath.Join(dir, "file"), 0o755); err == nil {
		t.Error("a file in the way is not noticed")
	}
}

func TestRemoveTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var disk Disk
	for range 2 {
		if err := disk.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func TestFree(t *testing.T) {
	free, err := Free(t.TempDir())
	if err != nil || free <= 0 {
		t.Errorf("free space %d, %v", free, err)
	}
	if _, err := Free("/does/not/exist"); err == nil {
		t.Error("a folder that is not there has free space")
	}
}

// TestUnlockWhileAChildIsBorn: a child that is being started has all files of this
// process for a moment. A lock that was given back must be free all the same.
func TestUnlockWhileAChildIsBorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	_, unlock, err := Lock(path, "")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("/proc/self/fd")
	if err != nil {
		t.Skip("this system does not tell of its open files")
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	child := -1 // has the same open file, as a child has
	for _, name := range names {
		if to, err := os.Readlink("/proc/self/fd/" + name); err == nil && to == path {
			fd, err := strconv.Atoi(name)
			if err != nil {
				t.Fatal(err)
			}
			if child, err = syscall.Dup(fd); err != nil {
				t.Fatal(err)
			}
		}
	}
	if child < 0 {
		t.Fatal("the lock's file is not open")
	}
	defer func() { _ = syscall.Close(child) }()
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	_, again, err := Lock(path, "")
	if err != nil {
		t.Fatalf("it was given back, and is not free: %v", err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
}

// TestLockLeavesAMark holds that the next to lock learns of a process that ended
// without unlocking, and of no other.
func TestLockLeavesAMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	left, unlock, err := Lock(path, "boot 1")
	if err != nil || left != "" {
		t.Fatalf("the first finds %q, %v", left, err)
	}
	var held *LockedError
	if _, _, err := Lock(path, "boot 1"); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("the second: %v", err)
	}
	died, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if left, unlock, err = Lock(path, "boot 1"); err != nil || left != "" {
		t.Errorf("after unlocking %q is left, %v", left, err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, died, 0o600); err != nil {
		t.Fatal(err)
	}
	if left, unlock, err = Lock(path, "boot 2"); err != nil || left != "boot 1" {
		t.Errorf("after a death %q is left, %v", left, err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// disk is a file system of its own in an image file, on a loop device.
type disk struct{ image, mount string }

// TestPowerCuts cuts the power, again and again. A writer works on a disk that is
// an image file; at a random moment it is stopped, and the image is copied: what
// is only in the kernel's memory is not in the copy. The copy is the disk after
// the cut. The kernel replays its journal; then the folder opens, verify finds
// nothing, and what was acknowledged is there, whole.
func TestPowerCuts(t *testing.T) {
	cuts := 4
	switch {
	case os.Getenv("CHEESEBOARD_TEST_LONG") != "":
		cuts = 100
	case testing.Short():
		cuts = 2
	}
	d := newDisk(t)
	told := newTold()
	moments := rand.New(rand.NewPCG(17, 19))
	for round := range cuts {
		lines := 1 + moments.IntN(60)
		pause := time.Duration(moments.IntN(30_000)) * time.Microsecond
		after := disk{filepath.Join(t.TempDir(), "image"), t.TempDir()}
		dir := filepath.Join(d.mount, "data")
		var cut error
		steps := writeUntil(t, dir, round, lines, pause, func(p *os.Process) {
			cut = errors.Join(halt(p.Pid), command("cp", "--sparse=always", d.image, after.image))
			_ = p.Kill() // the test fails where it was not alive any more
		})
		if cut != nil {
			t.Fatalf("cut the power: %v", cut)
		}
		for _, line := range steps {
			told.hear(t, line)
		}
		d.drop(t)
		d = after
		if err := d.open(); err != nil {
			t.Fatalf("mount the disk after cut %d: %v", round, err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(after.mount, syscall.MNT_DETACH) }) // for the case that the test fails
		dir = filepath.Join(d.mount, "data")
		promised := states(t, dir)
		s := open(t, dir, Options{SyncEvery: 32 << 10, BootID: bootOf(dir)})
		if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
			t.Errorf("cut %d: verify finds %+v", round, found)
		}
		told.check(t, s)
		promised.check(t, s)
		closeStore(t, s)
		if t.Failed() {
			t.Fatalf("after cut %d; the last steps were %q", round, steps[max(0, len(steps)-8):])
		}
	}
	d.drop(t)
	t.Logf("%d power cuts; %d acknowledged steps, %d of them files; %d partials with synced bytes", cuts, told.steps, told.files, told.partials)
	if told.files == 0 || told.steps < cuts {
		t.Error("the writer did next to nothing")
	}
}

// newDisk makes an empty disk, or skips the test where that is not possible.
func newDisk(t *testing.T) disk {
	t.Helper()
	d := disk{filepath.Join(t.TempDir(), "image"), t.TempDir()}
	if os.Geteuid() != 0 {
		t.Skip("mounting an image needs root")
	}
	err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, 256<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image); err != nil {
		t.Skipf("no file system can be made here: %v", err)
	}
	if err := d.open(); err != nil {
		t.Skipf("an image cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.mount, syscall.MNT_DETACH) }) // for the case that the test fails
	return d
}

// open mounts the disk. Nothing but an fsync makes its journal commit: while the
// image is copied nothing must move.
func (d disk) open() error {
	return command("mount", "-o", "loop,noatime,commit=900", d.image, d.mount)
}

// drop throws the disk away.
func (d disk) drop(t *testing.T) {
	t.Helper()
	if err := command("umount", d.mount); err != nil {
		t.Error(err)
	}
	if err := os.Remove(d.image); err != nil {
		t.Error(err)
	}
}

func command(name string, arguments ...string) error {
	var said bytes.Buffer
	cmd := exec.Command(name, arguments...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, said.String())
	}
	return nil
}

// halt stops a process, and waits until none of its threads runs.
func halt(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(stats) == 0 {
			return fmt.Errorf("it has no threads: %w", err)
		}
		running := false
		for _, path := range stats {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			// The name, in parentheses, may hold anything; the state follows it.
			_, rest, _ := strings.Cut(string(raw[bytes.LastIndexByte(raw, ')'):]), " ")
			running = running || !strings.HasPrefix(rest, "T")
		}
		if !running {
			return nil
		}
		runtime.Gosched()
	}
}

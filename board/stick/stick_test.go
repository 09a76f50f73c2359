package stick

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// bench is a machine of files, whose devices and events a test makes.
type bench struct {
	t      *testing.T
	root   string
	events chan Event
	missed chan struct{}

	mu      sync.Mutex
	mounted map[string]string // folder → device
	failing error             // of Unmount
	told    []string
	heard   chan struct{}
	closed  bool
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, root: t.TempDir(), events: make(chan Event), missed: make(chan struct{}), mounted: make(map[string]string), heard: make(chan struct{}, 100)}
	b.write("proc/self/mountinfo", "21 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n")
	b.device("devices/platform/mmc0/block/mmcblk0", "179:0")
	b.device("devices/platform/mmc0/block/mmcblk0/mmcblk0p2", "179:2")
	return b
}

func (b *bench) write(path, text string) {
	b.t.Helper()
	path = filepath.Join(b.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

// device makes a block device, which is a partition where its parent is one.
func (b *bench) device(path, number string) (name string) {
	b.t.Helper()
	name = filepath.Base(path)
	b.write(filepath.Join("sys", path, "dev"), number+"\n")
	if filepath.Base(filepath.Dir(path)) != "block" {
		b.write(filepath.Join("sys", path, "partition"), "1\n")
	}
	class := filepath.Join(b.root, "sys/class/block")
	if err := os.MkdirAll(class, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(b.root, "sys", path), filepath.Join(class, name)); err != nil {
		b.t.Fatal(err)
	}
	return name
}

func (b *bench) unplug(path string) {
	b.t.Helper()
	if err := errors.Join(os.Remove(filepath.Join(b.root, "sys/class/block", filepath.Base(path))), os.RemoveAll(filepath.Join(b.root, "sys", path))); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) Next(ctx context.Context) (Event, error) {
	select {
	case e := <-b.events:
		return e, nil
	case <-b.missed:
		return Event{}, ErrMissed
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
}
func (b *bench) Close() error { b.closed = true; return nil }

func (b *bench) mount(device, folder string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasSuffix(device, "sdb1") {
		return errors.New("wrong fs type")
	}
	b.mounted[folder] = device
	return nil
}

func (b *bench) unmount(folder string, _ time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing != nil && !errors.Is(b.failing, ErrUnwritten) {
		return b.failing
	}
	delete(b.mounted, folder)
	return b.failing
}

// watch runs a watcher until the test ends.
func (b *bench) watch() (w *Watcher, end func()) {
	w = New(Options{Folder: filepath.Join(b.root, "media"), Root: b.root, Source: func() (Source, error) { return b, nil }, Mount: b.mount, Unmount: b.unmount})
	w.Subscribe(func(c Change) {
		b.mu.Lock()
		b.told = append(b.told, fmt.Sprintf("%s %t", c.Device, c.Gone))
		b.mu.Unlock()
		b.heard <- struct{}{}
	})
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(end)
	return w, end
}

// settle waits until all events before have been dealt with.
func (b *bench) settle() { b.events <- Event{Subsystem: "net"}; b.events <- Event{Subsystem: "net"} }

func (b *bench) said(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.told, want) {
		b.t.Errorf("told of %q, want %q", b.told, want)
	}
	b.told = nil
}

const usb = "devices/platform/usb1/1-1/host0/block/"

func TestWatcher(t *testing.T) {
	b := newBench(t)
	b.device(usb+"sda", "8:0")
	b.device(usb+"sda/sda1", "8:1")
	w, end := b.watch()
	<-b.heard // what was there
	b.settle()
	b.said("sda1 false")
	add := func(name string) { b.events <- Event{Action: "add", Subsystem: "block", Name: name} }
	gone := func(name string) { b.events <- Event{Action: "remove", Subsystem: "block", Name: name} }

	add("sda1") // once more
	add("mmcblk0p2")
	b.device(usb+"sdb", "8:16")
	b.device(usb+"sdb/sdb1", "8:17")
	add("sdb1") // cannot be mounted
	add("no-such")
	b.device(usb+"sdc", "8:32")
	add("sdc") // without partitions
	b.settle()
	b.said("sdc false")
	if got := w.Sticks(); len(got) != 2 || got[0].Device != "sda1" || got[1].Folder != filepath.Join(b.root, "media/sdc") {
		t.Errorf("%+v", got)
	}

	// Let go of: it is not mounted again by an event that comes late.
	b.failing = errors.New("device or resource busy")
	if err := w.Remove("sda1"); err == nil || !strings.Contains(err.Error(), "do not pull it out") || len(w.Sticks()) != 2 {
		t.Errorf("a stick in use: %v", err)
	}
	b.failing = nil
	if err := w.Remove("sda1"); err != nil {
		t.Error(err)
	}
	b.events <- Event{Action: "change", Subsystem: "block", Name: "sda1"}
	b.settle()
	b.said("sda1 true")
	gone("sda1")
	b.unplug(usb + "sda/sda1")
	b.settle()
	b.said()
	b.device(usb+"sda/sda1", "8:1")
	add("sda1") // plugged in again
	b.settle()
	b.said("sda1 false")

	// Pulled out without a word, and events that were missed.
	b.failing = ErrUnwritten
	gone("sdc")
	b.unplug(usb + "sdc")
	b.settle()
	b.said("sdc true")
	b.failing = nil
	b.unplug(usb + "sda/sda1")
	b.unplug(usb + "sda")
	b.missed <- struct{}{}
	b.settle()
	b.said("sda1 true")
	b.device(usb+"sda", "8:0")
	b.device(usb+"sda/sda1", "8:1")
	b.missed <- struct{}{}
	b.settle()
	b.said("sda1 false")
	end()
	b.said("sda1 true")
	if len(b.mounted) != 0 || !b.closed || len(w.Sticks()) != 0 {
		t.Errorf("at the end: %v", b.mounted)
	}
	if left, err := os.ReadDir(filepath.Join(b.root, "media")); err != nil || len(left) != 0 {
		t.Errorf("folders are left: %v, %v", left, err)
	}
}

// TestOwnDisk: a disk on USB that the machine runs from is no stick, nor are its other
// partitions.
func TestOwnDisk(t *testing.T) {
	b := newBench(t)
	b.write("proc/self/mountinfo", "21 1 8:2 / / rw - ext4 /dev/sda2 rw\n")
	for i, name := range []string{"sda", "sda/sda1", "sda/sda2"} {
		b.device(usb+name, fmt.Sprintf("8:%d", i))
	}
	w, _ := b.watch()
	b.settle()
	if got := w.Sticks(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

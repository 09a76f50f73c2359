// Package stick sees USB sticks come and go, mounts them, and lets go of them safely.
//
// The kernel tells of devices on a socket (listen_linux.go, uevent.go). Watcher mounts
// the file systems of what can be pulled out, each in a folder of its own, and tells
// those who listen.
package stick

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Source tells of devices.
type Source interface {
	// Next waits for the next event. ErrMissed: some were lost, and what is there has to
	// be looked at anew. Otherwise its error is that of ctx, or ends all.
	Next(ctx context.Context) (Event, error)
	Close() error
}

// ErrMissed: more happened than was taken.
var ErrMissed = errors.New("events of devices were missed")

// ErrUnwritten: a stick is unmounted, and did not take all that was to be written to it.
var ErrUnwritten = errors.New("the stick did not take all that was written to it")

// Stick is a file system on a stick that is mounted.
type Stick struct {
	Device string // below /dev: "sda1"
	Folder string // where it is mounted
}

// Change is what is told to those who listen.
type Change struct {
	Stick
	Gone bool // it can be pulled out, or was; else it has come
}

// Options are what a Watcher is built from.
type Options struct {
	Folder  string                                            // in which sticks are mounted, each in a folder of its own; required
	Root    string                                            // where /sys and /dev are; "": /
	Source  func() (Source, error)                            // nil: Listen
	Mount   func(device, folder string) error                 // nil: Mount
	Unmount func(folder string, patience time.Duration) error // nil: Unmount
	Log     *slog.Logger                                      // nil discards
}

// unmountPatience is how long a stick that is still in use is waited for.
const unmountPatience = 5 * time.Second

// Watcher knows the sticks that are mounted. Its methods may be called concurrently.
type Watcher struct {
	o Options

	mounting sync.Mutex // held while something is mounted or unmounted

	mu     sync.Mutex
	sticks map[string]Stick // by device
	let    map[string]bool  // let go of, and not pulled out yet: not to be mounted again
	listen map[int]func(Change)
	number int
}

// New makes a watcher. Run has it look.
func New(o Options) *Watcher {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Source == nil {
		o.Source = Listen
	}
	if o.Mount == nil {
		o.Mount = Mount
	}
	if o.Unmount == nil {
		o.Unmount = Unmount
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{o: o, sticks: make(map[string]Stick), let: make(map[string]bool), listen: make(map[int]func(Change))}
}

// Run mounts what is there and what comes, until ctx ends; then it unmounts all. It
// waits in the kernel for events, and costs nothing while none come.
func (w *Watcher) Run(ctx context.Context) error {
	source, err := w.o.Source()
	if err != nil {
		return err
	}
	err = w.follow(ctx, source)
	for _, s := range w.Sticks() {
		err = errors.Join(err, w.Remove(s.Device))
	}
	return errors.Join(err, source.Close())
}

func (w *Watcher) follow(ctx context.Context, source Source) error {
	w.survey() // after the source is open: nothing falls between
	for {
		e, err := source.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrMissed):
			w.survey()
		case err != nil:
			return err
		case e.Subsystem != "block" || e.Name == "":
		case e.Action == "remove":
			w.pulled(e.Name)
		case e.Action == "add" || e.Action == "change":
			w.came(e.Name)
		}
	}
}

// survey looks at all block devices.
func (w *Watcher) survey() {
	devices, err := filepath.Glob(filepath.Join(w.o.Root, "sys/class/block/*"))
	if err != nil {
		return // a pattern of ours is not malformed
	}
	var here []string
	for _, path := range devices {
		here = append(here, filepath.Base(path))
	}
	for _, s := range w.Sticks() {
		if !slices.Contains(here, s.Device) {
			w.pulled(s.Device)
		}
	}
	w.mu.Lock()
	maps.DeleteFunc(w.let, func(name string, _ bool) bool { return !slices.Contains(here, name) })
	w.mu.Unlock()
	for _, name := range here {
		w.came(name)
	}
}

// came mounts a device, where it is the file system of a stick.
func (w *Watcher) came(name string) {
	if !deviceName(name) || !w.onStick(name) {
		return
	}
	w.mounting.Lock()
	defer w.mounting.Unlock()
	w.mu.Lock()
	_, known := w.sticks[name]
	known = known || w.let[name]
	w.mu.Unlock()
	if known {
		return
	}
	s := Stick{Device: name, Folder: filepath.Join(w.o.Folder, name)}
	err := os.MkdirAll(s.Folder, 0o700)
	if err == nil {
		err = w.o.Mount(filepath.Join(w.o.Root, "dev", name), s.Folder)
	}
	if err != nil {
		_ = os.Remove(s.Folder) // it is empty, or was never made
		w.o.Log.Info("a stick could not be mounted", "device", name, "reason", err)
		return
	}
	w.o.Log.Info("a stick is mounted", "device", name, "folder", s.Folder)
	w.mu.Lock()
	w.sticks[name] = s
	w.mu.Unlock()
	w.tell(Change{Stick: s})
}

// onStick tells whether a block device is a file system on something that hangs on USB:
// a partition, or a disk without any.
func (w *Watcher) onStick(name string) bool {
	path, err := filepath.EvalSymlinks(filepath.Join(w.o.Root, "sys/class/block", name))
	if err != nil {
		return false // it has gone meanwhile
	}
	if !strings.Contains(filepath.ToSlash(path), "/usb") {
		return false
	}
	disk := path
	if _, err := os.Stat(filepath.Join(path, "partition")); err == nil {
		disk = filepath.Dir(path)
	}
	partitions, err := filepath.Glob(filepath.Join(disk, "*", "partition"))
	if err != nil || disk == path && len(partitions) > 0 {
		return false
	}
	// A disk of which the machine uses a part, for its data or for itself, is no stick.
	parts := []string{disk}
	for _, p := range partitions {
		parts = append(parts, filepath.Dir(p))
	}
	return !w.used(parts)
}

// used tells whether one of some block devices, by their paths in /sys, is mounted by
// somebody else.
func (w *Watcher) used(paths []string) bool {
	mounts, err := os.ReadFile(filepath.Join(w.o.Root, "proc/self/mountinfo"))
	if err != nil {
		return true // better none than one too many
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // proc(5): number, parent, major:minor, root, folder
		if len(fields) < 5 || strings.HasPrefix(fields[4], strings.TrimSuffix(w.o.Folder, "/")+"/") {
			continue
		}
		for _, path := range paths {
			number, err := os.ReadFile(filepath.Join(path, "dev"))
			if err == nil && strings.TrimSpace(string(number)) == fields[2] {
				return true
			}
		}
	}
	return false
}

// pulled forgets a stick that is not there any more.
func (w *Watcher) pulled(name string) {
	w.mounting.Lock()
	defer w.mounting.Unlock()
	w.mu.Lock()
	s, known := w.sticks[name]
	delete(w.sticks, name)
	delete(w.let, name)
	w.mu.Unlock()
	if !known {
		return
	}
	w.o.Log.Warn("a stick was pulled out without being let go of; what was being written to it may be lost", "device", name)
	if err := w.o.Unmount(s.Folder, unmountPatience); err != nil && !errors.Is(err, ErrUnwritten) {
		w.o.Log.Warn("a stick that is gone is still mounted", "device", name, "reason", err)
	} else {
		w.tidy(s)
	}
	w.tell(Change{Stick: s, Gone: true})
}

// Remove writes out what a stick has not got yet and unmounts it: then it can be pulled
// out. An error says that it must not be. A device that is not mounted is no error.
func (w *Watcher) Remove(device string) error {
	w.mounting.Lock()
	defer w.mounting.Unlock()
	w.mu.Lock()
	s, known := w.sticks[device]
	w.mu.Unlock()
	if !known {
		return nil
	}
	err := w.o.Unmount(s.Folder, unmountPatience)
	if err != nil && !errors.Is(err, ErrUnwritten) {
		return fmt.Errorf("let go of the stick %s, do not pull it out: %w", device, err)
	}
	w.tidy(s)
	w.mu.Lock()
	delete(w.sticks, device)
	w.let[device] = true
	w.mu.Unlock()
	w.tell(Change{Stick: s, Gone: true})
	if err != nil {
		return fmt.Errorf("let go of the stick %s: %w", device, err)
	}
	w.o.Log.Info("a stick can be pulled out", "device", device)
	return nil
}

func (w *Watcher) tidy(s Stick) {
	if err := os.Remove(s.Folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.o.Log.Info("the folder of a stick is still there", "folder", s.Folder, "reason", err)
	}
}

// Sticks lists what is mounted, by device.
func (w *Watcher) Sticks() []Stick {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Stick
	for _, s := range w.sticks {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Stick) int { return strings.Compare(a.Device, b.Device) })
	return out
}

// Subscribe has a function called at each change, one after another, until stop is
// called. It must be quick, and must not call Remove.
func (w *Watcher) Subscribe(changed func(Change)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number++
	number := w.number
	w.listen[number] = changed
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.listen, number)
	}
}

// tell tells those who listen; w.mounting is held, so that all hear the same order.
func (w *Watcher) tell(c Change) {
	w.mu.Lock()
	var all []func(Change)
	for _, number := range slices.Sorted(maps.Keys(w.listen)) {
		all = append(all, w.listen[number])
	}
	w.mu.Unlock()
	for _, changed := range all {
		changed(c)
	}
}

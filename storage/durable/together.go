package durable

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// A sync of a directory that begins after a name has changed covers it, whoever
// asked for it. So those who come while a directory is being synced share the next
// sync: many small files that arrive together cost little more than one.

// dirSyncs are the syncs of directories of a Disk. The zero value is ready.
type dirSyncs struct {
	mu      sync.Mutex
	running map[string]*dirSync
	next    map[string]*dirSync // have not begun: whoever comes can join
}

type dirSync struct {
	done chan struct{}
	err  error // after done
}

// sync has do, which syncs the directory, begin after this call, once for all who
// come before it begins.
func (d *dirSyncs) sync(path string, do func() error) error {
	path = filepath.Clean(path)
	d.mu.Lock()
	if s := d.next[path]; s != nil {
		d.mu.Unlock()
		<-s.done
		return s.err
	}
	if d.next == nil {
		d.next, d.running = make(map[string]*dirSync), make(map[string]*dirSync)
	}
	s := &dirSync{done: make(chan struct{})}
	if before := d.running[path]; before != nil {
		d.next[path] = s
		d.mu.Unlock()
		<-before.done
		d.mu.Lock()
		delete(d.next, path)
	}
	d.running[path] = s
	d.mu.Unlock()
	s.err = errors.New("the sync of the directory was given up") // but for a panic
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.running, path)
		close(s.done)
	}()
	s.err = do()
	return s.err
}

// SyncDir makes the names in a directory durable, as they are when it is called.
func (d *Disk) SyncDir(path string) error {
	if d == nil {
		return syncDir(path)
	}
	return d.dirs.sync(path, func() error {
		return d.step(StepSyncDir, path, func() error { return syncDir(path) })
	})
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) {
		err = nil // file systems that do not sync directories say so in this way
	}
	return errors.Join(err, f.Close())
}

// SyncWith makes the bytes of a file and the names in directories durable at the
// same time, which costs a journal less than one after the other. It tells apart what
// became of the bytes and of the names.
func (d *Disk) SyncWith(f *os.File, dirs ...string) (bytes, names error) {
	if d != nil && d.Fault != nil { // tests count steps
		bytes = d.Sync(f)
		for _, dir := range dirs {
			names = errors.Join(names, d.SyncDir(dir))
		}
		return bytes, names
	}
	errs := make([]error, len(dirs))
	var beside sync.WaitGroup
	for i, dir := range dirs {
		beside.Go(func() { errs[i] = d.SyncDir(dir) })
	}
	bytes = d.Sync(f)
	beside.Wait()
	return bytes, errors.Join(errs...)
}

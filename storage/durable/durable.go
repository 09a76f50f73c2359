// Package durable is the only place that renames, syncs and removes files.
//
// A step that has returned nil survives a power cut: the bytes were synced
// before the name that shows them, and the directory after it. Nobody else in
// the program calls os.Rename; a test of the import rules holds that.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Step names one thing that is done to the disk.
type Step string

// The steps, in the order in which a file goes through them.
const (
	StepWrite   Step = "write"
	StepSync    Step = "sync"
	StepRename  Step = "rename"
	StepSyncDir Step = "sync directory"
	StepRemove  Step = "remove"
)

// Disk carries out durable steps. The zero value is the real disk.
type Disk struct {
	// Fault, where it is set, is asked before each step (done is false) and
	// after it (done is true). An error before keeps the step from happening;
	// an error after lets it happen and reports it as failed. Tests use it to
	// fail each step in both ways.
	Fault func(step Step, path string, done bool) error

	dirs dirSyncs
}

func (d *Disk) step(step Step, path string, do func() error) error {
	if d != nil && d.Fault != nil {
		if err := d.Fault(step, path, false); err != nil {
			return fmt.Errorf("%s %s: %w", step, path, err)
		}
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	if d != nil && d.Fault != nil {
		if err := d.Fault(step, path, true); err != nil {
			return fmt.Errorf("%s %s: %w", step, path, err)
		}
	}
	return nil
}

// Sync makes the bytes of f durable.
func (d *Disk) Sync(f *os.File) error {
	return d.step(StepSync, f.Name(), f.Sync)
}

// WriteFile puts data at path, whole or not at all: a temporary file beside it,
// synced, renamed over it, and the directory synced. When it returns nil the
// new content is durable; when it fails, the old content or the new one stands,
// never a mixture. Not for two writers of one path at once.
func (d *Disk) WriteFile(path string, data []byte, perm fs.FileMode) error {
	temp := path + ".new"
	err := d.step(StepWrite, temp, func() error { return os.WriteFile(temp, data, perm) })
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	f, err := os.Open(temp)
	if err != nil {
		return err
	}
	err = d.Sync(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	return d.Publish(temp, path)
}

// WriteStream is WriteFile for what does not fit into memory: fill writes it.
func (d *Disk) WriteStream(path string, perm fs.FileMode, fill func(io.Writer) error) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	if err = d.step(StepWrite, temp, func() error { return fill(f) }); err == nil {
		err = d.Sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(temp)))
	}
	return d.Publish(temp, path)
}

// Publish gives a file, whose bytes have been synced, its final name, and makes
// the name durable. It replaces what stood there. Both must be on one file system.
func (d *Disk) Publish(from, to string) error {
	if err := d.step(StepRename, to, func() error { return os.Rename(from, to) }); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(to))
}

// Remove takes a name away. A name that is not there is no error. The removal
// is not synced: after a power cut the file may be there again, so the caller
// must be able to meet it twice.
func (d *Disk) Remove(path string) error {
	return d.step(StepRemove, path, func() error { return ignoreMissing(os.Remove(path)) })
}

// RemoveAll takes a folder away with all that is in it. A name that is not there
// is no error. The removal is not synced.
func (d *Disk) RemoveAll(path string) error {
	return d.step(StepRemove, path, func() error { return os.RemoveAll(path) })
}

// MkdirAll makes a directory and its parents, and makes their names durable.
func (d *Disk) MkdirAll(path string, perm fs.FileMode) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("make folder %s: a file of that name is in the way", path)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := d.MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.SyncDir(parent)
}

// Free gives the bytes that an unprivileged writer can still use on the file
// system that holds path.
func Free(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("ask for free space of %s: %w", path, err)
	}
	free := st.Bavail * uint64(st.Bsize)
	if free > 1<<62 {
		free = 1 << 62
	}
	return int64(free), nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Scratch makes a file without a name on the file system of a folder, for what
// can be made again: it is gone when it is closed, or with the process.
func Scratch(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err == nil {
		return f, nil
	}
	// Not every file system makes files without a name; then it loses its name.
	if f, err = os.CreateTemp(dir, "scratch-*"); err != nil {
		return nil, fmt.Errorf("make scratch file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("make scratch file: %w", err), f.Close())
	}
	return f, nil
}

// accessWrite is W_OK of access(2).
const accessWrite = 2

// Unwritable tells whether a folder is on a file system that can only be read: it was
// mounted so, or has become so after an error. The latter newer kernels do not tell before
// something is to be written.
func Unwritable(dir string) bool {
	if errors.Is(syscall.Access(dir, accessWrite), syscall.EROFS) {
		return true
	}
	f, err := Scratch(dir)
	if err == nil {
		err = f.Close()
	}
	return errors.Is(err, syscall.EROFS)
}

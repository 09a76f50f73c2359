package durable

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// LockedError says that another process holds a lock.
type LockedError struct {
	Path string
	PID  int // of the holder; 0 where it is not known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("lock %s: another process holds it", e.Path)
	}
	return fmt.Sprintf("lock %s: process %d holds it", e.Path, e.PID)
}

// Lock takes the exclusive lock that the file at path stands for, and writes
// this process's number into it, and on a line of its own the mark. The kernel
// gives the lock free when the process ends, however it ends; unlock also takes
// out what is written there. left is the mark of a process that ended without
// unlock, as far as the disk has it; "" where there is none. A *LockedError when
// another process has it. On a file system that can only be read nothing is written, and
// the file must be there.
func Lock(path, mark string) (left string, unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	readOnly := errors.Is(err, syscall.EROFS)
	if readOnly {
		f, err = os.Open(path)
	}
	if err != nil {
		return "", nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	raw, readErr := os.ReadFile(path)
	pid, left, _ := strings.Cut(string(raw), "\n")
	if errors.Is(err, syscall.EWOULDBLOCK) {
		held := &LockedError{Path: path}
		if n, err := strconv.Atoi(pid); err == nil && readErr == nil {
			held.PID = n
		}
		return "", nil, errors.Join(held, f.Close())
	}
	if err == nil && !readOnly {
		err = sign(f, mark)
		readOnly = errors.Is(err, syscall.EROFS)
		if readOnly || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = nil // the lock holds without the number
		}
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	unlock = func() error {
		var err error
		if !readOnly {
			err = f.Truncate(0)
		}
		if errors.Is(err, syscall.EROFS) {
			err = nil // the next one finds a number of nobody
		}
		// Close alone would leave the lock to a child that this process is just
		// starting: until it runs its own program it has all our files.
		return errors.Join(err, syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
	}
	return strings.TrimSpace(left), unlock, nil
}

// sign writes who holds a lock into its file.
func sign(f *os.File, mark string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f, "%d\n%s\n", os.Getpid(), mark)
	return err
}

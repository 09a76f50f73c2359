package durable

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Allocate makes a file of a size at path whose blocks are its own, without
// writing them: nobody else can use that space until the file is removed. A file
// that is there grows. errors.ErrUnsupported where the file system cannot do it.
func Allocate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("allocate: %w", err)
	}
	for {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, size)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("allocate %d bytes for %s: %w", size, path, err)
	}
	return errors.Join(err, f.Close())
}

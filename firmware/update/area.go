package update

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Area is a partition of the card.
type Area interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes what was written durable, and has what is read after it come from
	// the card and not from memory, as far as the system can.
	Sync() error
	Size() int64
	Close() error
}

// device is a partition's device, or a file in its place.
type device struct {
	*os.File
	size int64
}

// OpenArea opens the device of a partition to be read and written. The page cache of
// a device is one with that of whoever has it mounted, so slots that are written
// must not be mounted; p1, where it is mounted read-only, may be. Of a card that is
// write-protected it can be read, and to write is an error.
func OpenArea(path string) (Area, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the partition: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("find the size of %s: %w", path, err), f.Close())
	}
	return &device{f, size}, nil
}

// Size is that of the partition, bytes.
func (d *device) Size() int64 { return d.size }

// Sync implements Area. Clean pages are given up, so that reading back asks the card.
func (d *device) Sync() error {
	if err := d.File.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(d.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("have %s read from the card: %w", d.Name(), err)
	}
	return nil
}

package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"cheeseboard/storage/pypi"
)

// coldPiece is how much is read at once past the page cache: a client's request
// waits for no more than that.
const coldPiece = 128 << 10

// alignment is that of buffers and offsets where the page cache is passed by.
const alignment = 4096

// ReadCold reads a finished blob from the disk itself, past the page cache: what
// is in memory proves nothing of the disk, and what clients need must not be
// pushed out of it. before is called ahead of each piece with its greatest length,
// and its error ends the reading; use gets each piece. Where the file system cannot
// pass its cache by, what was read is dropped from there. It returns what it has of
// the file also with an error. ErrNotFound.
func (d *Dir) ReadCold(digest pypi.Digest, before func(bytes int) error, use func([]byte)) (os.FileInfo, error) {
	info, err := readCold(d.path(digest), before, use)
	if errors.Is(err, fs.ErrNotExist) {
		return info, fmt.Errorf("read blob %s: %w", digest, ErrNotFound)
	}
	return info, err
}

func readCold(path string, before func(bytes int) error, use func([]byte)) (os.FileInfo, error) {
	f, err := openCold(path, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	buffer := aligned(coldPiece)
	direct := true
	for at := int64(0); at < info.Size(); {
		if err := before(int(min(coldPiece, info.Size()-at))); err != nil {
			return info, err
		}
		n, err := f.ReadAt(buffer, at)
		if direct && errors.Is(err, syscall.EINVAL) {
			direct = false
			if err = f.Close(); err == nil {
				f, err = openCold(path, false)
			}
			if err != nil {
				return info, err
			}
			continue
		}
		if !direct {
			_ = unix.Fadvise(int(f.Fd()), at, int64(n), unix.FADV_DONTNEED) // a favour to others
		}
		use(buffer[:n])
		at += int64(n)
		if err == io.EOF && at < info.Size() {
			return info, &fs.PathError{Op: "read", Path: path, Err: io.ErrUnexpectedEOF}
		}
		if err != nil && err != io.EOF {
			return info, err
		}
	}
	return info, nil
}

func openCold(path string, direct bool) (*os.File, error) {
	if direct {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
		if !errors.Is(err, syscall.EINVAL) {
			return f, err
		}
	}
	return os.Open(path)
}

// aligned makes a buffer that begins at a multiple of alignment.
func aligned(n int) []byte {
	b := make([]byte, n+alignment)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (alignment - 1)
	return b[skip : skip+n : skip+n]
}

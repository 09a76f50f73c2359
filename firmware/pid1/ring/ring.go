// Package ring keeps the last lines of the log in memory, and writes them to the card now
// and then, never more than a few hundred kilobytes a day: cards wear out.
package ring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cheeseboard/storage/durable"
)

// Ring keeps the last bytes that were written to it, in whole lines. It may be used
// concurrently; a write is a line or several, or the part of one.
type Ring struct {
	mu      sync.Mutex
	b       []byte
	most    int
	written int64 // bytes that were ever written
	flushed int64 // of them those that are on the card, or were not to go there
}

// New makes a Ring of so many bytes.
func New(most int) *Ring { return &Ring{most: most} }

// Write implements io.Writer; it never fails.
func (r *Ring) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written += int64(len(b))
	r.b = append(r.b, b...)
	if len(r.b) > 2*r.most { // not at each write
		r.b = bytes.Clone(lastLines(r.b, r.most))
	}
	return len(b), nil
}

// lastLines gives the last whole lines of at most so many bytes.
func lastLines(b []byte, most int) []byte {
	if len(b) <= most {
		return b
	}
	b = b[len(b)-most:]
	if i := bytes.IndexByte(b, '\n'); i >= 0 && i+1 < len(b) {
		b = b[i+1:]
	}
	return b
}

// Bytes gives what is kept.
func (r *Ring) Bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(lastLines(r.b, r.most))
}

// fresh gives what was written since the last flush, at most so many bytes of it.
func (r *Ring) fresh(most int) (b []byte, until int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b = r.b
	if unflushed := r.written - r.flushed; int64(len(b)) > unflushed {
		b = b[int64(len(b))-unflushed:]
	}
	return bytes.Clone(lastLines(b, min(most, r.most))), r.written
}

// The bounds of what goes to the card.
const (
	// DayCap is how many bytes are written to it in a day at most.
	DayCap = 256 << 10
	// FileCap is how large a file becomes; the one before it is kept too.
	FileCap = 512 << 10
)

// Files are where a Ring is flushed to: NAME, and NAME.1 with what was before.
type Files struct {
	Folder, Name string

	disk durable.Disk
	day  time.Time
	used int
}

// Flush appends to the file what is new, as far as the cap of the day allows; the newest
// goes first. Durable when it returns. Not for two at once.
func (f *Files) Flush(r *Ring) error {
	if now := time.Now(); now.Sub(f.day).Abs() >= 24*time.Hour {
		f.day, f.used = now, 0
	}
	b, until := r.fresh(max(DayCap-f.used, 0))
	if len(b) == 0 {
		return nil
	}
	path := filepath.Join(f.Folder, f.Name)
	if err := f.append(path, b); err != nil {
		return fmt.Errorf("write the log to the card: %w", err)
	}
	f.used += len(b)
	r.mu.Lock()
	r.flushed = until
	r.mu.Unlock()
	return nil
}

func (f *Files) append(path string, b []byte) error {
	if err := os.MkdirAll(f.Folder, 0o755); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > FileCap {
		if err := f.disk.Publish(path, path+".1"); err != nil {
			return err
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = f.disk.Sync(file)
	}
	return errors.Join(err, file.Close())
}

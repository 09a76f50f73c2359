package storage

import (
	"fmt"
	"io"
	"os"
	"sync"

	"cheeseboard/storage/durable"
)

// Receiving is room for bytes of which is not known yet what they are. It has no
// name on the disk: what is not kept is gone when it is closed, or with the process.
// Its methods are for one goroutine.
type Receiving struct {
	store    *Store
	file     *os.File
	size     int64
	promised int64 // bytes for which room is kept
	close    func() error
}

var _ interface {
	io.Writer
	io.ReaderAt
} = (*Receiving)(nil)

// Receive makes room for so many bytes, at most. ErrFull where there is none.
func (s *Store) Receive(most int64) (*Receiving, error) {
	promised, err := s.promise(Ref{Pinned: true}, most, 0)
	if err != nil {
		return nil, fmt.Errorf("receive %d bytes: %w", most, full(err))
	}
	f, err := durable.Scratch(s.dir)
	if err != nil {
		s.promises.add(-promised)
		return nil, full(err)
	}
	r := &Receiving{store: s, file: f, promised: promised}
	r.close = sync.OnceValue(func() error {
		s.promises.add(-r.promised)
		return f.Close()
	})
	return r, nil
}

// Write appends. ErrFull when the disk has no space left.
func (r *Receiving) Write(b []byte) (int, error) {
	if err := r.store.room(int64(len(b)), r.promised); err != nil {
		return 0, err
	}
	n, err := r.file.Write(b)
	r.size += int64(n)
	kept := min(int64(n), r.promised)
	r.store.promises.add(-kept)
	r.promised -= kept
	return n, full(err)
}

// ReadAt implements io.ReaderAt over what was written.
func (r *Receiving) ReadAt(b []byte, at int64) (int, error) { return r.file.ReadAt(b, at) }

// Size is how many bytes were written.
func (r *Receiving) Size() int64 { return r.size }

// Close gives the bytes up; a second time it does nothing.
func (r *Receiving) Close() error { return r.close() }

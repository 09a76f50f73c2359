package storage

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"cheeseboard/storage/blob"
	"cheeseboard/storage/pypi"
)

// Incoming is a file on its way into the store. Its methods are for one
// goroutine; Follow gives others a file of their own.
type Incoming struct {
	*blob.Partial
	store *Store
	ref   Ref
}

// Begin opens the way in for a file, new or where it stopped. size is what the
// page states, or pypi.SizeUnknown. Errors: ErrHeld when the file is here (bytes
// that were here for another project, or that a lost record left behind, are
// hashed and taken over instead of being fetched again), ErrBusy, ErrFull.
func (s *Store) Begin(ref Ref, size int64) (*Incoming, error) {
	if _, ok, err := s.meta.Ref(ref.Name, ref.Digest); err != nil {
		return nil, err
	} else if ok {
		return nil, fmt.Errorf("begin %s: %w", ref.Filename, ErrHeld)
	}
	if err := s.room(max(size, 0)); err != nil {
		return nil, fmt.Errorf("begin %s: %w", ref.Filename, err)
	}
	note, err := json.Marshal(ref)
	if err != nil {
		return nil, err
	}
	p, err := s.blobs.Begin(ref.Digest, size, note)
	if errors.Is(err, blob.ErrExists) {
		if err := s.adopt(ref); err != nil {
			return nil, fmt.Errorf("take over %s: %w", ref.Filename, err)
		}
		return nil, fmt.Errorf("begin %s: %w", ref.Filename, ErrHeld)
	}
	if err != nil {
		return nil, full(err)
	}
	return &Incoming{Partial: p, store: s, ref: ref}, nil
}

// room refuses what would eat into the reserve.
func (s *Store) room(n int64) error {
	free, err := s.free(s.dir)
	if err != nil {
		return err
	}
	if free-n < s.reserve {
		return fmt.Errorf("%w: %d MB are free, %d MB must stay free (storage.reserve), and this needs %d MB; make room, or narrow the selection", ErrFull, free>>20, s.reserve>>20, (n+1<<20-1)>>20)
	}
	return nil
}

// Write appends bytes as they arrive. ErrFull when the disk has no space left
// or the reserve is reached.
func (in *Incoming) Write(b []byte) (int, error) {
	if err := in.store.room(int64(len(b))); err != nil {
		return 0, err
	}
	n, err := in.Partial.Write(b)
	return n, full(err)
}

// Commit verifies the bytes and makes them part of the store. On nil the file is
// durable, has the digest that its page states, and is served. A *MismatchError
// means that the bytes were wrong and have been set aside; ErrNotNamed that the
// page has changed meanwhile and the bytes are gone. The Incoming is closed,
// except after other errors.
func (in *Incoming) Commit() error {
	size, err := in.Finish()
	if err != nil {
		return full(err)
	}
	in.ref.Size = size
	return in.store.record(in.ref)
}

// record is the second half of the commit protocol, for a blob that has its
// name; recovery enters here.
func (s *Store) record(ref Ref) error {
	// COMMIT POINT: when AddRef returns, the file is part of the store. Before
	// it, the blob's state file makes recovery come back here.
	named, err := s.meta.AddRef(ref, func() error {
		size, err := s.blobs.Size(ref.Digest)
		if err == nil && size != ref.Size {
			err = fmt.Errorf("blob %s has %d bytes, not %d", ref.Digest, size, ref.Size)
		}
		return err
	})
	if err != nil {
		return full(err)
	}
	if !named {
		err := s.meta.Bury(ref.Digest, func() error { return s.blobs.Remove(ref.Digest) })
		return errors.Join(fmt.Errorf("record %s of %s: %w", ref.Filename, ref.Name, ErrNotNamed), err, s.blobs.Settle(ref.Digest))
	}
	return s.blobs.Settle(ref.Digest)
}

// adopt records bytes that are here already, after hashing them.
func (s *Store) adopt(ref Ref) error {
	f, err := s.blobs.OpenBlob(ref.Digest)
	if err != nil {
		return err
	}
	got, size, err := hashFile(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if got != ref.Digest {
		if _, err := s.blobs.Quarantine(ref.Digest); err != nil {
			return err
		}
		return &MismatchError{Want: ref.Digest, Got: got, WantSize: ref.Size, GotSize: size}
	}
	ref.Size = size
	return s.record(ref)
}

func hashFile(f io.Reader) (pypi.Digest, int64, error) {
	var d pypi.Digest
	h := sha256.New()
	n, err := io.Copy(h, f)
	h.Sum(d[:0])
	return d, n, err
}

// Pin changes whether a file that is here is held by a selection.
func (s *Store) Pin(name pypi.Name, digest pypi.Digest, pinned bool) error {
	ref, ok, err := s.meta.Ref(name, digest)
	if err != nil || ok && ref.Pinned == pinned {
		return err
	}
	if !ok {
		return fmt.Errorf("pin %s of %s: %w", digest, name, ErrNotFound)
	}
	ref.Pinned = pinned
	return s.record(ref)
}

// OpenFile opens a file that is here for a project; ErrNotFound where it is not.
// The caller closes it.
func (s *Store) OpenFile(name pypi.Name, digest pypi.Digest) (*os.File, Ref, error) {
	ref, ok, err := s.meta.Ref(name, digest)
	if err != nil {
		return nil, ref, err
	}
	if !ok {
		return nil, ref, fmt.Errorf("open %s of %s: %w", digest, name, ErrNotFound)
	}
	f, err := s.blobs.OpenBlob(digest)
	return f, ref, err
}

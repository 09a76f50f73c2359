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
	store    *Store
	ref      Ref
	finished bool  // it has its name, and waits to be recorded
	promised int64 // bytes for which room is kept
	coming   int64 // bytes that count for the quota until it is recorded
}

// Begin opens the way in for a file, new or where it stopped. size is what the
// page states, or pypi.SizeUnknown. Errors: ErrHeld when the file is here (bytes
// that were here for another project, or that a lost record left behind, are
// hashed and taken over instead of being fetched again), ErrBusy, ErrFull.
func (s *Store) Begin(ref Ref, size int64) (in *Incoming, err error) {
	// Bytes that are here can be removed while they are taken over.
	for range 3 {
		if err = s.held(ref); err == nil {
			in, err = s.begin(ref, size)
		}
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, blob.ErrExists) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", ref.Filename, full(err))
	}
	return in, nil
}

// held gives ErrHeld for a file that is here, and takes over bytes that are. What
// the disk has lost or changed since it was recorded it puts out of the way.
func (s *Store) held(ref Ref) error {
	here, recorded, err := s.meta.Ref(ref.Name, ref.Digest)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	size, err := s.blobs.Size(ref.Digest)
	switch {
	case errors.Is(err, ErrNotFound) && recorded:
		return s.lose(ref.Name, ref.Digest)
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case recorded && size == here.Size:
		return ErrHeld
	}
	ref.Pinned = ref.Pinned || recorded && here.Pinned
	var bad *MismatchError
	if err := s.adopt(ref); errors.As(err, &bad) {
		return nil // they were set aside
	} else if err != nil {
		return err
	}
	return ErrHeld
}

func (s *Store) begin(ref Ref, size int64) (*Incoming, error) {
	note, err := json.Marshal(ref)
	if err != nil {
		return nil, err
	}
	in := &Incoming{store: s, ref: ref}
	if in.promised, err = s.promise(ref, size, s.blobs.Have(ref.Digest)); err != nil {
		return nil, err
	}
	in.coming = comingOf(ref, size)
	if in.Partial, err = s.blobs.Begin(ref.Digest, size, note); err != nil {
		in.settleAccounts()
		return nil, err
	}
	return in, nil
}

// settleAccounts gives up the room that is kept.
func (in *Incoming) settleAccounts() {
	in.store.promises.add(-in.promised)
	in.store.cached.left(in.coming)
	in.promised, in.coming = 0, 0
}

// wrote takes bytes that have arrived off the room that is kept for them.
func (in *Incoming) wrote(n int) {
	n64 := min(int64(n), in.promised)
	in.store.promises.add(-n64)
	in.promised -= n64
}

// Write appends bytes as they arrive. ErrFull when the disk has no space left
// or the reserve is reached.
func (in *Incoming) Write(b []byte) (int, error) {
	if err := in.store.room(int64(len(b)), in.promised); err != nil {
		return 0, err
	}
	n, err := in.Partial.Write(b)
	in.wrote(n)
	return n, full(err)
}

// Sync makes the bytes so far durable. Errors: ErrFull, and those of the disk.
func (in *Incoming) Sync() error { return full(in.Partial.Sync()) }

// Reset throws the bytes away; the download starts from zero.
func (in *Incoming) Reset() error { return full(in.Partial.Reset()) }

// Close keeps what has arrived for the next Begin and makes it durable.
func (in *Incoming) Close() error {
	in.settleAccounts()
	return full(in.Partial.Close())
}

// Commit verifies the bytes and makes them part of the store. On nil the file is
// durable, has the digest that its page states, and is served. A *MismatchError
// means that the bytes were wrong and have been set aside; ErrNotNamed that the
// page has changed meanwhile and the bytes are gone. After other errors, such as
// ErrFull, Commit may be called again; if it is not, the next Begin or Open goes
// on from here. Close is to be called after any error.
func (in *Incoming) Commit() error {
	if !in.finished {
		size, err := in.Finish()
		var bad *MismatchError
		if errors.As(err, &bad) {
			in.settleAccounts()
		}
		if err != nil {
			return full(err)
		}
		in.finished, in.ref.Size = true, size
	}
	named, err := in.store.addRef(in.ref)
	switch {
	case err != nil:
		return err
	case named:
		in.settleAccounts()
		return in.Settle()
	}
	in.settleAccounts()
	return in.store.unnamed(in.ref, in.Withdraw, in.Settle)
}

// addRef is the second half of the commit protocol, for a blob that has its
// name. It reports false when the page does not name it.
func (s *Store) addRef(ref Ref) (named bool, err error) {
	ref.Pinned = ref.Pinned || s.Private(ref.Name)
	// COMMIT POINT: when AddRef returns, the file is part of the store. Before
	// it, the blob's state file makes recovery come back here.
	err = s.relieved(func() error {
		named, err = s.meta.AddRef(ref, func() error {
			size, err := s.blobs.Size(ref.Digest)
			if err == nil && size != ref.Size {
				err = fmt.Errorf("blob %s has %d bytes, not %d", ref.Digest, size, ref.Size)
			}
			return err
		})
		return full(err)
	})
	if named {
		s.recount(ref.Digest)
	}
	return named, err
}

// record is what Commit does after the bytes are whole, for blobs that nobody
// is writing; recovery enters here.
func (s *Store) record(ref Ref) error {
	named, err := s.addRef(ref)
	if err != nil {
		return err
	}
	if !named {
		return s.unnamed(ref,
			func() error { return s.blobs.Withdraw(ref.Digest) },
			func() error { return s.blobs.Settle(ref.Digest) })
	}
	return s.blobs.Settle(ref.Digest)
}

// unnamed gives ErrNotNamed for a blob that the page does not name. It is
// withdrawn, unless another project has a reference to it: then it is settled.
func (s *Store) unnamed(ref Ref, withdraw, settle func() error) error {
	referenced := true
	err := s.meta.Bury(ref.Digest, func() error { referenced = false; return withdraw() })
	if err == nil && referenced {
		err = settle()
	}
	return errors.Join(fmt.Errorf("record %s of %s: %w", ref.Filename, ref.Name, ErrNotNamed), err)
}

// adopt records bytes that are here already, after hashing them.
func (s *Store) adopt(ref Ref) error {
	seen, err := s.hash(ref.Digest)
	if err != nil {
		return err
	}
	if seen.digest != ref.Digest {
		return errors.Join(
			&MismatchError{Want: ref.Digest, Got: seen.digest, WantSize: pypi.SizeUnknown, GotSize: seen.size},
			s.setAside(ref.Digest, seen.info))
	}
	ref.Size = seen.size
	return s.record(ref)
}

// seen is what was read of a blob.
type seen struct {
	digest pypi.Digest
	size   int64
	info   os.FileInfo
}

// hash reads a blob. Errors: ErrNotFound, a *fs.PathError of the disk.
func (s *Store) hash(digest pypi.Digest) (seen seen, err error) {
	f, err := s.blobs.OpenBlob(digest)
	if err != nil {
		return seen, err
	}
	defer func() { _ = f.Close() }() // only read
	if seen.info, err = f.Stat(); err != nil {
		return seen, err
	}
	h := sha256.New()
	seen.size, err = io.Copy(h, f)
	h.Sum(seen.digest[:0])
	return seen, err
}

// Pin changes whether a file that is here is held by a selection. Those of private
// projects are held in any case.
func (s *Store) Pin(name pypi.Name, digest pypi.Digest, pinned bool) error {
	pinned = pinned || s.Private(name)
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
// The caller closes it. Where the disk has lost the bytes, or some of them, the
// reference goes, so that they can come again.
func (s *Store) OpenFile(name pypi.Name, digest pypi.Digest) (*os.File, Ref, error) {
	ref, ok, err := s.meta.Ref(name, digest)
	if err != nil {
		return nil, ref, err
	}
	if !ok {
		return nil, ref, fmt.Errorf("open %s of %s: %w", digest, name, ErrNotFound)
	}
	f, err := s.blobs.OpenBlob(digest)
	if errors.Is(err, ErrNotFound) {
		return nil, ref, errors.Join(err, s.lose(name, digest))
	}
	if err != nil {
		return nil, ref, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != ref.Size {
		// A disk that loses power may keep the name and lose the end.
		err = fmt.Errorf("open %s of %s: %d bytes, recorded are %d: %w", digest, name, info.Size(), ref.Size, ErrNotFound)
		err = errors.Join(err, s.setAside(digest, info))
	}
	if err != nil {
		return nil, ref, errors.Join(err, f.Close())
	}
	return f, ref, nil
}

package storage

import (
	"errors"
	"os"
	"slices"

	"cheeseboard/storage/pypi"
)

// What the disk has lost or changed is forgotten, so that it can come again. A
// reference goes before its bytes do: metadata never names bytes that are not
// there.

// lose drops the references to a blob whose bytes are not there; name is one
// project that is known to have one.
func (s *Store) lose(name pypi.Name, digest pypi.Digest) error {
	err := s.dropAll(name, digest, func() (bool, error) {
		_, err := s.blobs.Size(digest)
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return err
	}
	return s.buryDoomed(digest)
}

// setAside drops the references to a blob that was found to be wrong, and moves
// it into the quarantine. info is of the file that was looked at; another one
// that has taken its place is left alone.
func (s *Store) setAside(digest pypi.Digest, info os.FileInfo) error {
	same := func() (bool, error) {
		f, err := s.blobs.OpenBlob(digest)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		now, err := f.Stat()
		return err == nil && os.SameFile(now, info), errors.Join(err, f.Close())
	}
	if err := s.dropAll("", digest, same); err != nil {
		return err
	}
	err := s.meta.Bury(digest, func() error {
		if ok, err := same(); err != nil || !ok {
			return err
		}
		s.log.Error("the bytes of a file are not what they were; they are set aside", "digest", digest.String())
		_, err := s.blobs.Quarantine(digest)
		return err
	})
	if err != nil {
		return err
	}
	return s.buryDoomed(digest)
}

// dropAll drops the references to a blob, each if still says so at that moment.
func (s *Store) dropAll(name pypi.Name, digest pypi.Digest, still func() (bool, error)) error {
	names, err := s.meta.Holders(digest)
	if err != nil {
		return err
	}
	if name != "" && !slices.Contains(names, name) {
		names = append(names, name)
	}
	for _, name := range names {
		if err := s.drop(name, digest, still); err != nil {
			return err
		}
	}
	return nil
}

// drop puts a file on the list of what was lost and drops its reference, in one
// step: who changes the list in between would take it off, since it is still here.
func (s *Store) drop(name pypi.Name, digest pypi.Digest, still func() (bool, error)) error {
	s.losing.Lock()
	defer s.losing.Unlock()
	ref, here, err := s.meta.Ref(name, digest)
	if err == nil && here {
		err = s.remember(ref)
	}
	if ignoreDamaged(err) != nil && !errors.Is(err, ErrFull) { // on a full disk it goes without
		return err
	}
	dropped := false
	_, err = s.meta.DropRef(name, digest, func() (bool, error) {
		_, here, err := s.meta.Ref(name, digest)
		if !here && err == nil {
			return false, nil // dropped meanwhile
		}
		ok, err := still()
		dropped = ok && err == nil
		return dropped, err
	})
	if err != nil {
		return full(err)
	}
	if dropped {
		s.log.Error("a file that was here is lost; it can be fetched anew", "project", name, "digest", digest.String())
	}
	return nil
}

// buryDoomed takes a blob off the list of those whose bytes must go, and removes
// them if they are there.
func (s *Store) buryDoomed(digest pypi.Digest) error {
	if doomed, err := s.meta.IsDoomed(digest); err != nil || !doomed {
		return err
	}
	return s.bury([]pypi.Digest{digest})
}

// discard removes the bytes of a blob, durably, unless something names them.
func (s *Store) discard(digest pypi.Digest) error {
	err := s.meta.Bury(digest, func() error { return s.blobs.Remove(digest) })
	if err != nil {
		return err
	}
	return s.blobs.SyncRemoved(digest)
}

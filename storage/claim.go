package storage

import (
	"context"
	"errors"
	"fmt"

	"cheeseboard/storage/pypi"
)

// Claim takes over the files that are on the disk, that no record knows and that a
// page names, after hashing them; and forgets references whose bytes are not
// there. It is for metadata that are not as old as the files, once pages are here.
// Files that no page names stay: somebody may ask for their page. hold is asked
// before each file, and makes it wait; nil: nothing does. last says that the pages
// are those which the upstream has now: then Rebuilt has nothing more to tell. It
// returns how many files it took over.
func (s *Store) Claim(ctx context.Context, last bool, hold func() bool) (files int, err error) {
	v := s.newVerifier(ctx, VerifyOptions{Repair: true, Report: func(f Finding) {
		if f.Fault == FaultUnreferenced && f.Repaired {
			files++
		}
	}})
	v.keep, v.unknown = true, true
	waiting := pacer{hold: hold}
	v.read = func(digest pypi.Digest) (seen, error) {
		if err := waiting.take(ctx, 0); err != nil {
			return seen{}, err
		}
		return s.hash(digest)
	}
	if err := v.references(); err != nil {
		return files, fmt.Errorf("take over files: %w", err)
	}
	if _, err := v.walk(pypi.Digest{}); err != nil {
		return files, fmt.Errorf("take over files: %w", err)
	}
	rebuilt, err := s.rebuilt()
	if rebuilt && last && err == nil {
		err = full(s.meta.SetValue(rebuiltKey, []byte(claimed)))
	}
	if errors.Is(err, ErrFull) {
		err = nil // the next one notes it
	}
	if files > 0 {
		s.log.Info("files that were here have been taken over by their digest", "files", files)
	}
	return files, err
}

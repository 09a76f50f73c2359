package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cheeseboard/storage/blob"
)

// recover finishes what a cut left between two steps: pages that were too large
// for one transaction, blobs that have their name but no reference, and
// references that are gone whose bytes are not. What cannot be finished now is
// met again at the next start: one bad project does not keep the store closed.
func (s *Store) recover() error {
	if err := s.meta.Mend(); err != nil {
		s.log.Error("a change that a cut had stopped cannot be completed", "reason", err)
	}
	unsettled, err := s.blobs.Unsettled(time.Now().Add(-partialLife))
	if err != nil {
		return err
	}
	for _, u := range unsettled {
		if err := s.resettle(u); err != nil {
			s.log.Warn("a file that a cut had left unrecorded stays so; its page will claim it", "digest", u.Digest.String(), "reason", err)
		}
	}
	doomed, err := s.meta.Doomed()
	if err != nil {
		return err
	}
	if err := s.bury(doomed); err != nil {
		s.log.Error("files that nothing names any more cannot be removed", "reason", err)
	}
	return nil
}

// resettle records a blob that has its name but may have no reference.
func (s *Store) resettle(u blob.Unsettled) error {
	if u.Note == nil && s.blobs.Brief(u.Size) {
		return s.unclaimed(u)
	}
	var ref Ref
	if err := json.Unmarshal(u.Note, &ref); err != nil {
		return fmt.Errorf("read its note: %w", err)
	}
	ref.Digest, ref.Size = u.Digest, u.Size
	if _, recorded, err := s.meta.Ref(ref.Name, ref.Digest); err == nil && recorded {
		return s.blobs.Settle(ref.Digest) // the note may be older than the reference
	}
	if _, known, err := s.meta.Info(ref.Name); err != nil || !known {
		if rebuilt, rerr := s.rebuilt(); err != nil || rerr != nil || rebuilt {
			return errors.Join(err, rerr, fmt.Errorf("the page of %s is not here", ref.Name))
		}
	}
	err := s.record(ref)
	if errors.Is(err, ErrNotNamed) {
		return nil
	}
	if err == nil {
		s.log.Info("a file that a cut had left unrecorded was taken over", "project", ref.Name, "filename", ref.Filename)
	}
	return err
}

// unclaimed removes a small blob of which a cut has left the name, and not what it
// is for, unless it was recorded all the same. It is fetched again.
func (s *Store) unclaimed(u blob.Unsettled) error {
	if rebuilt, err := s.rebuilt(); err != nil || rebuilt {
		return errors.Join(err, errors.New("what it is for is not known"))
	}
	referenced := true
	err := s.meta.Bury(u.Digest, func() error { referenced = false; return s.blobs.Withdraw(u.Digest) })
	if err == nil && referenced {
		return s.blobs.Settle(u.Digest)
	}
	return err
}

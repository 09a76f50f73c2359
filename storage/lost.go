package storage

import (
	"encoding/json"
	"slices"

	"cheeseboard/storage/pypi"
)

// What was here and was lost by the disk is remembered until it is here again,
// also where no selection holds it: it was wanted once.

const (
	lostKey = "lost"
	// maxLost bounds what is remembered, so that it fits into one value.
	maxLost      = 1000
	maxLostBytes = 300 << 10
)

// lostRef is a Ref with its digest written down.
type lostRef struct {
	Ref
	SHA256 string `json:"sha256"`
}

// Lost lists the files that were here, that the disk has lost or changed, and
// that are not here again. It does not wait for who changes the list.
func (s *Store) Lost() ([]Ref, error) {
	raw, err := s.meta.Value(lostKey)
	if raw == nil || err != nil {
		return nil, ignoreDamaged(err)
	}
	var list []lostRef
	if json.Unmarshal(raw, &list) != nil {
		return nil, nil // a list that cannot be read is none
	}
	refs := make([]Ref, 0, len(list))
	for _, l := range list {
		digest, err := pypi.ParseDigest(l.SHA256)
		if err != nil {
			continue
		}
		l.Digest = digest
		if _, here, err := s.meta.Ref(l.Name, digest); err != nil || !here {
			refs = append(refs, l.Ref)
		}
	}
	return refs, nil
}

// Forsake takes files off the list of Lost: nobody wants them, or nobody has them.
func (s *Store) Forsake(refs ...Ref) error {
	s.losing.Lock()
	defer s.losing.Unlock()
	old, err := s.Lost()
	if err != nil {
		return err
	}
	return s.writeLost(slices.DeleteFunc(old, func(r Ref) bool {
		return slices.ContainsFunc(refs, func(f Ref) bool { return f.Name == r.Name && f.Digest == r.Digest })
	}))
}

// remember puts files on the list before their references go; s.losing is held.
func (s *Store) remember(refs ...Ref) error {
	raw, err := s.meta.Value(lostKey)
	if ignoreDamaged(err) != nil {
		return err
	}
	var list []lostRef
	if raw != nil && json.Unmarshal(raw, &list) != nil {
		list = nil
	}
	for _, r := range refs {
		entry := lostRef{r, r.Digest.String()}
		same := func(l lostRef) bool { return l.Name == r.Name && l.SHA256 == entry.SHA256 }
		if !slices.ContainsFunc(list, same) {
			list = append(list, entry)
		}
	}
	return s.storeLost(list)
}

func (s *Store) writeLost(refs []Ref) error {
	list := make([]lostRef, 0, len(refs))
	for _, r := range refs {
		list = append(list, lostRef{r, r.Digest.String()})
	}
	return s.storeLost(list)
}

func (s *Store) storeLost(list []lostRef) error {
	if len(list) == 0 {
		raw, err := s.meta.Value(lostKey)
		if raw == nil && err == nil {
			return nil
		}
		return full(s.meta.SetValue(lostKey, nil))
	}
	list = list[max(0, len(list)-maxLost):]
	for {
		raw, err := json.Marshal(list)
		if err != nil {
			return err
		}
		if len(raw) <= maxLostBytes {
			return full(s.meta.SetValue(lostKey, raw))
		}
		list = list[len(list)/2:]
	}
}

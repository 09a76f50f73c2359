package storage

import "cheeseboard/storage/pypi"

// Totals is what a store holds.
type Totals struct {
	Projects int   `json:"projects"` // pages known
	Files    int   `json:"files"`    // distributions here
	Bytes    int64 `json:"bytes"`    // of distributions and metadata
	Free     int64 `json:"free"`     // bytes on the disk
	Reserve  int64 `json:"reserve"`  // bytes of them that stay free
}

// Totals counts what is here. It reads every reference: not for hot paths.
func (s *Store) Totals() (Totals, error) {
	var t Totals
	err := s.meta.Names(func(pypi.ListEntry) bool { t.Projects++; return true })
	if err != nil {
		return t, err
	}
	err = s.meta.Refs("", func(r Ref, err error) bool {
		if err == nil && !r.Metadata {
			t.Files++
		}
		t.Bytes += r.Size
		return true
	})
	if err != nil {
		return t, err
	}
	t.Reserve = s.floor()
	t.Free, err = s.free(s.dir)
	return t, err
}

package storage

import (
	"time"

	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// Mark puts a project into a list under a time; see SetState.
type Mark = meta.Mark

// State reads what the syncer noted of a project; nil where it noted nothing.
// ErrDamaged.
func (s *Store) State(name pypi.Name) ([]byte, error) { return s.meta.State(name) }

// SetState replaces the note for a project and the lists in which it stands, in
// one durable step; a nil value removes the note. ErrFull.
func (s *Store) SetState(name pypi.Name, value []byte, marks ...Mark) error {
	return full(s.meta.SetState(name, value, marks...))
}

// Marked calls yield with the projects of a list and their times, in order of the
// name, until it returns false.
func (s *Store) Marked(list string, yield func(pypi.Name, time.Time) bool) error {
	return s.meta.Marked(list, yield)
}

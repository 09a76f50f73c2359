package storage

import "cheeseboard/storage/pypi"

// RollState reads what was noted with the upstream's list of projects; nil for
// nothing.
func (s *Store) RollState() ([]byte, error) { return s.meta.RollState() }

// AddRoll adds names to list 0 or 1 of the upstream's projects and notes state. Both
// are durable when it returns. ErrFull.
func (s *Store) AddRoll(list byte, names []pypi.Name, state []byte) error {
	return full(s.meta.AddRoll(list, names, state))
}

// DropRoll removes a list and notes state.
func (s *Store) DropRoll(list byte, state []byte) error { return full(s.meta.DropRoll(list, state)) }

// InRoll tells whether a list has a name; sorted, whether its names came in order.
func (s *Store) InRoll(list byte, name pypi.Name, sorted bool) (bool, error) {
	return s.meta.InRoll(list, name, sorted)
}

// Roll calls yield with each name of a list until it returns false.
func (s *Store) Roll(list byte, yield func(pypi.Name) bool) error { return s.meta.Roll(list, yield) }

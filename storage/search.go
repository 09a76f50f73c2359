package storage

import (
	"os"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/names"
	"cheeseboard/storage/pypi"
)

// scratchRoom is what must be free beside the reserve for what can be made again.
const scratchRoom = 32 << 20

// Scratch makes an empty file without a name in the data folder, for what can be
// made again, such as a prepared list. ErrFull where the reserve is near.
func (s *Store) Scratch() (*os.File, error) {
	if err := s.enough(scratchRoom); err != nil {
		return nil, err
	}
	f, err := durable.Scratch(s.dir)
	return f, full(err)
}

// Search makes a finder of projects by parts of their names: of those whose pages
// are here, and of those that heard gives besides, in any order. It must be closed
// before the store.
func (s *Store) Search(heard func(yield func(pypi.Name) bool) error) *names.Finder {
	bare := func(yield func(pypi.Name) bool) func(pypi.ListEntry) bool {
		return func(e pypi.ListEntry) bool { return yield(e.Name) }
	}
	return names.New(names.Source{
		Each: func(yield func(pypi.Name) bool) error {
			more := true
			err := s.meta.Names(bare(func(n pypi.Name) bool { more = yield(n); return more }))
			if err != nil || !more {
				return err
			}
			return heard(yield)
		},
		Prefix:  func(prefix string, yield func(pypi.Name) bool) error { return s.meta.NamesWith(prefix, bare(yield)) },
		Version: s.meta.Version,
		Scratch: s.Scratch,
	})
}

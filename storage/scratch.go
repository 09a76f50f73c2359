package storage

import (
	"os"

	"cheeseboard/storage/durable"
)

// scratchRoom is what must be free beside the reserve for what can be made again.
const scratchRoom = 32 << 20

// Scratch makes an empty file without a name in the data folder, for what can be
// made again, such as a prepared list. ErrFull where the reserve is near.
func (s *Store) Scratch() (*os.File, error) {
	if err := s.room(scratchRoom); err != nil {
		return nil, err
	}
	f, err := durable.Scratch(s.dir)
	return f, full(err)
}

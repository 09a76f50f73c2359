package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cheeseboard/storage/durable"
)

// Format is the version of the data folder that this program writes and reads.
const Format = 1

// format reads the folder's version, or writes it into a new one. lost tells, with
// mend, that there are data and no FORMAT: it is to be written when the records
// have turned out to be ours.
func format(dir string, disk *durable.Disk, mend bool) (lost bool, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, "FORMAT"))
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return false, fmt.Errorf("open data folder: %w", err)
	}
	var version int
	if _, err = fmt.Sscanf(string(raw), "cheeseboard data %d\n", &version); err == nil && version > 0 {
		if version != Format {
			return false, fmt.Errorf("open data folder %s: %w: it has format %d, this program knows %d; use a newer cheeseboard, or name another folder with --data; nothing was changed", dir, ErrFormat, version, Format)
		}
		return false, nil
	}
	data, gone := !without(filepath.Join(dir, "meta", "MANIFEST")), absent || garbled(raw)
	switch {
	case absent && !data:
		return false, writeFormat(dir, disk)
	case data && gone && mend:
		return true, nil
	case data && gone:
		return false, fmt.Errorf("open data folder %s: %w: it holds data, but its FORMAT file is missing or damaged; cheeseboard serve writes it anew by itself", dir, ErrFormat)
	}
	return false, fmt.Errorf("open data folder %s: %w: its FORMAT file is not one of ours: %w", dir, ErrFormat, err)
}

// garbled tells whether bytes are what a disk makes of our FORMAT file: nothing, what
// is no text, or ours but for one byte. A text of somebody else's is none.
func garbled(raw []byte) bool {
	for _, c := range raw {
		if c != '\n' && (c < ' ' || c > '~') {
			return true
		}
	}
	ours := formatText()
	if len(raw) != len(ours) {
		return len(raw) == 0
	}
	wrong := 0
	for i := range raw {
		if raw[i] == ours[i] {
			continue
		}
		if ours[i] >= '0' && ours[i] <= '9' {
			return false // it may be another version's
		}
		wrong++
	}
	return wrong == 1
}

func formatText() []byte { return fmt.Appendf(nil, "cheeseboard data %d\n", Format) }

func writeFormat(dir string, disk *durable.Disk) error {
	return disk.WriteFile(filepath.Join(dir, "FORMAT"), formatText(), 0o644)
}

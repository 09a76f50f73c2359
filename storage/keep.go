package storage

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"cheeseboard/storage/durable"
)

// The store keeps a backup of what it needs to give out the files that are here,
// beside its metadata: should these be damaged, it serves at once, without asking
// the upstream for what it has.

const (
	keptName = "backup"
	// keepEvery is the least time between two of them, for the sake of the card.
	keepEvery = 20 * time.Hour
	// maxKept is how many bytes it may have. What has more pages than that must ask
	// the upstream again.
	maxKept = 64 << 20
)

func (s *Store) keptPath() string { return filepath.Join(s.dir, keptName) }

// Keep makes the backup in the data folder anew, where that is due or now is set.
// It reports whether it did. ErrFull where there is no room, or it would be too
// large; then there is none, rather than one that is out of date for ever.
func (s *Store) Keep(ctx context.Context, now bool, o BackupOptions) (bool, error) {
	if info, err := os.Stat(s.keptPath()); err == nil && !now {
		if age := time.Since(info.ModTime()); age > -keepEvery && age < keepEvery {
			return false, nil
		}
	}
	if err := s.enough(maxKept); err != nil {
		return false, err
	}
	o.Stocked, o.Most = true, maxKept
	err := s.disk.WriteStream(s.keptPath(), 0o600, func(w io.Writer) error {
		_, err := s.Backup(ctx, w, o)
		return err
	})
	if errors.Is(err, ErrFull) {
		err = errors.Join(err, s.disk.Remove(s.keptPath()))
	}
	return err == nil, err
}

// restoreKept makes the metadata of a folder from the backup that lies in it.
func restoreKept(dir, path string, disk *durable.Disk, log *slog.Logger) (made time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return made, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := openBackup(f)
	if err != nil {
		return made, err
	}
	defer b.zip.Close()
	if err := fillMeta(dir, b, 0, disk, log); err != nil {
		return made, err
	}
	return b.Made, settleRestored(dir, disk)
}

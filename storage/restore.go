package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// Metadata that come from a backup are made beside those that stand, in a folder
// that nobody looks at; they take their place by two renames. A cut between these
// is met at the next open, by the same code.
const (
	metaComing   = "meta.new"      // being filled: removed by whoever comes next
	metaRestored = "meta.restored" // whole: it is to become meta
	metaReplaced = "meta.replaced" // what stood there before; one is kept
)

// generationGap is how many versions a store may have given out since a backup was
// made without a restored one giving the same again.
const generationGap = 1 << 22

// ErrOccupied: there are metadata already, which a restore would replace.
var ErrOccupied = errors.New("there are metadata already")

// RestoreOptions are the settings of Restore.
type RestoreOptions struct {
	Replace bool // also where there are metadata
	Reserve int64
	Log     *slog.Logger
	Disk    *durable.Disk // for tests
}

// Restored is what a restore did.
type Restored struct {
	Header   BackupHeader `json:"header"`
	Projects int          `json:"projects"`
	Files    int          `json:"files"`   // distributions that are here
	Private  int          `json:"private"` // private files that the backup brought, with their metadata
	Claimed  int          `json:"claimed"` // files that the backup did not know and that were taken over
	Lost     int          `json:"lost"`    // files of the backup that are not here
}

// Restore makes the metadata of a data folder, new or existing, from a backup, and
// takes over the files that are there. Until the backup has been read to its end
// and found right, and its metadata lie on the disk, nothing of the folder changes.
// Errors: ErrBackup, ErrOccupied, ErrFull, ErrFormat, *LockedError.
func Restore(ctx context.Context, dir string, r io.Reader, o RestoreOptions) (done Restored, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b, err := openBackup(r)
	if err != nil {
		return done, err
	}
	defer b.zip.Close()
	done.Header = b.BackupHeader
	if done.Private, err = install(dir, b, o); err != nil {
		return done, full(err)
	}
	s, err := Open(dir, Options{Reserve: o.Reserve, Log: o.Log, Disk: o.Disk, Mend: true})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.dropAbsent(); err != nil {
		return done, err
	}
	if done.Claimed, err = s.Claim(ctx, false, nil); err != nil {
		return done, err
	}
	lost, err := s.Lost()
	if err != nil {
		return done, err
	}
	totals, err := s.Totals()
	done.Projects, done.Files, done.Lost = totals.Projects, totals.Files, len(lost)
	return done, err
}

// install puts a backup's metadata in the place of those of a folder, and its files
// beside those that are there.
func install(dir string, b *backupReader, o RestoreOptions) (files int, err error) {
	disk := o.Disk
	if disk == nil {
		disk = &durable.Disk{}
	}
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return files, err
	}
	_, unlock, err := durable.Lock(filepath.Join(dir, "lock"), durable.BootID())
	if err != nil {
		return files, fmt.Errorf("restore into %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if !without(filepath.Join(dir, "FORMAT")) {
		if _, err := format(dir, disk, true); err != nil {
			return files, err
		}
	}
	if err := settleRestored(dir, disk); err != nil { // of a restore that was cut
		return files, err
	}
	base, err := occupied(dir, o)
	if err != nil {
		return files, err
	}
	if err := b.stageFiles(dir, disk, &files); err != nil {
		return files, err
	}
	if err := fillMeta(dir, b, base, disk, o.Log); err != nil {
		return files, err
	}
	if err := settleRestored(dir, disk); err != nil {
		return files, err
	}
	return files, writeFormat(dir, disk)
}

// occupied refuses a folder that holds metadata, unless they are to be replaced. It
// gives the highest version that they gave out.
func occupied(dir string, o RestoreOptions) (highest uint64, err error) {
	folder := filepath.Join(dir, "meta")
	if without(filepath.Join(folder, "MANIFEST")) {
		return 0, nil
	}
	m, err := meta.Open(folder, meta.Options{Log: o.Log})
	if err != nil {
		if o.Replace && errors.Is(err, ErrDamaged) {
			return 0, nil
		}
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	projects := 0
	if err := m.Pages(func(pypi.Name) bool { projects++; return true }); err != nil {
		return 0, err
	}
	if projects > 0 && !o.Replace {
		return 0, fmt.Errorf("restore into %s: %w, of %d projects; with --replace the backup takes their place, and they are kept in %s", dir, ErrOccupied, projects, metaReplaced)
	}
	return m.Version(), nil
}

// fillMeta makes whole metadata from a backup beside those that stand. Their
// identity is new: under the old one other pages may have been given out since.
func fillMeta(dir string, b *backupReader, highest uint64, disk *durable.Disk, log *slog.Logger) (err error) {
	coming := filepath.Join(dir, metaComing)
	if err := disk.RemoveAll(coming); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, disk.RemoveAll(coming))
			if without(filepath.Join(dir, metaRestored)) { // else the next open gives them their names
				err = errors.Join(err, disk.RemoveAll(filepath.Join(dir, filesComing)))
			}
		}
	}()
	m, err := meta.Open(coming, meta.Options{Log: log})
	if err != nil {
		return err
	}
	err = m.Import(max(highest, b.Highest)+generationGap, b.next)
	for _, v := range []struct {
		key   string
		value []byte
	}{{idKey, []byte(newID())}, {rebuiltKey, []byte(time.Now().UTC().Format(time.RFC3339))}, {verifyKey, nil}, {scrubKey, nil}, {asideKey, nil}} {
		if err == nil {
			err = m.SetValue(v.key, v.value)
		}
	}
	if err = errors.Join(err, m.Close()); err != nil {
		return err
	}
	if err := disk.SyncDir(coming); err != nil {
		return err
	}
	// COMMIT POINT: from here on these are the metadata of the folder.
	return disk.Publish(coming, filepath.Join(dir, metaRestored))
}

func newID() string { return rand.Text()[:12] }

// settleRestored gives metadata and files that were restored their place. What stood there is
// kept, one of a kind.
func settleRestored(dir string, disk *durable.Disk) error {
	restored, place, replaced := filepath.Join(dir, metaRestored), filepath.Join(dir, "meta"), filepath.Join(dir, metaReplaced)
	if without(restored) {
		if staged := filepath.Join(dir, filesComing); !without(staged) {
			return disk.RemoveAll(staged) // of a restore that came to nothing
		}
		return nil
	}
	if err := settleFiles(dir, disk); err != nil {
		return err
	}
	if _, err := os.Stat(place); err == nil {
		if err := disk.RemoveAll(replaced); err != nil {
			return err
		}
		if err := disk.Publish(place, replaced); err != nil {
			return err
		}
	}
	if err := disk.Publish(restored, place); err != nil {
		return fmt.Errorf("put restored metadata in their place: %w", err)
	}
	return nil
}

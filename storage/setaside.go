package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/meta"
)

// Damaged metadata are not repaired, since nobody can say what is wrong in them:
// they are set aside, whole, and others are begun. What is on the disk is taken
// over by its digest as soon as a page names it.

const (
	asideKey    = "storage.aside"
	asidePrefix = "meta.damaged-"
	// asideKept is how many damaged metadata are kept for people to look at.
	asideKept = 1
)

// Aside tells of metadata that were set aside.
type Aside struct {
	When   time.Time `json:"when"`
	Why    string    `json:"why"`
	Folder string    `json:"folder"` // where they lie now, below the data folder
	// Backup is when the backup was made that took their place; zero: there was none.
	Backup time.Time `json:"backup,omitzero"`
}

// Aside tells which metadata were set aside, until Settled; false where none were.
func (s *Store) Aside() (Aside, bool, error) {
	var a Aside
	raw, err := s.meta.Value(asideKey)
	if raw == nil || err != nil {
		return a, false, err
	}
	return a, true, json.Unmarshal(raw, &a)
}

// Settled notes that the upstream has been asked for all that is wanted since the
// metadata were set aside: there is nothing more to tell of that.
func (s *Store) Settled() error {
	raw, err := s.meta.Value(asideKey)
	if raw == nil || err != nil {
		return err
	}
	return full(s.meta.SetValue(asideKey, nil))
}

// openMeta opens the metadata. With opts.Mend, damaged ones are set aside, and the
// backup that the store keeps of what it needs most takes their place, or empty
// ones do; then it gives what was done. existed says that the folder is not new.
func (s *Store) openMeta(disk *durable.Disk, opts Options, thorough, existed bool) (aside *Aside, err error) {
	folder := filepath.Join(s.dir, "meta")
	options := meta.Options{Log: s.log, Free: s.metaFree, Thorough: thorough}
	if durable.Unwritable(s.dir) {
		return nil, s.openToRead(folder, options, &meta.UnwritableError{Dir: s.dir})
	}
	// Without a backup, new metadata are begun as in a new folder: see identify.
	gone := existed && without(filepath.Join(folder, "MANIFEST")) && !without(s.keptPath())
	if gone {
		err = fmt.Errorf("open metadata in %s: %w: they are gone. Nothing was changed; cheeseboard serve makes them from the backup that is here", folder, ErrDamaged)
	} else {
		s.meta, err = meta.Open(folder, options)
	}
	if err = full(err); errors.Is(err, ErrFull) {
		return nil, s.openToRead(folder, options, err)
	}
	if !opts.Mend || !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	if err := disk.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	aside = &Aside{When: time.Now(), Why: err.Error()}
	if aside.Folder, err = setMetaAside(s.dir, disk); err != nil {
		return nil, errors.Join(errors.New(aside.Why), err)
	}
	s.log.Error("the metadata are damaged; they are set aside and begun anew", "folder", aside.Folder, "reason", aside.Why)
	aside.Backup = s.fromKept(disk)
	s.meta, err = meta.Open(folder, options)
	if errors.Is(err, ErrFull) {
		// Better without the damaged ones than without any.
		if err = tidyAside(s.dir, disk, 0); err == nil {
			s.meta, err = meta.Open(folder, options)
		}
	}
	return aside, err
}

// fromKept makes metadata from the backup that the store keeps, where it is good.
// It gives when that was made; zero where there is none.
func (s *Store) fromKept(disk *durable.Disk) time.Time {
	made, err := restoreKept(s.dir, s.keptPath(), disk, s.log)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.log.Warn("there is no backup in the data folder: the metadata begin empty")
	case err != nil:
		s.log.Error("the backup in the data folder is no good: the metadata begin empty", "reason", err)
	default:
		s.log.Info("the metadata are those of the backup in the data folder", "made", made)
	}
	return made
}

// setMetaAside gives the metadata's folder another name, and returns that. Older
// ones go.
func setMetaAside(dir string, disk *durable.Disk) (string, error) {
	last, err := lastAside(dir)
	if err != nil {
		return "", err
	}
	name := asidePrefix + strconv.Itoa(last+1)
	if err := disk.Publish(filepath.Join(dir, "meta"), filepath.Join(dir, name)); err != nil {
		return "", fmt.Errorf("set the metadata aside: %w", err)
	}
	return name, tidyAside(dir, disk, asideKept)
}

// asides lists the numbers of the metadata that lie aside.
func asides(dir string) (numbers []int, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if n, ours := strings.CutPrefix(e.Name(), asidePrefix); ours {
			if number, err := strconv.Atoi(n); err == nil {
				numbers = append(numbers, number)
			}
		}
	}
	return numbers, err
}

func lastAside(dir string) (last int, err error) {
	numbers, err := asides(dir)
	for _, n := range numbers {
		last = max(last, n)
	}
	return last, err
}

// tidyAside removes all but the last few of the metadata that lie aside.
func tidyAside(dir string, disk *durable.Disk, keep int) error {
	numbers, err := asides(dir)
	if err != nil {
		return err
	}
	last, err := lastAside(dir)
	for _, n := range numbers {
		if err == nil && n <= last-keep {
			err = disk.RemoveAll(filepath.Join(dir, asidePrefix+strconv.Itoa(n)))
		}
	}
	return err
}

// noteAside writes down what was set aside, and forgets the references to all
// files if the folder that holds them was lost.
func (s *Store) noteAside(aside *Aside, lostBlobs bool) error {
	if aside != nil {
		raw, err := json.Marshal(aside)
		if err == nil {
			err = s.meta.SetValue(asideKey, raw)
		}
		if err != nil {
			return err
		}
	}
	if !lostBlobs && (aside == nil || aside.Backup.IsZero()) {
		return nil
	}
	return s.dropAbsent()
}

// dropAbsent forgets every reference whose bytes are not there.
func (s *Store) dropAbsent() error {
	gone := func(r Ref) (bool, error) {
		_, err := s.blobs.Size(r.Digest)
		if errors.Is(err, ErrNotFound) {
			return true, nil
		}
		return false, err
	}
	n, err := s.meta.DropAbsent(gone, s.remember)
	if n > 0 {
		s.log.Error("files that were here are lost; they can be fetched anew", "references", n)
	}
	if err != nil {
		return err
	}
	doomed, err := s.meta.Doomed()
	if err != nil {
		return err
	}
	return s.bury(doomed)
}

// without tells whether a folder is not there.
func without(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

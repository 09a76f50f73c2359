package meta

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"

	"cheeseboard/storage/durable"
)

// precheck looks over a folder before Badger does, for what Badger answers with
// a panic in a goroutine of its own, with an error that helps nobody, or by
// deleting every table. It changes nothing but the empty files that a kill can
// leave behind. It gives the bytes that the tables have. thorough reads these to
// their end also where they are large.
func precheck(dir string, thorough bool) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("open metadata: %w", err)
	}
	tables := 0
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".mem", ".vlog":
			if info, err := e.Info(); err == nil && info.Size() == 0 {
				if err := (&durable.Disk{}).Remove(filepath.Join(dir, e.Name())); err != nil {
					return 0, err
				}
			}
		case ".sst":
			tables++
			if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil { // a link counts for its file
				size += info.Size()
			}
		}
	}
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		if tables > 0 {
			return 0, damaged(dir, fmt.Errorf("%d tables, but the list of them (%s) is missing", tables, badger.ManifestFilename))
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open metadata: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	manifest, whole, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir))
	if err != nil {
		return 0, damaged(dir, err)
	}
	// Badger takes a list that breaks off for one that ends there, and every
	// table that it does not name for garbage. Where it breaks off before its
	// first entry, that is not what a cut leaves: the list is begun with one.
	if info, err := f.Stat(); err != nil || whole < firstEntry && info.Size() > whole && tables > 0 {
		return 0, damaged(dir, errors.Join(err, fmt.Errorf("%d tables, but the list of them (%s) breaks off at its beginning", tables, badger.ManifestFilename)))
	}
	var paths []string
	for id := range manifest.Tables {
		paths = append(paths, table.NewFilename(id, dir))
	}
	readAhead(paths)
	for _, path := range paths {
		pace := func(int) error { return nil }
		if !thorough && size > atOnce {
			pace = nil // the blocks come later, see CheckTables
		}
		if err := checkTable(path, pace); err != nil {
			return 0, damaged(dir, err)
		}
	}
	return size, nil
}

// firstEntry is where the first entry of a table list ends: 8 bytes of header,
// and an entry of 8 bytes at least.
const firstEntry = 16

// damaged is ErrDamaged with its cause, unless that is none of the metadata's.
func damaged(dir string, cause error) error {
	if durable.Passing(cause) {
		return fmt.Errorf("open metadata in %s: %w", dir, cause)
	}
	return fmt.Errorf("open metadata in %s: %w: %w. Nothing was changed; cheeseboard serve sets this folder aside by itself: the pages come back from the upstream, and files that are here are taken over without fetching them", dir, ErrDamaged, cause)
}

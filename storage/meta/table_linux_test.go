package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// TestTableThatCannotBeMade holds Badger to what it loses unmended: a table for which
// there is no room, or no name, while others are merged into it. Without a name it is
// left out without an error, with all that was in it; without room the process ends.
func TestTableThatCannotBeMade(t *testing.T) {
	if os.Getenv("CHEESEBOARD_TEST_MENDED") == "" {
		t.Skip("only with -modfile=$(scripts/mended-modfile) and CHEESEBOARD_TEST_MENDED=1: an unmended Badger loses entries here")
	}
	for name, c := range map[string]struct {
		mount string
		fill  func(t *testing.T, disk string) (empty func())
	}{
		"no names": {"size=200m,nr_inodes=60", takeNames},
		"no room":  {"size=40m", takeRoom},
	} {
		t.Run(name, func(t *testing.T) {
			disk := t.TempDir()
			if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, c.mount); err != nil {
				t.Skipf("a small file system cannot be mounted here: %v (it needs root)", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
					t.Errorf("unmount: %v", err)
				}
			})
			mergeWhileFull(t, filepath.Join(disk, "data"), func() func() { return c.fill(t, disk) })
		})
	}
}

const entriesToMerge = 6000

// mergeWhileFull writes entries, merges their tables while the disk is full, which
// has to fail, and again with room, which has to go well.
func mergeWhileFull(t *testing.T, dir string, fill func() (empty func())) {
	o := badgerOptions(dir, slog.New(slog.DiscardHandler))
	o.SyncWrites = false
	o.MemTableSize, o.BaseTableSize, o.ValueLogFileSize, o.ValueThreshold = 1<<20, 256<<10, 1<<20, 64<<10
	o.NumCompactors, o.NumLevelZeroTables = 0, 2
	db := openBadger(t, o)
	value := make([]byte, 1000)
	for i := range entriesToMerge {
		binary.BigEndian.PutUint32(value, uint32(i))
		if err := db.Update(func(txn *badger.Txn) error { return txn.Set(fmt.Appendf(nil, "k%d", i), value) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil { // everything is in tables
		t.Fatal(err)
	}
	db = openBadger(t, o)
	tables := len(db.Tables())
	if tables < 4 {
		t.Fatalf("there are %d tables to be merged", tables)
	}
	empty := fill()
	if err := db.Flatten(1); err == nil { // what Badger wraps cannot be unwrapped
		t.Error("merging on a full disk succeeds")
	}
	allThere(t, db, "on the full disk")
	empty()
	if err := db.Flatten(1); err != nil {
		t.Errorf("merging with room again: %v", err)
	}
	allThere(t, db, "merged")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openBadger(t, o)
	allThere(t, db, "opened again")
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func openBadger(t *testing.T, o badger.Options) *badger.DB {
	t.Helper()
	db, err := openGuarded(o)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// allThere reads every entry.
func allThere(t *testing.T, db *badger.DB, when string) {
	t.Helper()
	lost := 0
	err := db.View(func(txn *badger.Txn) error {
		for i := range entriesToMerge {
			item, err := txn.Get(fmt.Appendf(nil, "k%d", i))
			if errors.Is(err, badger.ErrKeyNotFound) {
				lost++
				continue
			}
			if err != nil {
				return err
			}
			err = item.Value(func(raw []byte) error {
				if binary.BigEndian.Uint32(raw) != uint32(i) {
					return fmt.Errorf("entry %d has the value of %d", i, binary.BigEndian.Uint32(raw))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || lost > 0 {
		t.Errorf("%s: %d of %d entries are lost (%v)", when, lost, entriesToMerge, err)
	}
}

// takeNames makes files until there can be no more than three.
func takeNames(t *testing.T, disk string) (empty func()) {
	var names []string
	for i := 0; ; i++ {
		path := filepath.Join(disk, fmt.Sprint("x", i))
		if err := os.WriteFile(path, nil, 0o600); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, path)
	}
	empty = func() {
		for _, path := range names {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		}
	}
	for _, path := range names[:3] {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	return empty
}

// takeRoom fills the disk but for half a megabyte.
func takeRoom(t *testing.T, disk string) (empty func()) {
	path := filepath.Join(disk, "x")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for block := make([]byte, 4096); err == nil; n += 4096 {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(n-512<<10), f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

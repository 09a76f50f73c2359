package meta

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// A card at the end of its life takes no more writes, and its file system is mounted to
// be read. Badger will not open there even to read: it wants a file for its statistics
// that it can write, and logs whose ends were cut. Both get a folder elsewhere, where all
// else are links.

// UnwritableError says that metadata are on a file system that can only be read. It is an
// ErrFull: what is here is served, and nothing new is stored.
type UnwritableError struct {
	Dir string
}

func (e *UnwritableError) Error() string {
	return fmt.Sprintf("the disk that holds %s can only be read: what is here is served, and nothing can be stored; "+
		"check the disk, or move the data folder to another one", e.Dir)
}

// Is makes an UnwritableError an ErrFull.
func (e *UnwritableError) Is(target error) bool { return target == ErrFull }

// shadow makes a folder where temporary files are, or in memory where these lie on the same
// disk, that Badger takes for the one of the metadata. remove takes it away; what was opened
// stays open.
func shadow(dir string) (path string, remove func() error, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	for _, place := range []string{"", "/dev/shm", "/run"} {
		var placeErr error
		if path, placeErr = os.MkdirTemp(place, "cheeseboard-meta-"); placeErr == nil {
			err = nil
			break
		}
		err = errors.Join(err, placeErr)
	}
	if err != nil {
		return "", nil, fmt.Errorf("open metadata to read: %w", err)
	}
	remove = func() error { return os.RemoveAll(path) }
	if err = fillShadow(path, dir); err != nil {
		return "", nil, errors.Join(fmt.Errorf("open metadata to read: %w", err), remove())
	}
	return path, remove, nil
}

func fillShadow(path, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(dir, e.Name()), filepath.Join(path, e.Name())
		switch ext := filepath.Ext(e.Name()); {
		case e.Name() == "DISCARD", e.Name() == "LOCK", !e.Type().IsRegular():
			// Badger makes its own.
		case ext == ".mem":
			err = copyLog(from, to)
		case ext == ".vlog" && hollow(e):
			// As precheck removes it.
		default:
			err = os.Symlink(from, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hollow tells whether a file has no bytes.
func hollow(e fs.DirEntry) bool {
	info, err := e.Info()
	return err == nil && info.Size() == 0
}

// copyLog copies a log up to the end of its last whole transaction; one that has none is
// left out.
func copyLog(from, to string) (err error) {
	end, err := logEnd(from)
	if err != nil {
		return fmt.Errorf("read log %s: %w", filepath.Base(from), err)
	}
	if end == logHeader {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.CopyN(out, in, end)
	return errors.Join(err, out.Close())
}

// openShadowed opens metadata that lie where nothing can be written.
func openShadowed(o badger.Options, thorough bool) (db *badger.DB, tables int64, err error) {
	path, remove, err := shadow(o.Dir)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if rmErr := remove(); rmErr != nil && db != nil {
			err = errors.Join(err, rmErr, db.Close())
		}
	}()
	if tables, err = precheck(path, thorough); err != nil {
		return nil, 0, err
	}
	o.Dir, o.ValueDir = path, path
	db, err = openGuarded(o)
	return db, tables, err
}

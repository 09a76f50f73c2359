// Package blob keeps files by the SHA-256 of their bytes.
//
// A blob is first a partial: a file that grows, beside it a small state file
// with what is needed to go on after a cut (offset, hash state, validator, and
// a note of the owner's). When its bytes are whole and have the digest, it gets
// its final name, read-only, and never changes again. The state file stays until
// the owner says that the blob is recorded (Settle): a cut in between is found
// at the next start by Unsettled. See ../FORMAT.md for the layout.
package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrBusy     = errors.New("another writer has this partial open")
	ErrExists   = errors.New("the blob is whole already")
	ErrNotFound = errors.New("no such blob")
	ErrTooLong  = errors.New("more bytes than the index states")
)

// MismatchError says that bytes are not what the index states. The bytes have
// been set aside or removed; they were never visible under the digest's name.
type MismatchError struct {
	Want     pypi.Digest
	Got      pypi.Digest
	WantSize int64 // pypi.SizeUnknown where it is not stated
	GotSize  int64
}

func (e *MismatchError) Error() string {
	if e.WantSize >= 0 && e.WantSize != e.GotSize {
		return fmt.Sprintf("blob %s: %d bytes, the index states %d", e.Want, e.GotSize, e.WantSize)
	}
	return fmt.Sprintf("blob %s: the bytes have the digest %s", e.Want, e.Got)
}

// Options are the settings of a Dir; the zero value is the default of each.
type Options struct {
	Disk      *durable.Disk // nil: the real disk
	SyncEvery int64         // bytes of a partial between two syncs; 0: 4 MiB
	BootID    string        // tells this boot from others; "": asked from the kernel
	Log       *slog.Logger  // nil: nothing is logged
}

// Dir is a folder of blobs. It is safe for concurrent use; one process at a
// time may have it open (the metadata's lock sees to that).
type Dir struct {
	blobs, partials, quarantine string
	disk                        *durable.Disk
	syncEvery                   int64
	bootID                      string
	log                         *slog.Logger

	mu      sync.Mutex
	open    map[pypi.Digest]bool
	folders [256]bool // of blobs, by the digest's first byte, whose names are durable
}

// Open makes the folders that are missing below root.
func Open(root string, opts Options) (*Dir, error) {
	d := &Dir{
		blobs:      filepath.Join(root, "blobs"),
		partials:   filepath.Join(root, "partial"),
		quarantine: filepath.Join(root, "quarantine"),
		disk:       opts.Disk,
		syncEvery:  opts.SyncEvery,
		bootID:     opts.BootID,
		log:        opts.Log,
		open:       make(map[pypi.Digest]bool),
	}
	if d.disk == nil {
		d.disk = &durable.Disk{}
	}
	if d.syncEvery <= 0 {
		d.syncEvery = 4 << 20
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.bootID == "" {
		// Where the kernel does not tell (not Linux), no two opens count as one
		// boot: tails that were not synced are then fetched again.
		if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
			d.bootID = strings.TrimSpace(string(id))
		}
	}
	for _, dir := range []string{d.blobs, d.partials, d.quarantine} {
		if err := d.disk.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Dir) path(digest pypi.Digest) string {
	hex := digest.String()
	return filepath.Join(d.blobs, hex[:2], hex)
}

// folder makes the folder that a blob belongs into, and tells what is to be synced
// for its name to last. That it is there is not enough: whoever made it may still be
// about to sync it, or have been killed before.
func (d *Dir) folder(digest pypi.Digest) (dirs []string, err error) {
	err = os.Mkdir(filepath.Dir(d.path(digest)), 0o755)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrExist) && d.folders[digest[0]]:
		return nil, nil
	case err == nil, errors.Is(err, fs.ErrExist):
		return []string{d.blobs}, nil
	}
	return nil, err
}

// lasts says that what folder told of is synced.
func (d *Dir) lasts(digest pypi.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.folders[digest[0]] = true
}

// SyncName makes the name of a finished blob durable, for whoever relies on one that
// he did not finish: who did may not have come to that, or not yet.
func (d *Dir) SyncName(digest pypi.Digest) error {
	dirs, err := d.folder(digest)
	if err != nil {
		return err
	}
	for _, dir := range append(dirs, filepath.Dir(d.path(digest))) {
		if err := d.disk.SyncDir(dir); err != nil {
			return err
		}
	}
	d.lasts(digest)
	return nil
}

func (d *Dir) partPath(digest pypi.Digest) string {
	return filepath.Join(d.partials, digest.String()+".part")
}

func (d *Dir) statePath(digest pypi.Digest) string {
	return filepath.Join(d.partials, digest.String()+".state")
}

// OpenBlob opens a finished blob for reading; ErrNotFound where there is none.
func (d *Dir) OpenBlob(digest pypi.Digest) (*os.File, error) {
	f, err := os.Open(d.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s: %w", digest, ErrNotFound)
	}
	return f, err
}

// Size gives the length of a finished blob in bytes; ErrNotFound where there is none.
func (d *Dir) Size(digest pypi.Digest) (int64, error) {
	info, err := os.Stat(d.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("size of blob %s: %w", digest, ErrNotFound)
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Remove takes a finished blob away; one that is not there is no error. One that
// a writer has finished and not yet settled stays: it is about to be recorded.
// The caller has made durable beforehand that nothing names the blob. The removal
// is durable after SyncRemoved.
func (d *Dir) Remove(digest pypi.Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[digest] {
		return nil
	}
	return d.disk.Remove(d.path(digest))
}

// SyncRemoved makes the removal of blobs durable.
func (d *Dir) SyncRemoved(digests ...pypi.Digest) error {
	synced := make(map[string]bool)
	for _, digest := range digests {
		folder := filepath.Dir(d.path(digest))
		if synced[folder] {
			continue
		}
		synced[folder] = true
		if err := d.disk.SyncDir(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Quarantine moves a finished blob aside, whose bytes were found not to have
// its digest, and returns where it lies now. Older ones make room for it.
func (d *Dir) Quarantine(digest pypi.Digest) (string, error) {
	to := filepath.Join(d.quarantine, digest.String())
	if err := d.disk.Publish(d.path(digest), to); err != nil {
		return to, err
	}
	return to, errors.Join(d.SyncRemoved(digest), d.tidy())
}

// What the quarantine keeps, for people to look at: the last few, if small.
const (
	quarantineFiles = 16
	quarantineBytes = 256 << 20
)

// tidy removes from the quarantine what is too much, the oldest first: an
// upstream that lies must not fill the disk.
func (d *Dir) tidy() error {
	infos, err := d.aside()
	if err != nil {
		return err
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var size int64
	for i, info := range infos {
		if size += info.Size(); i < quarantineFiles && size <= quarantineBytes {
			continue
		}
		if err := d.disk.Remove(filepath.Join(d.quarantine, info.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Each calls yield with every finished blob in order of the digest, from the
// first that is not smaller than from, until yield returns false. Names that
// are not those of blobs are given to stray.
func (d *Dir) Each(from pypi.Digest, yield func(pypi.Digest, int64) bool, stray func(path string)) error {
	first := from.String()
	dirs, err := os.ReadDir(d.blobs)
	if err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	for _, sub := range dirs {
		if len(sub.Name()) == 2 && sub.Name() < first[:2] {
			continue
		}
		path := filepath.Join(d.blobs, sub.Name())
		if !sub.IsDir() {
			stray(path)
			continue
		}
		files, err := os.ReadDir(path)
		if err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		for _, f := range files {
			digest, err := pypi.ParseDigest(f.Name())
			info, ierr := f.Info()
			if errors.Is(ierr, fs.ErrNotExist) {
				continue // removed since it was listed
			}
			if err != nil || ierr != nil || !info.Mode().IsRegular() || f.Name() != digest.String() || f.Name()[:2] != sub.Name() {
				stray(filepath.Join(path, f.Name()))
				continue
			}
			if f.Name() >= first && !yield(digest, info.Size()) {
				return nil
			}
		}
	}
	return nil
}

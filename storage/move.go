package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cheeseboard/storage/blob"
	"cheeseboard/storage/durable"
	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// A data folder is moved to another disk in two parts: Copy, while the store is in
// use, as often as that leaves little to do; and Finish, while it is closed, for
// what has changed since. Until the commit point in Finish the old folder is the
// one that counts, and nothing in it has changed; after it, whoever opens the old
// one is told where to go.

// MoveProgress says how far a move is.
type MoveProgress struct {
	Blobs int   `json:"blobs"` // files and metadata of files in the new folder
	Done  int64 `json:"done"`  // bytes there
	Total int64 `json:"total"` // bytes in the old one
}

// MoveOptions are the settings of a Move.
type MoveOptions struct {
	Progress func(MoveProgress) // nil: nobody is told
	Lost     func()             // a damaged file was found; see Store.Lost
	Disk     *durable.Disk      // for tests
	Free     func(path string) (int64, error)
}

// Move is a move under way. Its methods are for one goroutine.
type Move struct {
	from, to string
	store    *Store // until Finish
	o        MoveOptions
	disk     *durable.Disk
	blobs    *blob.Dir // of the new folder
	unlock   func() error

	copied   map[pypi.Digest]bool
	tables   map[string]bool // of the metadata, those that are there
	progress MoveProgress
}

// BeginMove prepares to move an open store to another folder, which must be empty,
// or left by a move from the same store that was cut off: that is gone on with. Both
// must be absolute. Errors: ErrFull where there is not enough room, *LockedError.
func BeginMove(s *Store, to string, o MoveOptions) (m *Move, err error) {
	from, err := filepath.Abs(s.dir)
	if err != nil {
		return nil, err
	}
	if o.Free == nil {
		o.Free = durable.Free
	}
	m = &Move{from: from, to: filepath.Clean(to), store: s, o: o, disk: o.Disk, copied: make(map[pypi.Digest]bool), tables: make(map[string]bool)}
	if m.disk == nil {
		m.disk = &durable.Disk{}
	}
	if err := m.suits(); err != nil {
		return nil, fmt.Errorf("move to %s: %w", m.to, err)
	}
	if err := m.disk.MkdirAll(m.to, 0o755); err != nil {
		return nil, fmt.Errorf("move to %s: %w", m.to, full(err))
	}
	if _, m.unlock, err = durable.Lock(filepath.Join(m.to, "lock"), ""); err != nil {
		return nil, fmt.Errorf("move to %s: %w", m.to, err)
	}
	if err := m.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("move to %s: %w", m.to, full(err)), m.Close())
	}
	return m, nil
}

// suits refuses a folder that cannot be moved to.
func (m *Move) suits() error {
	if !filepath.IsAbs(m.to) {
		return errors.New("name the folder with its whole path")
	}
	for _, pair := range [][2]string{{m.from, m.to}, {m.to, m.from}} {
		if rel, err := filepath.Rel(pair[0], pair[1]); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return fmt.Errorf("one of it and %s lies in the other", m.from)
		}
	}
	entries, err := os.ReadDir(m.to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mark, moving, err := readMoving(m.to)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !moving && e.Name() != "lock" && e.Name() != "lost+found" && e.Name() != movingName+".new" {
			return fmt.Errorf("it is not empty: there is %s; choose an empty folder, or a new one", e.Name())
		}
	}
	if moving && mark.From != m.from {
		return fmt.Errorf("it was begun to be filled from %s; empty it first, or choose another", mark.From)
	}
	return nil
}

// prepare marks the new folder, opens what is there, and looks for room.
func (m *Move) prepare() (err error) {
	if err := writeMoving(m.to, moving{From: m.from}, m.disk); err != nil {
		return err
	}
	// Tables have numbers, which are given again after a cut: they are copied anew.
	if err := m.disk.RemoveAll(filepath.Join(m.to, "meta")); err != nil {
		return err
	}
	if m.blobs, err = blob.Open(m.to, blob.Options{Disk: m.disk, Log: m.store.log}); err != nil {
		return err
	}
	if err := m.disk.MkdirAll(filepath.Join(m.to, "meta"), 0o755); err != nil {
		return err
	}
	need := meta.Floor + m.store.reserve
	err = m.store.blobs.Each(pypi.Digest{}, func(digest pypi.Digest, size int64) bool {
		m.progress.Total += size
		if here, err := m.blobs.Size(digest); err != nil || here != size {
			need += size
		}
		return true
	}, func(string) {})
	if err != nil {
		return err
	}
	for _, folder := range []string{"meta", "partial"} {
		size, err := sizeOf(filepath.Join(m.from, folder))
		if err != nil {
			return err
		}
		need += size
	}
	free, err := m.o.Free(m.to)
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("%w: %d MB are free there, %d MB are needed, of which %d MB stay free (storage.reserve)", ErrFull, free>>20, need>>20, m.store.reserve>>20)
	}
	return nil
}

// sizeOf sums up the files of a folder.
func sizeOf(dir string) (sum int64, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
	}
	return sum, err
}

// Copy copies what is not there yet, while the store is in use, and returns how many
// bytes that were: when they are few it is time for Finish. What it has copied
// stays when ctx ends. Files that turn out to be damaged are set aside.
func (m *Move) Copy(ctx context.Context) (bytes int64, err error) {
	bytes, err = m.copyBlobs(ctx)
	if err != nil {
		return bytes, err
	}
	parts, err := m.store.blobs.Partials()
	if err != nil {
		return bytes, err
	}
	for _, digest := range parts {
		n, err := m.blobs.TakePart(digest, m.store.blobs, false)
		if bytes += n; err != nil {
			return bytes, full(err)
		}
	}
	n, err := m.copyTables(ctx)
	return bytes + n, full(err)
}

func (m *Move) copyBlobs(ctx context.Context) (bytes int64, err error) {
	before := func() error { return ctx.Err() }
	var failed error
	m.progress.Total = 0
	err = m.store.blobs.Each(pypi.Digest{}, func(digest pypi.Digest, size int64) bool {
		m.progress.Total += size
		if m.copied[digest] {
			return ctx.Err() == nil
		}
		n, err := m.blobs.Take(digest, m.store.blobs, before)
		bytes += n
		var bad *MismatchError
		switch {
		case errors.As(err, &bad):
			failed = m.damaged(digest)
		case errors.Is(err, ErrNotFound): // removed since it was listed
		case err != nil:
			failed = full(err)
		default:
			m.copied[digest] = true
			m.progress.Blobs++
			m.progress.Done += size
		}
		m.tell()
		return failed == nil
	}, func(string) {})
	return bytes, errors.Join(err, failed, ctx.Err())
}

func (m *Move) tell() {
	if m.o.Progress != nil {
		m.o.Progress(m.progress)
	}
}

// damaged sets a file aside whose bytes are wrong: there is nothing to be copied.
func (m *Move) damaged(digest pypi.Digest) error {
	seen, err := m.store.hash(digest)
	if errors.Is(err, ErrNotFound) || err == nil && seen.digest == digest {
		return nil // it is gone, or was read wrong once: the next round sees
	}
	if err != nil && seen.info == nil {
		return err
	}
	err = m.store.setAside(digest, seen.info)
	if m.o.Lost != nil {
		m.o.Lost()
	}
	return err
}

// copyTables copies the metadata's tables, which never change.
func (m *Move) copyTables(ctx context.Context) (bytes int64, err error) {
	tables, err := filepath.Glob(filepath.Join(m.from, "meta", "*.sst"))
	if err != nil {
		return 0, err
	}
	for _, path := range tables {
		name := filepath.Base(path)
		if m.tables[name] || ctx.Err() != nil {
			continue
		}
		to := filepath.Join(m.to, "meta", name)
		n, err := m.copyFile(path, to)
		if errors.Is(err, fs.ErrNotExist) {
			continue // merged with others meanwhile
		}
		if err == nil {
			err = meta.CheckTable(to)
		}
		if bytes += n; err != nil {
			return bytes, fmt.Errorf("copy metadata: %w", err)
		}
		m.tables[name] = true
	}
	return bytes, ctx.Err()
}

// copyFile copies a file, whole or not at all, durably.
func (m *Move) copyFile(from, to string) (n int64, err error) {
	source, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer func() { _ = source.Close() }() // only read
	err = m.disk.WriteStream(to, 0o600, func(w io.Writer) (err error) {
		n, err = io.Copy(w, source)
		return err
	})
	return n, err
}

// Close gives the new folder free. What was copied stays there, for the next move.
func (m *Move) Close() error {
	if m.unlock == nil {
		return nil
	}
	err := m.unlock()
	m.unlock = nil
	return err
}

// movedAt is for messages.
func movedAt(t time.Time) string { return t.Local().Format(time.DateTime) }

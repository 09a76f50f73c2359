package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cheeseboard/storage/blob"
	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// Marks of a move. They name folders by their whole paths.
const (
	movingName = "MOVING" // in the new folder, until the move is complete
	movedName  = "MOVED"  // in the old folder, from the commit point on
)

// moving says in a new folder where it is filled from.
type moving struct {
	From     string `json:"from"`
	Complete bool   `json:"complete"` // all is there; whether it counts, the old folder says
}

// moved says in an old folder where its content is.
type moved struct {
	To   string    `json:"to"`
	When time.Time `json:"when"`
}

// ErrMoved: the folder is not the one that counts.
var ErrMoved = errors.New("this folder was moved, or is being moved to")

func readMark(path string, mark any) (is bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		if err = json.Unmarshal(raw, mark); err != nil {
			err = fmt.Errorf("read %s: %w", path, err)
		}
	}
	return err == nil, err
}

func writeMark(path string, mark any, disk *durable.Disk) error {
	raw, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	return disk.WriteFile(path, append(raw, '\n'), 0o644)
}

func readMoving(dir string) (mark moving, is bool, err error) {
	is, err = readMark(filepath.Join(dir, movingName), &mark)
	return mark, is, err
}

func writeMoving(dir string, mark moving, disk *durable.Disk) error {
	return writeMark(filepath.Join(dir, movingName), mark, disk)
}

// Finish copies what has changed since the last Copy, and makes the new folder the
// one that counts. The store must be closed, and stay so. On nil the new folder is
// whole and durable; after an error the old one counts, as it was. Close is to be
// called before either is opened.
func (m *Move) Finish() (err error) {
	_, unlock, err := durable.Lock(filepath.Join(m.from, "lock"), "")
	if err != nil {
		return fmt.Errorf("move to %s: %w", m.to, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	for _, step := range []func() error{m.lastBlobs, m.lastParts, m.lastTables, m.others} {
		if err := step(); err != nil {
			return fmt.Errorf("move to %s: %w", m.to, full(err))
		}
	}
	err = writeFormat(m.to, m.disk)
	if err == nil {
		err = writeMoving(m.to, moving{From: m.from, Complete: true}, m.disk)
	}
	if err == nil {
		// COMMIT POINT: when this mark has its name, the new folder counts.
		err = writeMark(filepath.Join(m.from, movedName), moved{To: m.to, When: time.Now().UTC()}, m.disk)
	}
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("move to %s: %w", m.to, full(err)), m.Undo())
}

// Undo makes the old folder count again, after a Finish whose new folder cannot be
// opened, and before either was written to.
func (m *Move) Undo() error {
	return errors.Join(
		m.disk.Remove(filepath.Join(m.from, movedName)), m.disk.SyncDir(m.from),
		// The old folder will go on, so the other must not be taken for complete.
		writeMoving(m.to, moving{From: m.from}, m.disk))
}

// lastBlobs copies the blobs that have come, and removes those that have gone.
func (m *Move) lastBlobs() error {
	var missing []pypi.Digest
	gone := make(map[pypi.Digest]bool)
	note := func(d pypi.Digest, _ int64) bool { gone[d] = true; return true }
	if err := m.blobs.Each(pypi.Digest{}, note, func(string) {}); err != nil {
		return err
	}
	err := m.store.blobs.Each(pypi.Digest{}, func(digest pypi.Digest, _ int64) bool {
		delete(gone, digest)
		if !m.copied[digest] {
			missing = append(missing, digest)
		}
		return true
	}, func(string) {})
	if err != nil {
		return err
	}
	for _, digest := range missing {
		_, err := m.blobs.Take(digest, m.store.blobs, func() error { return nil })
		var bad *MismatchError
		if errors.As(err, &bad) {
			continue // the new store finds that it is not there
		}
		if err != nil {
			return err
		}
	}
	var removed []pypi.Digest
	for digest := range gone {
		if err := m.blobs.Remove(digest); err != nil {
			return err
		}
		removed = append(removed, digest)
	}
	return m.blobs.SyncRemoved(removed...)
}

// lastParts copies the partials as they are now, and the states of all.
func (m *Move) lastParts() error {
	now, err := m.store.blobs.Partials()
	if err != nil {
		return err
	}
	for _, digest := range now {
		if _, err := m.blobs.TakePart(digest, m.store.blobs, true); err != nil {
			return err
		}
	}
	there, err := m.blobs.Partials()
	if err != nil {
		return err
	}
	for _, digest := range there {
		if !slices.Contains(now, digest) {
			if err := m.blobs.Forget(digest); err != nil && !errors.Is(err, blob.ErrBusy) {
				return err
			}
		}
	}
	return m.blobs.TakeStates(m.store.blobs)
}

// lastTables makes the new folder's metadata the same as the old one's.
func (m *Move) lastTables() error {
	if _, err := m.copyTables(context.Background()); err != nil {
		return err
	}
	from, to := filepath.Join(m.from, "meta"), filepath.Join(m.to, "meta")
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	keep := make(map[string]bool)
	for _, e := range entries {
		keep[e.Name()] = true
		if m.tables[e.Name()] || !e.Type().IsRegular() {
			continue
		}
		if _, err := m.copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	if entries, err = os.ReadDir(to); err != nil {
		return err
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			if err := m.disk.Remove(filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	return m.disk.SyncDir(to)
}

// own are the names in a data folder that are not simply copied.
func own(name string) bool {
	switch name {
	case "FORMAT", "lock", "control.sock", "blobs", "partial", "quarantine", ballastName, movingName, movedName, "lost+found":
		return true
	}
	return strings.HasPrefix(name, "meta") || strings.HasSuffix(name, ".new")
}

// others copies the small files beside.
func (m *Move) others() error {
	entries, err := os.ReadDir(m.from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if own(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		if _, err := m.copyFile(filepath.Join(m.from, e.Name()), filepath.Join(m.to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// RemoveOld removes what lies in the old folder, but for the mark that says where
// it went. It is for after Finish, when the new folder has been opened.
func (m *Move) RemoveOld() error {
	var mark moved
	if is, err := readMark(filepath.Join(m.from, movedName), &mark); !is || err != nil || mark.To != m.to {
		return errors.Join(fmt.Errorf("remove the old data folder %s: it does not say that it was moved to %s", m.from, m.to), err)
	}
	entries, err := os.ReadDir(m.from)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		// What is not ours is left.
		ours := own(e.Name()) || slices.Contains([]string{usesName, keptName, "authority.pem", "name.json"}, e.Name())
		if !ours || e.Name() == movedName || e.Name() == "lost+found" || e.Name() == "lock" || e.Name() == "control.sock" {
			continue
		}
		errs = append(errs, m.disk.RemoveAll(filepath.Join(m.from, e.Name())))
	}
	return errors.Join(append(errs, m.disk.SyncDir(m.from))...)
}

// Follow gives the folder that counts for a data folder: where it was moved to, if
// it was. Errors are ErrMoved, and say what to do.
func Follow(dir string) (string, error) {
	for range 16 {
		var mark moved
		is, err := readMark(filepath.Join(dir, movedName), &mark)
		if !is || err != nil {
			return dir, err
		}
		if without(filepath.Join(mark.To, "FORMAT")) {
			return "", fmt.Errorf("open data folder %s: %w: on %s it was moved to %s, which is not there; mount that disk; or, to go back to what was here then, remove the file %s", dir, ErrMoved, movedAt(mark.When), mark.To, filepath.Join(dir, movedName))
		}
		dir = mark.To
	}
	return "", fmt.Errorf("open data folder %s: %w: the folders that it was moved to lead in a circle", dir, ErrMoved)
}

// admitMoved looks at the marks of a folder that is to be opened, whose lock is
// held, and removes that of a move which is complete.
func admitMoved(dir string, disk *durable.Disk) error {
	var gone moved
	if is, err := readMark(filepath.Join(dir, movedName), &gone); is || err != nil {
		return errors.Join(fmt.Errorf("open data folder %s: %w: on %s it was moved to %s; use that", dir, ErrMoved, movedAt(gone.When), gone.To), err)
	}
	mark, is, err := readMoving(dir)
	if !is || err != nil {
		return err
	}
	unfinished := fmt.Errorf("open data folder %s: %w: it is not complete; start with %s, whose content it is to have, and move again", dir, ErrMoved, mark.From)
	if !mark.Complete {
		return unfinished
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	// The old folder says whether the last step was made; where it is not there any
	// more, this one is all there is.
	if is, err = readMark(filepath.Join(mark.From, movedName), &gone); err != nil {
		return err
	}
	if !without(mark.From) && (!is || gone.To != absolute) && !without(filepath.Join(mark.From, "FORMAT")) {
		return unfinished
	}
	if err := disk.Remove(filepath.Join(dir, movingName)); err != nil {
		return err
	}
	return disk.SyncDir(dir)
}

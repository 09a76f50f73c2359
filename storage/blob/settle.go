package blob

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// Unsettled is a blob that has its final name, but of which the owner has not
// said that it is recorded.
type Unsettled struct {
	Digest pypi.Digest
	Size   int64
	Note   []byte // what was given to Begin; nil where it cannot be read any more
}

// Brief tells whether a finished blob is so small that no state of it was ever made
// durable. Where a power cut left one that cannot be read, nobody knows whose it is,
// and no more is lost with it than of any partial.
func (d *Dir) Brief(size int64) bool { return size < d.syncEvery }

// Settle says that a finished blob is recorded: its state file goes. The state
// of a partial that is open is its own and stays.
func (d *Dir) Settle(digest pypi.Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[digest] {
		return nil
	}
	return d.disk.Remove(d.statePath(digest))
}

// Withdraw removes a finished blob that will not be recorded, durably, and then
// its state: a cut in between comes here again. One that a writer holds stays.
func (d *Dir) Withdraw(digest pypi.Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[digest] {
		return nil
	}
	return d.withdraw(digest)
}

func (d *Dir) withdraw(digest pypi.Digest) error {
	if err := d.disk.Remove(d.path(digest)); err != nil {
		return err
	}
	if err := d.SyncRemoved(digest); err != nil {
		return err
	}
	return d.disk.Remove(d.statePath(digest))
}

// Unrecorded tells whether a blob stands between Finish and Settle.
func (d *Dir) Unrecorded(digest pypi.Digest) bool {
	_, err := os.Stat(d.statePath(digest))
	return err == nil
}

// Unsettled lists the finished blobs that a cut left unrecorded, and clears away
// what belongs to nothing: states without bytes, bytes without a state, files
// that were half written, and partials that nobody has touched since before
// expire. A board without a battery has written some while its clock stood at
// some year long past: their time is set to now instead. It must not run while
// partials are open.
func (d *Dir) Unsettled(expire time.Time) ([]Unsettled, error) {
	entries, err := os.ReadDir(d.partials)
	if err != nil {
		return nil, fmt.Errorf("list partials: %w", err)
	}
	names := make(map[string]fs.DirEntry, len(entries))
	for _, e := range entries {
		names[e.Name()] = e
	}
	var found []Unsettled
	for _, e := range entries {
		stem, isState := strings.CutSuffix(e.Name(), ".state")
		if !isState {
			if err := d.clearPart(e, names); err != nil {
				return nil, err
			}
			continue
		}
		digest, err := pypi.ParseDigest(stem)
		if err != nil {
			continue // not ours: verify names it
		}
		size, err := d.Size(digest)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err == nil {
			note, err := d.note(digest)
			if err != nil {
				d.log.Warn("a finished blob has no readable note", "digest", stem, "reason", err)
				note = nil
			}
			found = append(found, Unsettled{Digest: digest, Size: size, Note: note})
			if err := d.disk.Remove(d.partPath(digest)); err != nil {
				return nil, err
			}
			continue
		}
		if part, growing := names[stem+".part"]; !growing || d.expired(part, expire) {
			if err := d.Forget(digest); err != nil {
				return nil, err
			}
		}
	}
	return found, d.tidy()
}

// plausible is before the first version of this program.
var plausible = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (d *Dir) expired(part fs.DirEntry, expire time.Time) bool {
	info, err := part.Info()
	if err != nil {
		return true
	}
	if w := (Waiting{Written: info.ModTime()}); w.Written.After(plausible) {
		return w.Expired(expire)
	}
	// What cannot be stamped is asked again at the next start.
	_ = os.Chtimes(filepath.Join(d.partials, part.Name()), time.Time{}, time.Now())
	return false
}

// clearPart removes a file of the partials' folder that is not a state, if no
// state speaks of it.
func (d *Dir) clearPart(e fs.DirEntry, names map[string]fs.DirEntry) error {
	stem, isPart := strings.CutSuffix(e.Name(), ".part")
	if _, has := names[stem+".state"]; isPart && has {
		return nil
	}
	if !isPart && !strings.HasSuffix(e.Name(), ".new") {
		return nil // not ours: verify names it
	}
	return d.disk.Remove(filepath.Join(d.partials, e.Name()))
}

// Forget removes the partial of a digest that nobody wants any more; ErrBusy
// while somebody writes it.
func (d *Dir) Forget(digest pypi.Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[digest] {
		return fmt.Errorf("forget blob %s: %w", digest, ErrBusy)
	}
	if err := d.disk.Remove(d.partPath(digest)); err != nil {
		return err
	}
	return d.disk.Remove(d.statePath(digest))
}

func (d *Dir) note(digest pypi.Digest) ([]byte, error) {
	s, err := d.readState(digest)
	return s.Note, err
}

// Have is the number of bytes of a partial that are on disk; 0 where there is none.
func (d *Dir) Have(digest pypi.Digest) int64 {
	info, err := os.Stat(d.partPath(digest))
	if err != nil {
		return 0
	}
	return info.Size()
}

// Waiting is one partial on disk, for people.
type Waiting struct {
	Digest  pypi.Digest
	Have    int64     // bytes that are here
	Size    int64     // bytes in all; pypi.SizeUnknown
	Written time.Time // when bytes came last, by the clock of then
	Open    bool      // somebody is writing it
}

// Expired tells whether nobody has touched a partial since a time. One that was
// written while the clock of the board stood at some year long past has not.
func (w Waiting) Expired(since time.Time) bool {
	return w.Written.After(plausible) && w.Written.Before(since)
}

// Waiting lists the partials that a later Begin will go on with.
func (d *Dir) Waiting() ([]Waiting, error) {
	entries, err := os.ReadDir(d.partials)
	if err != nil {
		return nil, fmt.Errorf("list partials: %w", err)
	}
	var list []Waiting
	for _, e := range entries {
		stem, isPart := strings.CutSuffix(e.Name(), ".part")
		digest, err := pypi.ParseDigest(stem)
		if !isPart || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // finished meanwhile
		}
		w := Waiting{Digest: digest, Have: info.Size(), Size: pypi.SizeUnknown, Written: info.ModTime()}
		d.mu.Lock()
		w.Open = d.open[digest]
		d.mu.Unlock()
		if s, err := d.readState(digest); err == nil {
			w.Size = s.Size
		}
		list = append(list, w)
	}
	return list, nil
}

// Package storage is what is on the disk: project pages and references in
// Badger, files by digest, and the protocol that holds the two together.
//
// The invariants, which Verify proves: every reference has its bytes, every blob
// has a reference, and the bytes have the digest that the page states. FORMAT.md
// describes the folder and what the disk may do to it.
package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"cheeseboard/storage/blob"
	"cheeseboard/storage/durable"
	"cheeseboard/storage/evict"
	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// DefaultReserve is the free space in bytes that files leave to the rest of the
// system and to the metadata.
const DefaultReserve = 256 << 20

// partialLife is how long a partial that nobody goes on with is kept.
const partialLife = 60 * 24 * time.Hour

// Errors that callers tell apart with errors.Is.
var (
	// ErrFull: the reserve would be used, or the disk has no space at all.
	ErrFull = meta.ErrFull
	// ErrHeld: the file is here already.
	ErrHeld = errors.New("the file is here already")
	// ErrBusy: somebody else is bringing this file in.
	ErrBusy = blob.ErrBusy
	// ErrNotFound: no such file, or not for this project.
	ErrNotFound = blob.ErrNotFound
	// ErrNotNamed: the project's page does not name this digest (any more).
	ErrNotNamed = errors.New("the project's page does not name this file")
	// ErrFormat: the folder was written by a newer program, or is not ours.
	ErrFormat = errors.New("this folder cannot be used")
	// ErrDamaged: what is on the disk is not what was written.
	ErrDamaged = meta.ErrDamaged
)

// MismatchError says that bytes are not what the index states.
type MismatchError = blob.MismatchError

// LockedError says that another process has the folder open.
type LockedError = durable.LockedError

// Ref is one blob that is here for a project.
type Ref = meta.Ref

// Info is what can be said of a project without reading its page.
type Info = meta.Info

// Update is the next version of a project's page, and what is noted with it.
type Update = meta.Update

// State is what the syncer notes of a project, and in which lists it stands.
type State = meta.State

// Waiting is a partial on disk.
type Waiting = blob.Waiting

// Options are the settings of a Store; the zero value is the default of each.
type Options struct {
	Reserve   int64 // bytes that stay free; 0: DefaultReserve, negative: none
	Cache     int64 // bytes of what is only cached; 0: all but the reserve
	SyncEvery int64 // bytes of a partial between two syncs; 0: see blob
	Log       *slog.Logger
	Disk      *durable.Disk // for tests
	Free      func(path string) (int64, error)
	BootID    string
	// Mend sets damaged metadata aside and begins others, where Open would give
	// ErrDamaged; writes a lost FORMAT anew; and forgets the files of a folder of
	// blobs that is lost. For a program that serves: nobody need repair by hand.
	Mend bool
	// Thorough has Open read all of the metadata to their end; of large ones
	// that is otherwise left to Scrub.
	Thorough bool
}

// Store is an open data folder. It is safe for concurrent use.
type Store struct {
	dir     string
	id      string
	reserve int64
	free    func(string) (int64, error)
	log     *slog.Logger
	unlock  func() error
	meta    *meta.DB
	blobs   *blob.Dir
	disk    *durable.Disk

	cached   cached
	own      privates
	promises promised
	ballast  ballast
	roomy    chan struct{} // closed by Tend when a store that can only be read could be written
	losing   sync.Mutex    // held while the list of what was lost is changed
	scrubs   scrubbing
}

// Open opens a data folder, makes it where it is missing, and finishes what a
// cut has left half-done. Errors: *LockedError, ErrFormat, ErrFull, ErrDamaged,
// and those of the file system.
func Open(dir string, opts Options) (_ *Store, err error) {
	s := newStore(dir, opts)
	disk := s.disk
	if err := disk.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open data folder: %w", full(err))
	}
	boot := durable.BootID()
	left, unlock, err := durable.Lock(filepath.Join(dir, "lock"), boot)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", full(err))
	}
	s.unlock = unlock
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	// A program that died in this boot may have died of its metadata.
	if err = s.open(disk, opts, opts.Thorough || left != "" && left == boot); err != nil {
		return nil, full(err)
	}
	return s, nil
}

// newStore fills in what Open builds on.
func newStore(dir string, opts Options) *Store {
	s := &Store{dir: dir, reserve: opts.Reserve, log: opts.Log, disk: opts.Disk, roomy: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.disk == nil {
		s.disk = &durable.Disk{}
	}
	free := opts.Free
	if free == nil {
		free = durable.Free
	}
	s.ballast = newBallast(dir, s.disk, free)
	s.free = s.filesFree
	switch {
	case s.reserve == 0:
		s.reserve = DefaultReserve
	case s.reserve < 0:
		s.reserve = 0
	}
	s.cached = cached{quota: opts.Cache, begun: time.Now(), reading: make(map[evict.Key]int)}
	return s
}

// open opens what is in the folder, whose lock is held.
func (s *Store) open(disk *durable.Disk, opts Options, thorough bool) error {
	if err := admitMoved(s.dir, disk); err != nil {
		return err
	}
	existed := !without(filepath.Join(s.dir, "FORMAT"))
	lostFormat, err := format(s.dir, disk, opts.Mend)
	if err != nil {
		return err
	}
	s.ballast.find()
	if err := settleRestored(s.dir, disk); err != nil {
		return err
	}
	aside, err := s.openMeta(disk, opts, thorough, existed)
	if err != nil {
		return err
	}
	lostBlobs := opts.Mend && without(filepath.Join(s.dir, "blobs"))
	s.blobs, err = blob.Open(s.dir, blob.Options{Disk: disk, SyncEvery: opts.SyncEvery, BootID: opts.BootID, Log: s.log})
	if err != nil {
		return err
	}
	if err := errors.Join(s.identify(), s.loadOwn()); err != nil {
		return err
	}
	if s.ReadOnly() {
		return nil
	}
	if lostFormat {
		s.log.Error("the FORMAT file was lost; the records are those of this program, so it is written anew")
		if err := writeFormat(s.dir, disk); err != nil {
			return err
		}
	}
	if err := s.noteAside(aside, lostBlobs); err != nil {
		return err
	}
	return s.recover()
}

// Values of the store itself.
const (
	idKey      = "storage.id"
	rebuiltKey = "storage.rebuilt" // the metadata are younger than the files
	claimed    = "claimed"         // its value once the files that pages name have been taken over
)

// identify reads the store's identity, or gives one to new metadata. It lies
// with the metadata, since generations begin anew when they do.
func (s *Store) identify() error {
	raw, err := s.meta.Value(idKey)
	if err != nil || raw != nil {
		s.id = string(raw)
		return err
	}
	files := false
	err = s.blobs.Each(pypi.Digest{}, func(pypi.Digest, int64) bool { files = true; return false }, func(string) {})
	if err != nil {
		return err
	}
	if files {
		s.log.Warn("the metadata are new, but files are here: they are kept until a page claims them")
		if err := s.meta.SetValue(rebuiltKey, []byte("yes")); err != nil {
			return err
		}
	}
	s.id = newID()
	return s.meta.SetValue(idKey, []byte(s.id))
}

// rebuilt tells whether the metadata are younger than the files, so that files
// which no page names may still be wanted.
func (s *Store) rebuilt() (bool, error) {
	raw, err := s.meta.Value(rebuiltKey)
	return raw != nil, err
}

// Rebuilt tells whether the metadata were lost since files are here, and those
// that pages name since have not been taken over; see Claim.
func (s *Store) Rebuilt() (bool, error) {
	raw, err := s.meta.Value(rebuiltKey)
	return raw != nil && string(raw) != claimed, err
}

// Close writes out what is in memory and gives the folder free. Partials that
// are still open must be closed before. ErrFull when there is no room to write it
// out: nothing is lost, but this process cannot open the folder again.
func (s *Store) Close() error {
	var errs []error
	if s.meta != nil && s.blobs != nil && !s.ReadOnly() {
		if err := errors.Join(s.keepUses(), s.buryRemoved()); err != nil {
			s.log.Debug("what the next start does again was not written down", "reason", err)
		}
	}
	if s.meta != nil {
		errs = append(errs, s.meta.Close())
	}
	if s.unlock != nil {
		errs = append(errs, s.unlock())
	}
	return errors.Join(errs...)
}

// ID tells this store from others, and from itself rebuilt: it belongs into
// every tag that is made from generations.
func (s *Store) ID() string { return s.id }

// Dir is the data folder.
func (s *Store) Dir() string { return s.dir }

// Project reads a page as the upstream last gave it; false where it is not known.
func (s *Store) Project(name pypi.Name) (*pypi.Project, bool, error) { return s.meta.Project(name) }

// Visit hands a page as it is at this moment to use, with its generation and what
// gives its files, a few of them in memory at a time. known is false, and use not
// called, where there is no page; the error is use's or of the store.
func (s *Store) Visit(name pypi.Name, use func(p *pypi.Project, generation uint64, files pypi.Files) error) (known bool, err error) {
	return s.meta.Visit(name, use)
}

// File looks for a file on a project's page by its digest and name, without
// reading all of the page: f is nil where the page names no such file, and known
// is false where there is no page.
func (s *Store) File(name pypi.Name, digest pypi.Digest, filename string) (f *pypi.File, status pypi.Status, known bool, err error) {
	return s.meta.File(name, digest, filename)
}

// Sound tells whether a project's page is here and can be read, and whether it has
// the addresses of its files. ErrDamaged.
func (s *Store) Sound(name pypi.Name) (known, addressed bool, err error) { return s.meta.Sound(name) }

// Info reads serial and generation of a page; false where it is not known.
func (s *Store) Info(name pypi.Name) (Info, bool, error) { return s.meta.Info(name) }

// Names calls yield with each known project in order of the name.
func (s *Store) Names(yield func(pypi.ListEntry) bool) error { return s.meta.Names(yield) }

// NamesWith is Names for those that begin with a prefix.
func (s *Store) NamesWith(prefix string, yield func(pypi.ListEntry) bool) error {
	return s.meta.NamesWith(prefix, yield)
}

// Version grows with every write to the metadata: equal versions mean that
// nothing at all has changed.
func (s *Store) Version() uint64 { return s.meta.Version() }

// Entry is one project in the journal of changes.
type Entry = meta.Entry

// Journal lists the projects that changed after a generation, deleted ones among
// them, in the order of the changes: generations are the serials of this store.
func (s *Store) Journal(since uint64) ([]Entry, error) { return s.meta.Journal(since, 0) }

// Changes is Journal for those who go on with it: it gives so many at a time, and
// all that changed together with the last.
func (s *Store) Changes(since uint64, most int) ([]Entry, error) { return s.meta.Journal(since, most) }

// LastChange is the highest generation of a project, there or deleted, above since;
// since where there is none.
func (s *Store) LastChange(since uint64) (uint64, error) { return s.meta.LastChange(since) }

// Generations calls yield with each known project and its generation, in order of
// the name, until it returns false.
func (s *Store) Generations(yield func(pypi.Name, uint64) bool) error {
	return s.meta.Generations(yield)
}

// Held lists what is here of a project, by digest.
func (s *Store) Held(name pypi.Name) (map[pypi.Digest]Ref, error) {
	held := make(map[pypi.Digest]Ref)
	err := s.meta.Refs(name, func(r Ref, err error) bool {
		if err == nil { // a record that is damaged is verify's matter
			held[r.Digest] = r
		}
		return true
	})
	return held, err
}

// Stocked calls yield with each project of which something is here, in order of
// the name, until it returns false.
func (s *Store) Stocked(yield func(pypi.Name) bool) error {
	var last pypi.Name
	return s.meta.Refs("", func(r Ref, _ error) bool {
		if r.Name == last {
			return true
		}
		last = r.Name
		return yield(r.Name)
	})
}

// Value reads a small value of another part; nil where there is none.
func (s *Store) Value(key string) ([]byte, error) { return s.meta.Value(key) }

// SetValue replaces a small value; nil removes it.
func (s *Store) SetValue(key string, value []byte) error { return full(s.meta.SetValue(key, value)) }

// Trouble is why the last change of the metadata could not be made durable; nil where it
// was, or none was made since Open. ErrFull.
func (s *Store) Trouble() error { return full(s.meta.Trouble()) }

// Append adds a record to a log of which at most keep records are kept. Durable
// when it returns.
func (s *Store) Append(log string, record []byte, keep int) error {
	return full(s.meta.Append(log, record, keep))
}

// Log calls yield with the records of a log, the oldest first.
func (s *Store) Log(log string, yield func([]byte) bool) error { return s.meta.Log(log, yield) }

// Waiting lists the partials that a download will go on with.
func (s *Store) Waiting() ([]Waiting, error) { return s.blobs.Waiting() }

// Tables tells how many bytes of metadata there are, and how many this program can
// hold: 0 for no limit.
func (s *Store) Tables() (bytes, limit int64) { return s.meta.Tables() }

// Full makes an error that says that the disk is full an ErrFull, whoever met it.
func Full(err error) error { return full(err) }

// full makes a disk without space an ErrFull, whoever met it.
func full(err error) error {
	if err == nil || errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

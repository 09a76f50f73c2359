// Package meta keeps what the box knows in Badger: project pages, which blobs
// are here and why, and how the last look at each upstream page went. It is the
// only package that imports Badger.
//
// Keys (see ../FORMAT.md for the values):
//
//	p/NAME          head of a project page, with up to 64 files inline
//	c/NAME\0IDXGEN  further files of it, up to 64 each; IDX and GEN are 4 bytes
//	n/NAME          its serial: cheap listing; Badger's version of it is the generation
//	g/NAME          the project was deleted: for those who follow the journal
//	r/NAME\0DIGEST  a blob that is here for this project
//	b/DIGEST\0NAME  the same from the blob's side
//	d/DIGEST        a blob that nothing names any more and whose bytes must go
//	t/NAME          a change of this project was too large for one transaction
//	                and is not complete
//	s/NAME          the state of following the upstream's page
//	l/LOG\0NUMBER   records of what happened, the oldest of which go
//	k/KEY           small values of other parts
//	u/LIST…         names of the upstream's projects, some thousand at once
//	v/              nothing; it keeps the highest version
//
// There is one writer at a time; readers see a snapshot.
package meta

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/ristretto/v2/z"

	"cheeseboard/storage/durable"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("another cheeseboard has this folder open")
	// ErrUnsafeBuild: this program would lose data on this machine.
	ErrUnsafeBuild = errors.New("this build would lose data on a 32-bit machine: use one made by scripts/build")
	// ErrFull: the space that must stay free would be used.
	ErrFull = errors.New("the disk is full")
	// ErrDamaged: what is on disk cannot be what was written.
	ErrDamaged = errors.New("the metadata is damaged")
)

// Floor is the free space in bytes that an empty store needs to grow; with its
// tables it needs more. Badger writes through memory maps of sparse files: on a
// full disk such a write ends the process, so it must never come to that.
const Floor = 32 << 20

// What Floor is made of, and what comes on top of it.
const (
	// deletions is kept for changes that make room, and for opening.
	deletions = 16 << 20
	// rewriting is the most that Badger needs for a while when it merges tables:
	// new ones stand beside the old ones, whose size is the bound of a small
	// store. That of a large one is 16 tables of level 0 and the base level, twice.
	rewriting = 160 << 20
	// flushing is what Close needs to turn logs into tables.
	flushing = 12 << 20
)

// need says what a change is for: whether it may use what is kept for deletions.
type need bool

const (
	growing   need = false
	shrinking need = true
)

// Options are the settings of a DB; the zero value is the default of each.
type Options struct {
	Log *slog.Logger // nil: nothing is logged
	// Free tells the free bytes of the file system; nil: it is asked. For tests.
	Free func(path string) (int64, error)
	// Thorough has Open read every table to its end, also where that takes long.
	Thorough bool
	// Limit is how many bytes of tables there may be; 0: as many as the program can
	// map, which is no limit where it has 64 bits. For tests.
	Limit int64
}

// DB is the open metadata. It is safe for concurrent use.
type DB struct {
	dir   string
	limit int64 // of tables, in bytes; 0: none
	db    *badger.DB
	free  func(string) (int64, error)
	zip   *zip

	// writers makes read-change-write steps one at a time: conflict detection costs
	// memory and is off.
	writers    writers
	readOnly   bool
	unwritable bool          // and for that reason it is readOnly
	written    bool          // something was committed since Open; whoever has the turn looks
	closing    time.Duration // 0: closing; for tests
	closed     bool          // as written
	tables     atomic.Int64
	version    atomic.Uint64
	views      views                 // for readers
	trouble    atomic.Pointer[error] // of the last commit; nil: it went well
}

// Open opens the metadata in dir, which is made where it is missing. The caller
// holds the lock of the data folder: files that a kill left behind are removed
// before Badger's own lock is taken. Errors: ErrLocked, ErrUnsafeBuild, ErrFull,
// ErrDamaged, and those of the file system.
func Open(dir string, opts Options) (*DB, error) {
	if err := checkAllocator(); err != nil {
		return nil, err
	}
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &DB{dir: dir, limit: limitOf(opts), free: opts.Free, writers: newWriters()}
	if d.free == nil {
		d.free = durable.Free
	}
	if err := (&durable.Disk{}).MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tables, err := precheck(dir, opts.Thorough)
	if err != nil {
		return nil, err
	}
	d.tables.Store(tables)
	// To be merged once more they must fit beside one another.
	if err := d.checkLimit(d.limit / 4); err != nil {
		return nil, fmt.Errorf("open metadata: %w", err)
	}
	if err := d.checkSpace(shrinking); err != nil {
		return nil, err
	}
	if d.db, err = openSparing(badgerOptions(dir, log)); err != nil {
		return nil, err
	}
	if d.zip, err = newZip(); err != nil {
		return nil, errors.Join(err, d.db.Close())
	}
	d.renewView()
	d.version.Store(d.db.MaxVersion())
	return d, nil
}

// closing is how long Close waits for a disk that has become full meanwhile, or
// read-only.
const closing = 10 * time.Second

// Close writes out what is in memory and gives the folder free. On a full disk, and on
// one where no file can be made any more, it cannot: it gives ErrFull, or the error of
// that; nothing is lost, and the folder stays locked until the process ends. The next
// Open finds what was in memory in its log.
func (d *DB) Close() error {
	// Badger tries to write out until it can, and a commit before it may wait for
	// that too. What is given up here ends with the process.
	done := make(chan error, 1)
	go func() { done <- d.close() }()
	patience := time.NewTicker(cmp.Or(d.closing, closing))
	defer patience.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-patience.C:
			if free, err := d.free(d.dir); err != nil || free < flushing {
				return errors.Join(err, fmt.Errorf("close metadata: %w: %d MB free; what was acknowledged is in their log", ErrFull, free>>20))
			}
			if err := d.writable(); err != nil && !momentary(err) {
				return fmt.Errorf("close metadata: %w; what was acknowledged is in their log", err)
			}
		}
	}
}

// Trouble is why the last change could not be made durable; nil where it was, or none was
// made since Open. A full disk is told by checkSpace before, and is none.
func (d *DB) Trouble() error {
	if err := d.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// momentary tells whether an error may be gone when the same is tried again.
func momentary(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// writable tells whether a file can be made in the folder: on a disk that became
// read-only after an error, Badger tries for ever to make its next table.
func (d *DB) writable() error {
	f, err := durable.Scratch(d.dir)
	if err != nil {
		return err
	}
	return f.Close()
}

func (d *DB) close() error {
	d.writers.lock()
	defer d.writers.unlock()
	d.closed = true
	d.zip.close()
	if d.written {
		if free, ferr := d.free(d.dir); ferr == nil && free < flushing {
			return fmt.Errorf("close metadata: %w: %d MB free, %d MB are needed", ErrFull, free>>20, flushing>>20)
		}
	}
	d.endViews()
	err := d.db.Close()
	if d.unwritable {
		return nil // it was only read, and misses the folder that was removed: see openShadowed
	}
	return err
}

// badgerOptions are those that were measured to fit a small board.
func badgerOptions(dir string, log *slog.Logger) badger.Options {
	o := badger.DefaultOptions(dir)
	o.SyncWrites = true // db.Sync is no barrier: it skips rotated memtables
	o.Logger = badgerLog{log}
	o.MemTableSize = 4 << 20
	o.NumMemtables = 2
	o.BaseTableSize = 4 << 20
	o.TableSizeMultiplier = 1
	o.BaseLevelSize = 32 << 20
	o.NumLevelZeroTables = 8
	o.NumLevelZeroTablesStall = 16
	o.NumCompactors = 2
	o.BlockSize = 16 << 10
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = 0
	o.ValueThreshold = 512 << 10  // nothing of ours is larger: the value log stays empty
	o.ValueLogFileSize = 16 << 20 // is mapped at twice its size
	o.DetectConflicts = false
	o.MetricsEnabled = false
	o.ChecksumVerificationMode = options.OnBlockRead
	return o
}

// lockPatience is how long a lock may be held that the last Close has given free: a
// child that this process, or the one before it, is just starting has all its files
// until it runs its own program.
const lockPatience = time.Second

// openGuarded turns Badger's panics over damaged files into an error, and waits for
// a lock that is about to be free.
func openGuarded(o badger.Options) (db *badger.DB, err error) {
	deadline := time.Now().Add(lockPatience)
	for {
		db, err = openOnce(o)
		if !errors.Is(err, ErrLocked) || time.Now().After(deadline) {
			return db, err
		}
		time.Sleep(lockPatience / 100)
	}
}

func openOnce(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("open metadata in %s: %w: %v\n%s", o.Dir, ErrDamaged, r, debug.Stack())
		}
	}()
	db, err = badger.Open(o)
	switch {
	case err == nil:
		return db, nil
	case strings.Contains(err.Error(), "Cannot acquire directory lock"):
		return nil, fmt.Errorf("open metadata in %s: %w", o.Dir, ErrLocked)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("open metadata in %s: %w", o.Dir, err)
	}
	return nil, damaged(o.Dir, err)
}

// checkAllocator looks for the fault by which Badger loses data silently where
// an int has 32 bits: allocations that overlap once the first buffer is full.
func checkAllocator() error {
	a := z.NewAllocator(1024, "self-test")
	defer a.Release()
	type span struct{ from, to uintptr }
	var spans []span
	for range 200 {
		b := a.Allocate(512)
		from := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
		for _, s := range spans {
			if from < s.to && s.from < from+512 {
				return fmt.Errorf("open metadata: %w", ErrUnsafeBuild)
			}
		}
		spans = append(spans, span{from, from + 512})
	}
	return nil
}

// Need is the free space in bytes below which the metadata do not grow.
func (d *DB) Need() int64 { return Floor + min(d.tables.Load(), rewriting) }

// checkSpace refuses to write when the disk is as good as full.
func (d *DB) checkSpace(need need) error {
	free, err := d.free(d.dir)
	if err != nil {
		return err
	}
	if d.db != nil {
		var size int64
		for _, level := range d.db.Levels() {
			size += level.Size
		}
		d.tables.Store(size)
	}
	floor := d.Need()
	if need == shrinking {
		floor -= deletions
	} else if err := d.checkLimit(0); err != nil {
		return fmt.Errorf("write metadata: %w", err)
	}
	if free < floor {
		return fmt.Errorf("write metadata: %w: %d MB are free, %d MB must stay free; make room on the disk that holds %s", ErrFull, free>>20, floor>>20, d.dir)
	}
	return nil
}

// badgerLog hands Badger's own messages on, its chatter as debug.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any) {
	l.log.Error("badger", "message", trimmed(f, a))
}

func (l badgerLog) Warningf(f string, a ...any) {
	l.log.Warn("badger", "message", trimmed(f, a))
}
func (l badgerLog) Infof(f string, a ...any)  { l.log.Debug("badger", "message", trimmed(f, a)) }
func (l badgerLog) Debugf(f string, a ...any) { l.log.Debug("badger", "message", trimmed(f, a)) }

func trimmed(f string, a []any) string { return strings.TrimSpace(fmt.Sprintf(f, a...)) }

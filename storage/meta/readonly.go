package meta

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/durable"
)

// Where not even opening has room, or the file system cannot be written, the metadata are
// opened to be read only: Badger then makes no files and merges no tables. It refuses logs that a kill has left,
// since their end must be cut first; that is done here, as Badger itself would, and
// needs no room. Where nothing can be written, see shadow.

// OpenReadOnly opens metadata that are there, to be read only: every change gives
// ErrFull. Errors: those of Open, and fs.ErrNotExist where there are none.
func OpenReadOnly(dir string, opts Options) (*DB, error) {
	if err := checkAllocator(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "MANIFEST")); err != nil {
		return nil, fmt.Errorf("open metadata to read: %w", err)
	}
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &DB{dir: dir, free: opts.Free, readOnly: true, unwritable: durable.Unwritable(dir), writers: newWriters()}
	if d.free == nil {
		d.free = durable.Free
	}
	o := badgerOptions(dir, log)
	o.ReadOnly = true
	open := openCut
	if d.unwritable {
		open = openShadowed
	}
	db, tables, err := open(o, opts.Thorough)
	if err != nil {
		return nil, err
	}
	d.db = db
	d.tables.Store(tables)
	if d.zip, err = newZip(); err != nil {
		return nil, errors.Join(err, d.db.Close())
	}
	d.renewView()
	d.version.Store(d.db.MaxVersion())
	return d, nil
}

// openCut opens metadata whose logs can be cut where they are.
func openCut(o badger.Options, thorough bool) (*badger.DB, int64, error) {
	tables, err := precheck(o.Dir, thorough)
	if err == nil {
		err = cutLogs(o.Dir)
	}
	if err != nil {
		return nil, 0, err
	}
	db, err := openGuarded(o)
	return db, tables, err
}

// ReadOnly tells whether the metadata were opened to be read only.
func (d *DB) ReadOnly() bool { return d.readOnly }

// Unwritable gives an *UnwritableError where the metadata were opened to be read only since
// their file system cannot be written.
func (d *DB) Unwritable() error {
	if !d.unwritable {
		return nil
	}
	return &UnwritableError{d.dir}
}

// refuse gives ErrFull where the metadata were opened to be read only.
func (d *DB) refuse() error {
	if !d.readOnly {
		return nil
	}
	if d.unwritable {
		return fmt.Errorf("write metadata: %w", d.Unwritable())
	}
	return fmt.Errorf("write metadata: %w: it was full when %s was opened, which can only be read; make room on that disk", ErrFull, d.dir)
}

// cutLogs cuts the logs of memory tables behind their last whole transaction.
func cutLogs(dir string) error {
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		end, err := logEnd(path)
		if err != nil {
			return fmt.Errorf("read log %s: %w", filepath.Base(path), err)
		}
		if end == logHeader { // nothing was written to it
			if err := (&durable.Disk{}).Remove(path); err != nil {
				return err
			}
			continue
		}
		if err := os.Truncate(path, end); err != nil {
			return fmt.Errorf("cut log %s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// Badger's log: 20 bytes of header; entries of two bytes of flags, three uvarints
// (length of the key, length of the value, time of expiry), key, value, and a CRC-32C
// of all that, big-endian. Those of a transaction are marked, their keys end with its
// number, and an entry follows whose value is the number in decimal.
const (
	logHeader = 20
	logTxn    = 1 << 6
	logFinTxn = 1 << 7
)

// logEnd is where the last whole transaction of a log ends.
func logEnd(path string) (end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	r := bufio.NewReader(f)
	head, err := r.Peek(logHeader)
	if errors.Is(err, io.EOF) {
		return logHeader, nil
	}
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(head[:8], make([]byte, 8)) {
		return 0, fmt.Errorf("%w: it is encrypted, which we never asked for", ErrDamaged)
	}
	if _, err := r.Discard(logHeader); err != nil {
		return 0, err
	}
	end = logHeader
	at, open := end, uint64(0)
	for {
		e, err := readLogEntry(r)
		var hard *fs.PathError
		if errors.As(err, &hard) {
			return 0, err
		}
		if err != nil || len(e.key) == 0 {
			return end, nil // it is cut, or was never written
		}
		at += e.size
		switch {
		case e.flags&logTxn != 0:
			if len(e.key) < 8 {
				return end, nil
			}
			number := math.MaxUint64 - binary.BigEndian.Uint64(e.key[len(e.key)-8:])
			if open == 0 {
				open = number
			}
			if open != number {
				return end, nil
			}
		case e.flags&logFinTxn != 0:
			number, err := strconv.ParseUint(string(e.value), 10, 64)
			if err != nil || number != open {
				return end, nil
			}
			open, end = 0, at
		case open != 0:
			return end, nil
		default:
			end = at
		}
	}
}

type logEntry struct {
	flags      byte
	key, value []byte
	size       int64
}

var errLogEntry = errors.New("no whole entry")

// readLogEntry reads one entry of a log; an error of the disk is a *fs.PathError.
func readLogEntry(r *bufio.Reader) (e logEntry, err error) {
	var header []byte
	next := func() (byte, error) {
		b, err := r.ReadByte()
		header = append(header, b)
		return b, err
	}
	if e.flags, err = next(); err != nil {
		return e, err
	}
	if _, err = next(); err != nil {
		return e, err
	}
	var numbers [3]uint64
	for i := range numbers {
		if numbers[i], err = binary.ReadUvarint(byteReader(next)); err != nil {
			return e, err
		}
	}
	keyLen, valueLen := numbers[0], numbers[1]
	if keyLen > 1<<16 || valueLen > 16<<20 {
		return e, errLogEntry
	}
	body := make([]byte, keyLen+valueLen+crc32.Size)
	if _, err := io.ReadFull(r, body); err != nil {
		return e, err
	}
	whole := len(body) - crc32.Size
	sum := crc32.Update(crc32.Checksum(header, castagnoli), castagnoli, body[:whole])
	if sum != binary.BigEndian.Uint32(body[whole:]) {
		return e, errLogEntry
	}
	e.key, e.value = body[:keyLen], body[keyLen:whole]
	e.size = int64(len(header) + len(body))
	return e, nil
}

type byteReader func() (byte, error)

func (f byteReader) ReadByte() (byte, error) { return f() }

package archive

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"hash/maphash"
	"io"
	"strings"
)

// A wheel is a zip archive (PEP 427; the format is PKWARE's APPNOTE). Its list of
// entries is walked, not loaded: it may have as many as fit into the archive.

const (
	endSignature   = 0x06054b50
	entrySignature = 0x02014b50
	localSignature = 0x04034b50
	endSize        = 22
	entrySize      = 46
	localSize      = 30
	mostComment    = 1<<16 - 1
	mostEntries    = 1<<16 - 2
	absent32       = 1<<32 - 1 // the number stands elsewhere (zip64)

	stored, deflated = 0, 8
	encrypted        = 1 // flag
)

var endian = binary.LittleEndian

// entry is what the list says of one.
type entry struct {
	name             string
	method           uint16
	crc              uint32
	packed, unpacked int64
	at               int64 // of its local header
}

type wheel struct {
	io.ReaderAt
	size int64
	is   identity

	list    int64 // where the list of entries begins
	end     int64 // and ends
	entries int

	seed  maphash.Seed
	seen  map[uint64]bool
	total int64
	meta  *entry
}

func readWheel(r io.ReaderAt, size int64, is identity) ([]byte, error) {
	w := &wheel{ReaderAt: r, size: size, is: is, seed: maphash.MakeSeed(), seen: make(map[uint64]bool)}
	if err := w.findList(); err != nil {
		return nil, err
	}
	if err := w.walk(); err != nil {
		return nil, err
	}
	if w.meta == nil {
		return nil, fault("the wheel has no METADATA in a folder NAME-VERSION.dist-info")
	}
	return w.open(w.meta)
}

// findList reads the record at the end of the archive.
func (w *wheel) findList() error {
	tail := make([]byte, min(w.size, endSize+mostComment))
	if _, err := w.ReadAt(tail, w.size-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	at := -1
	for i := len(tail) - endSize; i >= 0; i-- {
		if endian.Uint32(tail[i:]) == endSignature && i+endSize+int(endian.Uint16(tail[i+20:])) == len(tail) {
			at = i
			break
		}
	}
	if at < 0 {
		return fault("the wheel is no zip archive, or not a whole one")
	}
	record := tail[at:]
	w.entries = int(endian.Uint16(record[10:]))
	length, begin := int64(endian.Uint32(record[12:])), int64(endian.Uint32(record[16:]))
	w.end = w.size - int64(len(tail)) + int64(at)
	w.list = w.end - length
	switch {
	case w.entries > mostEntries, length == absent32, begin == absent32:
		return fault("the wheel has more entries than are taken here, or is of the form zip64")
	case endian.Uint32(record[4:]) != 0 || int(endian.Uint16(record[8:])) != w.entries:
		return fault("the wheel is one part of several")
	case w.list < 0 || begin != w.list:
		return fault("the wheel's list of entries is not where it says: something stands before the archive, or within it")
	}
	return nil
}

// walk looks at each entry.
func (w *wheel) walk() error {
	list := bufio.NewReader(io.NewSectionReader(w, w.list, w.end-w.list))
	for range w.entries {
		e, err := w.next(list)
		if err != nil {
			return err
		}
		if err := w.check(e); err != nil {
			return err
		}
	}
	if _, err := list.ReadByte(); err != io.EOF {
		return fault("the wheel has more entries than it says")
	}
	return nil
}

func (w *wheel) next(list *bufio.Reader) (entry, error) {
	var header [entrySize]byte
	short := fault("the wheel's list of entries is cut short")
	if _, err := io.ReadFull(list, header[:]); err != nil || endian.Uint32(header[:]) != entrySignature {
		return entry{}, short
	}
	name := make([]byte, endian.Uint16(header[28:]))
	if _, err := io.ReadFull(list, name); err != nil {
		return entry{}, short
	}
	if _, err := list.Discard(int(endian.Uint16(header[30:])) + int(endian.Uint16(header[32:]))); err != nil {
		return entry{}, short
	}
	e := entry{
		name: string(name), method: endian.Uint16(header[10:]), crc: endian.Uint32(header[16:]),
		packed: int64(endian.Uint32(header[20:])), unpacked: int64(endian.Uint32(header[24:])),
		at: int64(endian.Uint32(header[42:])),
	}
	switch {
	case endian.Uint16(header[8:])&encrypted != 0:
		return e, fault("the wheel's entry %.80q is encrypted", e.name)
	case e.method != stored && e.method != deflated:
		return e, fault("the wheel's entry %.80q is packed by method %d; pip unpacks 0 and 8 everywhere", e.name, e.method)
	case e.packed == absent32 || e.unpacked == absent32 || e.at+localSize+e.packed > w.list:
		return e, fault("the wheel's entry %.80q does not lie within it", e.name)
	case e.method == stored && e.packed != e.unpacked:
		return e, fault("the wheel's entry %.80q is not packed, and has two lengths", e.name)
	}
	return e, nil
}

func (w *wheel) check(e entry) error {
	if err := checkPath(e.name); err != nil {
		return err
	}
	// Programs for which case does not matter take names for one that differ in it.
	key := maphash.String(w.seed, strings.ToLower(e.name))
	if w.seen[key] {
		return fault("the wheel has the entry %.80q twice", e.name)
	}
	w.seen[key] = true
	w.total += e.unpacked
	if err := tooLarge(w.total, w.size); err != nil {
		return err
	}
	folder, rest, _ := strings.Cut(e.name, "/")
	stem, about := strings.CutSuffix(folder, ".dist-info")
	if !about {
		return nil
	}
	if !w.is.folder(stem) {
		return fault("the wheel has the folder %.80q, which is not called after %s %s", folder, w.is.name, w.is.version)
	}
	if rest == "METADATA" {
		if w.meta != nil {
			return fault("the wheel has METADATA twice")
		}
		w.meta = &e
	}
	return nil
}

// open unpacks an entry of metadata.
func (w *wheel) open(e *entry) ([]byte, error) {
	if e.unpacked > maxMetadata {
		return nil, fault("METADATA has %d bytes; at most %d are taken", e.unpacked, maxMetadata)
	}
	local := make([]byte, localSize+len(e.name))
	if _, err := w.ReadAt(local, e.at); err != nil {
		return nil, err
	}
	nameLength := int(endian.Uint16(local[26:]))
	if endian.Uint32(local) != localSignature || nameLength != len(e.name) || string(local[localSize:]) != e.name || endian.Uint16(local[8:]) != e.method {
		return nil, fault("the wheel says two things of METADATA")
	}
	begin := e.at + localSize + int64(nameLength) + int64(endian.Uint16(local[28:]))
	if begin+e.packed > w.list {
		return nil, fault("METADATA does not lie within the wheel")
	}
	var source io.Reader = io.NewSectionReader(w, begin, e.packed)
	if e.method == deflated {
		source = flate.NewReader(source)
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, io.LimitReader(source, e.unpacked+1)); err != nil {
		return nil, fault("METADATA cannot be unpacked: %v", err)
	}
	if int64(out.Len()) != e.unpacked || crc32.ChecksumIEEE(out.Bytes()) != e.crc {
		return nil, fault("METADATA is not what the wheel says of it")
	}
	return out.Bytes(), nil
}

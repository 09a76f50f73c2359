package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// Records are sealed: version byte, payload, CRC-32C of both. Badger's own
// checksums cover blocks on disk; this one covers the way through memory maps,
// and tells a record of another format.
const recordVersion = 1

// maxRecord is the most bytes that one record may unpack to: a head with the
// versions of the largest project known is under 1 MB.
const maxRecord = 16 << 20

// maxValue is the most bytes of one value in Badger. It must stay below the
// value log's threshold and below what one transaction may hold.
const maxValue = 400 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func seal(payload []byte) []byte {
	out := make([]byte, 0, len(payload)+5)
	out = append(out, recordVersion)
	out = append(out, payload...)
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

func unseal(value []byte) ([]byte, error) {
	if len(value) < 5 {
		return nil, fmt.Errorf("%w: a record of %d bytes", ErrDamaged, len(value))
	}
	body, sum := value[:len(value)-4], binary.LittleEndian.Uint32(value[len(value)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: a record's checksum is wrong", ErrDamaged)
	}
	if body[0] != recordVersion {
		return nil, fmt.Errorf("%w: a record has version %d, this program knows %d", ErrDamaged, body[0], recordVersion)
	}
	return body[1:], nil
}

// A list of files is packed as: number of raw bytes, the raw bytes (digests, sizes
// and times, which do not compress), and the rest under zstd, with a dictionary.

const (
	hasSHA256 = 1 << iota
	hasMetadata
	hasMetadataSHA256
	hasSize
	hasUploadTime
	hasRequiresPython
	urlEndsWithFilename
	urlHasDigest
	hasProvenance
	provenanceHasFilename
	isYanked
	hasYankReason
	hasGPGYes
	hasGPGNo
	hasOtherHashes
	hasMetadataOther
)

type writer struct {
	raw, rest []byte
	time      int64 // of the file before
}

func (w *writer) uint(v uint64) { w.rest = binary.AppendUvarint(w.rest, v) }
func (w *writer) int(v int64)   { w.rest = binary.AppendVarint(w.rest, v) }
func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.rest = append(w.rest, s...)
}

func (w *writer) texts(list []string) {
	// One more than the length, so that nil and empty stay different.
	if list == nil {
		w.uint(0)
		return
	}
	w.uint(uint64(len(list)) + 1)
	for _, s := range list {
		w.text(s)
	}
}

// hashes writes all but a SHA-256, which goes to the raw part.
func (w *writer) hashes(h pypi.Hashes) {
	n := 0
	for _, x := range h {
		if x.Algorithm != "sha256" {
			n++
		}
	}
	w.uint(uint64(n))
	for _, x := range h {
		if x.Algorithm != "sha256" {
			w.text(x.Algorithm)
			w.text(x.Hex)
		}
	}
}

func (w *writer) file(f *pypi.File) {
	var flags uint64
	set := func(bit uint64, on bool) {
		if on {
			flags |= bit
		}
	}
	digest, sha := f.Hashes.SHA256()
	metaDigest, metaSHA := f.CoreMetadata.Hashes.SHA256()
	set(hasSHA256, sha)
	set(hasOtherHashes, len(f.Hashes) > 1 || len(f.Hashes) == 1 && !sha)
	set(hasMetadata, f.CoreMetadata.Available)
	set(hasMetadataSHA256, metaSHA)
	set(hasMetadataOther, len(f.CoreMetadata.Hashes) > 1 || len(f.CoreMetadata.Hashes) == 1 && !metaSHA)
	set(hasGPGYes, f.GPGSig == pypi.Yes)
	set(hasGPGNo, f.GPGSig == pypi.No)
	set(isYanked, f.Yanked.Is)
	set(hasYankReason, f.Yanked.Reason != "")
	set(hasSize, f.Size >= 0)
	set(hasUploadTime, !f.UploadTime.IsZero())
	set(hasProvenance, f.Provenance != "")
	set(hasRequiresPython, f.RequiresPython != "")
	place := splitURL(f.URL, f.Filename)
	set(urlEndsWithFilename, place.short)
	set(urlHasDigest, place.hashed)
	provenance, short := strings.CutSuffix(f.Provenance, "/"+f.Filename+"/provenance")
	set(provenanceHasFilename, short)

	w.uint(flags)
	w.text(f.Filename)
	w.text(place.text)
	if place.hashed {
		w.raw = append(w.raw, place.digest[:]...)
	}
	if sha {
		w.raw = append(w.raw, digest[:]...)
	}
	if flags&hasOtherHashes != 0 {
		w.hashes(f.Hashes)
	}
	if metaSHA {
		w.raw = append(w.raw, metaDigest[:]...)
	}
	if flags&hasMetadataOther != 0 {
		w.hashes(f.CoreMetadata.Hashes)
	}
	for _, s := range []struct {
		bit  uint64
		text string
	}{{hasYankReason, f.Yanked.Reason}, {hasProvenance, provenance}, {hasRequiresPython, f.RequiresPython}} {
		if flags&s.bit != 0 {
			w.text(s.text)
		}
	}
	if flags&hasSize != 0 {
		w.raw = binary.AppendUvarint(w.raw, uint64(f.Size))
	}
	if flags&hasUploadTime != 0 {
		at := f.UploadTime.UnixMicro()
		w.raw = binary.AppendVarint(w.raw, at-w.time)
		w.time = at
	}
}

// pack seals what w holds.
func (d *DB) pack(w *writer) ([]byte, error) {
	if len(w.rest) > maxRecord {
		return nil, fmt.Errorf("pack record: %d bytes, at most %d can be unpacked", len(w.rest), maxRecord)
	}
	payload := binary.AppendUvarint(nil, uint64(len(w.raw)))
	payload = append(payload, w.raw...)
	payload, err := d.zip.pages.append(payload, w.rest)
	if err != nil {
		return nil, err
	}
	if len(payload) > maxValue {
		return nil, fmt.Errorf("pack record: %d bytes, at most %d fit", len(payload), maxValue)
	}
	return seal(payload), nil
}

type reader struct {
	raw, rest []byte
	all       string // the rest from its beginning: texts are parts of it
	time      int64  // of the file before
	err       error
}

func (d *DB) unpack(value []byte) (*reader, error) {
	payload, err := unseal(value)
	if err != nil {
		return nil, err
	}
	n, k := binary.Uvarint(payload)
	if k <= 0 || n > uint64(len(payload)-k) {
		return nil, fmt.Errorf("%w: a record is cut short", ErrDamaged)
	}
	rest, err := d.zip.open(payload[k+int(n):])
	if err != nil {
		return nil, fmt.Errorf("%w: unpack record: %w", ErrDamaged, err)
	}
	return &reader{raw: payload[k : k+int(n)], rest: rest, all: string(rest)}, nil
}

var errShort = errors.New("a record is cut short")

func (r *reader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %w", ErrDamaged, errShort)
	}
	r.rest = nil
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	from := len(r.all) - len(r.rest)
	r.rest = r.rest[n:]
	return r.all[from : from+int(n)]
}

func (r *reader) texts() []string {
	n := r.uint()
	if n == 0 {
		return nil
	}
	return r.list(n - 1)
}

// list reads n texts; not nil.
func (r *reader) list(n uint64) []string {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.text())
	}
	return list
}

func (r *reader) digest() pypi.Digest {
	var d pypi.Digest
	if len(r.raw) < len(d) {
		r.fail()
		return d
	}
	copy(d[:], r.raw)
	r.raw = r.raw[len(d):]
	return d
}

// hashes reads what writer.hashes wrote, and adds the SHA-256 where it belongs.
func (r *reader) hashes(sha pypi.Digest, has, others bool) pypi.Hashes {
	switch {
	case !has && !others:
		return nil
	case !others: // as nearly always: what is made of 32 bytes needs no check
		return pypi.Hashes{{Algorithm: "sha256", Hex: sha.String()}}
	}
	var list []pypi.Hash
	if has {
		list = append(list, pypi.Hash{Algorithm: "sha256", Hex: sha.String()})
	}
	if others {
		n := r.uint()
		if n > uint64(len(r.rest)) {
			r.fail()
			return nil
		}
		for range n {
			list = append(list, pypi.Hash{Algorithm: r.text(), Hex: r.text()})
		}
	}
	h, err := pypi.NewHashes(list...)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return h
}

// number reads from the raw part, with binary.Uvarint or binary.Varint.
func number[T uint64 | int64](r *reader, read func([]byte) (T, int)) T {
	v, n := read(r.raw)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.raw = r.raw[n:]
	return v
}

// files reads a list of them.
func (r *reader) files() (list []pypi.File) {
	n := r.uint()
	if n > 0 {
		list = make([]pypi.File, 0, min(n, filesPerChunk))
	}
	for ; n > 0 && r.err == nil; n-- {
		list = append(list, r.file())
	}
	return list
}

func (r *reader) file() pypi.File {
	flags := r.uint()
	is := func(bit uint64) bool { return flags&bit != 0 }
	f := pypi.File{Size: pypi.SizeUnknown, Filename: r.text()}
	p := place{text: r.text(), short: is(urlEndsWithFilename), hashed: is(urlHasDigest)}
	if p.hashed {
		p.digest = r.digest()
	}
	f.URL = joinURL(p, f.Filename)
	var sha pypi.Digest
	if is(hasSHA256) {
		sha = r.digest()
	}
	f.Hashes = r.hashes(sha, is(hasSHA256), is(hasOtherHashes))
	if is(hasMetadataSHA256) {
		sha = r.digest()
	}
	f.CoreMetadata = pypi.CoreMetadata{Available: is(hasMetadata), Hashes: r.hashes(sha, is(hasMetadataSHA256), is(hasMetadataOther))}
	switch {
	case is(hasGPGYes):
		f.GPGSig = pypi.Yes
	case is(hasGPGNo):
		f.GPGSig = pypi.No
	}
	f.Yanked.Is = is(isYanked)
	for _, s := range []struct {
		bit  uint64
		text *string
	}{{hasYankReason, &f.Yanked.Reason}, {hasProvenance, &f.Provenance}, {hasRequiresPython, &f.RequiresPython}} {
		if is(s.bit) {
			*s.text = r.text()
		}
	}
	if is(provenanceHasFilename) {
		f.Provenance += "/" + f.Filename + "/provenance"
	}
	if is(hasSize) {
		f.Size = int64(number(r, binary.Uvarint) & (1<<63 - 1))
	}
	if is(hasUploadTime) {
		r.time += number(r, binary.Varint)
		f.UploadTime = time.UnixMicro(r.time).UTC()
	}
	return f
}

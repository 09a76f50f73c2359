package storage

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// A backup is the metadata in one file, and the private files, which nobody else has;
// FORMAT.md describes it. The other files are not in it: they are found by their
// digests, or come again.

// BackupFormat is the version of a backup file that this program writes. It reads those
// of version 1 too, which hold no files; a stocked one is of that version.
const BackupFormat = 2

const withoutFiles = 1

const backupMagic = "cheeseboard backup"

// ErrBackup: a file is no backup, not a whole one, or one of a newer program.
var ErrBackup = errors.New("this backup cannot be used")

// BackupHeader is what stands at the beginning of a backup.
type BackupHeader struct {
	Data     int       `json:"data"`    // format of the data folder that the records are of
	Made     time.Time `json:"made"`    // by the clock of the box
	Program  string    `json:"program"` // version of the program that made it
	ID       string    `json:"id"`      // of the store
	Highest  uint64    `json:"highest"` // no generation in it is greater
	Stocked  bool      `json:"stocked"` // of all pages only those of which something is here
	Settings string    `json:"settings,omitempty"`
}

// The body is a row of blocks, each of entries: a few are in memory at a time.
const (
	backupBlock    = 256 << 10 // bytes of entries from which a block is written
	maxBackupBlock = 2 << 20   // bytes of a block that are read at most
	maxHeader      = 1 << 20
)

// BackupOptions are the settings of a Backup.
type BackupOptions struct {
	Settings string // of the program, kept with it; "" none
	Program  string // version of the program
	// Stocked leaves out the pages of projects of which nothing is here, and the private
	// files: it is for the folder in which these are.
	Stocked bool
	// Most is how many bytes it may have; 0: no limit. ErrFull beyond.
	Most int64
	// Rate is how many bytes of the metadata are looked at in a second before they
	// are written; 0: no limit. Hold makes that wait; nil: nothing does.
	Rate int64
	Hold func() bool
}

// Backup writes the metadata as they are at this moment to w, and the private files,
// while the store is in use. Nothing is held in memory but a block, and the digests of
// private files. ErrDamaged where the metadata are.
func (s *Store) Backup(ctx context.Context, w io.Writer, o BackupOptions) (bytes int64, err error) {
	b := &backupWriter{out: w, sum: sha256.New(), most: o.Most}
	if b.zip, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(backupBlock)); err != nil {
		return 0, err
	}
	format := BackupFormat
	if o.Stocked {
		format = withoutFiles
	}
	header := BackupHeader{Data: Format, Made: time.Now().UTC(), Program: o.Program, ID: s.id, Stocked: o.Stocked, Settings: o.Settings}
	begin := func(version uint64) error {
		header.Highest = version
		raw, err := json.Marshal(header)
		if err != nil {
			return err
		}
		return b.write(fmt.Appendf(nil, "%s %d\n%s\n", backupMagic, format, raw))
	}
	p := pacer{rate: o.Rate, hold: o.Hold}
	var private privateBlobs
	err = s.meta.Export(ctx, o.Stocked, func(n int) error { return p.take(ctx, n) }, begin, func(kv meta.KeyValue) error {
		private.see(kv.Key)
		return b.entry(kv)
	})
	if err == nil {
		err = b.endEntries()
	}
	if err == nil && !o.Stocked {
		err = b.files(ctx, s, private.sorted())
	}
	if err == nil {
		err = b.write(b.sum.Sum(nil))
	}
	if err != nil {
		return b.written, fmt.Errorf("write backup: %w", full(err))
	}
	return b.written, nil
}

type backupWriter struct {
	out     io.Writer
	sum     hash.Hash
	zip     *zstd.Encoder
	block   []byte
	packed  []byte
	written int64
	most    int64
}

func (b *backupWriter) write(p []byte) error {
	if b.most > 0 && b.written+int64(len(p)) > b.most {
		return fmt.Errorf("%w: it would have more than %d MB", ErrFull, b.most>>20)
	}
	n, err := b.out.Write(p)
	b.written += int64(n)
	_, _ = b.sum.Write(p[:n]) // hash.Hash never fails
	return err
}

func (b *backupWriter) entry(kv meta.KeyValue) error {
	b.block = binary.AppendUvarint(b.block, uint64(len(kv.Key)))
	b.block = append(b.block, kv.Key...)
	b.block = binary.AppendUvarint(b.block, uint64(len(kv.Value)))
	b.block = append(b.block, kv.Value...)
	if len(b.block) < backupBlock {
		return nil
	}
	return b.flush()
}

func (b *backupWriter) flush() error {
	if len(b.block) == 0 {
		return nil
	}
	b.packed = b.zip.EncodeAll(b.block, b.packed[:0])
	b.block = b.block[:0]
	if err := b.write(binary.AppendUvarint(nil, uint64(len(b.packed)))); err != nil {
		return err
	}
	return b.write(b.packed)
}

// endEntries writes the last block, and the mark of the end of all blocks.
func (b *backupWriter) endEntries() error {
	if err := b.flush(); err != nil {
		return err
	}
	return b.write([]byte{0})
}

// backupReader reads a backup from its beginning to its end.
type backupReader struct {
	BackupHeader
	format int
	take   func(digest pypi.Digest, body io.Reader) error // gets each file; nil: nobody wants them

	in    *bufio.Reader
	sum   hash.Hash
	zip   *zstd.Decoder
	block []byte
	raw   []byte
	rest  []byte // of raw, what has not been given out
}

func notABackup(format string, a ...any) error {
	return fmt.Errorf("read backup: %w: %w", ErrBackup, fmt.Errorf(format, a...))
}

// openBackup reads the header of a backup. ErrBackup.
func openBackup(r io.Reader) (*backupReader, error) {
	b := &backupReader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	first, err := b.line(64)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Sscanf(first, backupMagic+" %d\n", &b.format); err != nil {
		return nil, notABackup("it does not begin as a backup of cheeseboard does")
	}
	if b.format != BackupFormat && b.format != withoutFiles {
		return nil, notABackup("it has format %d, this program knows %d; use a newer cheeseboard", b.format, BackupFormat)
	}
	text, err := b.line(maxHeader)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &b.BackupHeader); err != nil {
		return nil, notABackup("its header cannot be read: %w", err)
	}
	if b.Data != Format {
		return nil, notABackup("its records are of data format %d, this program knows %d; use a newer cheeseboard", b.Data, Format)
	}
	b.zip, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBackupBlock))
	return b, err
}

// line reads up to a line end, which it gives too.
func (b *backupReader) line(most int) (string, error) {
	var line []byte
	for {
		c, err := b.in.ReadByte()
		if err != nil {
			return "", b.broken(err)
		}
		line = append(line, c)
		if c == '\n' {
			_, _ = b.sum.Write(line) // hash.Hash never fails
			return string(line), nil
		}
		if len(line) >= most {
			return "", notABackup("it does not begin as a backup of cheeseboard does")
		}
	}
}

// broken says that the file ends too early, or cannot be read.
func (b *backupReader) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return notABackup("it breaks off; was it copied whole?")
	}
	return fmt.Errorf("read backup: %w", err)
}

// next gives an entry, valid until the next call; io.EOF at the end, once the
// digest has turned out right: only then is anything of it to be believed.
func (b *backupReader) next() (kv meta.KeyValue, err error) {
	if len(b.rest) == 0 {
		if err := b.load(); err != nil {
			return kv, err
		}
	}
	if kv.Key, err = b.field(); err == nil {
		kv.Value, err = b.field()
	}
	return kv, err
}

func (b *backupReader) field() ([]byte, error) {
	length, n := binary.Uvarint(b.rest)
	if n <= 0 || length > uint64(len(b.rest)-n) {
		return nil, notABackup("an entry is cut short")
	}
	field := b.rest[n : n+int(length)]
	b.rest = b.rest[n+int(length):]
	return field, nil
}

// load reads the next block, or the end.
func (b *backupReader) load() error {
	length, err := binary.ReadUvarint(summing{b})
	if err != nil {
		return b.broken(err)
	}
	if length == 0 {
		if b.format != withoutFiles {
			if err := b.files(); err != nil {
				return err
			}
		}
		return b.finish()
	}
	if length > maxBackupBlock {
		return notABackup("a block of %d bytes", length)
	}
	if uint64(cap(b.block)) < length {
		b.block = make([]byte, length)
	}
	b.block = b.block[:length]
	if _, err := io.ReadFull(b.in, b.block); err != nil {
		return b.broken(err)
	}
	_, _ = b.sum.Write(b.block) // hash.Hash never fails
	if b.raw, err = b.zip.DecodeAll(b.block, b.raw[:0]); err != nil {
		return notABackup("a block cannot be unpacked: %w", err)
	}
	if b.rest = b.raw; len(b.rest) == 0 {
		return notABackup("a block of nothing")
	}
	return nil
}

func (b *backupReader) finish() error {
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(b.in, want); err != nil {
		return b.broken(err)
	}
	if !bytes.Equal(want, b.sum.Sum(nil)) {
		return notABackup("its bytes are not those that were written")
	}
	if _, err := b.in.ReadByte(); !errors.Is(err, io.EOF) {
		return notABackup("something stands behind its end")
	}
	return io.EOF
}

// summing reads single bytes, and adds them to the digest.
type summing struct{ b *backupReader }

func (s summing) ReadByte() (byte, error) {
	c, err := s.b.in.ReadByte()
	if err == nil {
		_, _ = s.b.sum.Write([]byte{c}) // hash.Hash never fails
	}
	return c, err
}

// CheckBackup reads a backup to its end, and gives its header. ErrBackup.
func CheckBackup(r io.Reader) (BackupHeader, error) {
	b, err := openBackup(r)
	if err != nil {
		return BackupHeader{}, err
	}
	defer b.zip.Close()
	for err == nil {
		_, err = b.next()
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b.BackupHeader, err
}

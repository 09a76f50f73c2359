// Package patchwork keeps one long text under gzip (RFC 1952) in a file, made of
// pieces that were compressed apart: when a piece changes, the others are copied
// as they are. What clients get is one stream of one member.
package patchwork

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// Key names the content of a piece: equal keys mean equal bytes.
type Key [32]byte

// Piece is a part of the text.
type Piece struct {
	Key Key
	// Append gives the text of the piece behind b. It is called only where no
	// piece of that key is at hand.
	Append func(b []byte) []byte
}

// Stats tell what making a Stream took.
type Stats struct {
	Pieces int // in all
	Packed int // of them, those that were compressed; the others were copied
}

// Stream is a text under gzip in a file. It is never changed, and safe for
// concurrent use. It is there until Release was called as often as Hold, and once
// more.
type Stream struct {
	file  *os.File
	size  int64 // bytes under gzip
	raw   int64 // bytes of the text
	parts map[Key]part

	mu    sync.Mutex
	holds int
}

// part is where a piece lies in the file.
type part struct {
	offset, length int64
	raw            int64
	crc            uint32 // of the text
}

// header is that of a gzip member without name and time, so that equal texts
// give equal bytes.
var header = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// lastBlock ends the compressed data: an empty block with fixed codes, marked as
// the last (RFC 1951). The pieces end at whole bytes, in blocks that are not.
var lastBlock = []byte{3, 0}

const level = 6

var errCopy = errors.New("a piece that is to be copied is shorter than it was")

// Sew writes a text to an empty file, and takes what pieces it can from old, which
// may be nil and is not changed. The file belongs to the Stream from then on; with
// an error it is closed.
func Sew(file *os.File, old *Stream, pieces iter.Seq2[Piece, error]) (*Stream, Stats, error) {
	s := &Stream{file: file, parts: make(map[Key]part), holds: 1}
	stats, err := s.sew(old, pieces)
	if err != nil {
		return nil, stats, errors.Join(err, file.Close())
	}
	return s, stats, nil
}

func (s *Stream) sew(old *Stream, pieces iter.Seq2[Piece, error]) (stats Stats, err error) {
	if err := s.write(header); err != nil {
		return stats, err
	}
	packer, err := newPacker()
	if err != nil {
		return stats, err
	}
	var sum uint32
	for piece, err := range pieces {
		if err != nil {
			return stats, err
		}
		stats.Pieces++
		p, here := old.part(piece.Key)
		if here {
			err = s.copy(old, &p)
		} else {
			stats.Packed++
			p, err = s.pack(packer, piece)
		}
		if err != nil {
			return stats, err
		}
		s.parts[piece.Key] = p
		s.raw += p.raw
		sum = combine(sum, p.crc, p.raw)
	}
	end := binary.LittleEndian.AppendUint32(bytes.Clone(lastBlock), sum)
	return stats, s.write(binary.LittleEndian.AppendUint32(end, uint32(s.raw))) // modulo 2^32, as the format wants it
}

// part finds a piece of a text that may be none.
func (s *Stream) part(key Key) (part, bool) {
	if s == nil {
		return part{}, false
	}
	p, ok := s.parts[key]
	return p, ok
}

// packer holds the buffers of packing.
type packer struct {
	text   []byte
	packed bytes.Buffer
	flate  *flate.Writer
}

func newPacker() (p *packer, err error) {
	p = new(packer)
	p.flate, err = flate.NewWriter(&p.packed, level)
	return p, err
}

// pack compresses a piece by itself, up to a whole byte, and writes it.
func (s *Stream) pack(k *packer, piece Piece) (part, error) {
	k.text = piece.Append(k.text[:0])
	k.packed.Reset()
	k.flate.Reset(&k.packed)
	_, err := k.flate.Write(k.text)
	if err == nil {
		err = k.flate.Flush()
	}
	if err != nil {
		return part{}, fmt.Errorf("pack piece: %w", err)
	}
	p := part{offset: s.size, length: int64(k.packed.Len()), raw: int64(len(k.text)), crc: crc32.ChecksumIEEE(k.text)}
	return p, s.write(k.packed.Bytes())
}

// copy writes a piece of the old file, and notes where it lies now.
func (s *Stream) copy(old *Stream, p *part) error {
	from := io.NewSectionReader(old.file, p.offset, p.length)
	p.offset = s.size
	n, err := io.Copy(s.file, from)
	s.size += n
	if err == nil && n != p.length {
		err = errCopy
	}
	if err != nil {
		return fmt.Errorf("copy piece: %w", err)
	}
	return nil
}

func (s *Stream) write(b []byte) error {
	n, err := s.file.Write(b)
	s.size += int64(n)
	if err != nil {
		return fmt.Errorf("write piece: %w", err)
	}
	return nil
}

// Size is the length under gzip, in bytes.
func (s *Stream) Size() int64 { return s.size }

// Gzip reads the bytes under gzip from the beginning.
func (s *Stream) Gzip() io.Reader { return io.NewSectionReader(s.file, 0, s.size) }

// Text reads the text from the beginning.
func (s *Stream) Text() (io.ReadCloser, error) { return gzip.NewReader(s.Gzip()) }

// Length is that of the text, in bytes.
func (s *Stream) Length() int64 { return s.raw }

// File gives the file, and how much is in it under gzip.
func (s *Stream) File() (*os.File, int64) { return s.file, s.size }

// Hold keeps the file open until Release; false where it is closed already.
func (s *Stream) Hold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds == 0 {
		return false
	}
	s.holds++
	return true
}

// Release gives back what Hold or Sew gave. The last one closes the file, and
// gives the error of that.
func (s *Stream) Release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds--; s.holds > 0 {
		return nil
	}
	return s.file.Close()
}

package meta

import (
	_ "embed"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// dictionary holds what the records of most projects have in common: tags, ends of
// file names, requirements of Python, the words of a note. It belongs to the
// format: records that were packed with it cannot be read without it. Another one
// needs another number (see train_test.go, which makes it).
//
//go:embed dictionary.zstd
var dictionary []byte

// zstdMagic stands before every frame, and is not stored.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// zip packs the part of records that compresses. It is safe for concurrent use.
type zip struct {
	pages, notes packer
	dec          *zstd.Decoder
}

// packer is an encoder that is there while it is needed: that of pages takes 9 MB,
// which a box that only serves has better uses for, and that of notes 1 MB.
type packer struct {
	level zstd.EncoderLevel

	mu   sync.Mutex
	enc  *zstd.Encoder
	rest *time.Timer // takes the encoder away
	uses int
}

// packerRest is for how long an encoder stays that is not used. To make one takes
// some milliseconds.
const packerRest = 3 * time.Second

func newZip() (*zip, error) {
	z := &zip{}
	z.pages.level, z.notes.level = zstd.SpeedBetterCompression, zstd.SpeedFastest
	var err error
	if z.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRecord),
		zstd.WithDecoderDicts(dictionary)); err != nil {
		return nil, fmt.Errorf("make the unpacker of records: %w", err)
	}
	return z, nil
}

// close ends the unpacker; nothing is packed any more.
func (z *zip) close() {
	z.dec.Close()
	z.pages.close()
	z.notes.close()
}

func (p *packer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rest != nil {
		p.rest.Stop()
	}
	p.enc = nil
}

// append adds plain to dst, packed.
func (p *packer) append(dst, plain []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.enc == nil {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(p.level), zstd.WithEncoderDict(dictionary))
		if err != nil {
			return nil, fmt.Errorf("make the packer of records: %w", err)
		}
		p.enc = enc // for EncodeAll alone, which leaves nothing to close
		p.leaveAfter(p.uses)
	}
	p.uses++
	begin := len(dst)
	dst = p.enc.EncodeAll(plain, dst)
	frame := dst[begin:]
	copy(frame, frame[len(zstdMagic):])
	return dst[:len(dst)-len(zstdMagic)], nil
}

// leaveAfter takes the encoder away after a rest in which it was not used more than
// so many times.
func (p *packer) leaveAfter(uses int) {
	p.rest = time.AfterFunc(packerRest, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case p.enc == nil:
		case p.uses == uses:
			p.enc = nil
		default:
			p.leaveAfter(p.uses)
		}
	})
}

// open gives what was packed; errors are those of the decoder.
func (z *zip) open(packed []byte) ([]byte, error) {
	frame := make([]byte, 0, len(zstdMagic)+len(packed))
	return z.dec.DecodeAll(append(append(frame, zstdMagic...), packed...), nil)
}

package meta

import (
	_ "embed"
	"errors"
	"fmt"

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
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newZip() (*zip, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderDict(dictionary))
	if err != nil {
		return nil, fmt.Errorf("make the packer of records: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRecord),
		zstd.WithDecoderDicts(dictionary))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the unpacker of records: %w", err), enc.Close())
	}
	return &zip{enc: enc, dec: dec}, nil
}

func (z *zip) close() error {
	z.dec.Close()
	return z.enc.Close()
}

// append adds plain to dst, packed.
func (z *zip) append(dst, plain []byte) []byte {
	begin := len(dst)
	dst = z.enc.EncodeAll(plain, dst)
	frame := dst[begin:]
	copy(frame, frame[len(zstdMagic):])
	return dst[:len(dst)-len(zstdMagic)]
}

// open gives what was packed; errors are those of the decoder.
func (z *zip) open(packed []byte) ([]byte, error) {
	frame := make([]byte, 0, len(zstdMagic)+len(packed))
	return z.dec.DecodeAll(append(append(frame, zstdMagic...), packed...), nil)
}

package upstreamtest

import (
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io"
)

// flipped is a body with one byte turned over.
type flipped struct {
	body
	at int64
}

func (f flipped) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.body.ReadAt(p, off)
	if i := f.at - off; i >= 0 && i < int64(n) {
		p[i] ^= 0xff
	}
	return n, err
}

// resized is a body that is longer (filled up with zeros) or shorter than it should be.
type resized struct {
	body
	size int64
}

func (z resized) Size() int64 { return z.size }

func (z resized) ReadAt(p []byte, off int64) (int, error) {
	if off >= z.size {
		return 0, io.EOF
	}
	full := len(p)
	p = p[:min(int64(full), z.size-off)]
	n := 0
	if off < z.body.Size() {
		var err error
		if n, err = z.body.ReadAt(p, off); err != nil && err != io.EOF {
			return n, err
		}
	}
	clear(p[n:])
	if len(p) < full {
		return len(p), io.EOF
	}
	return len(p), nil
}

// repeated reads one block over and over.
type repeated struct {
	block []byte
	left  int64 // blocks still to come; negative for without end
	at    int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && r.left != 0 {
		c := copy(p[n:], r.block[r.at:])
		n += c
		if r.at += c; r.at == len(r.block) {
			r.at = 0
			r.left--
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// bombBlock is what one repeated block of a bomb unpacks to, in bytes.
const bombBlock = 1 << 20

// bomb is a gzip stream of a project page that is valid JSON, full of white
// space: about blocks MiB when it is unpacked, a thousandth of that on the line.
// One compressed block is sent over and over, so that it costs the sender nothing.
func bomb(name string, blocks int64) (io.Reader, error) {
	head := fmt.Appendf(nil, `{"meta":{"api-version":"1.4"},"name":%q,"versions":[],"files":[`, name)
	space := bytes.Repeat([]byte{' '}, bombBlock)
	tail := []byte("]}")

	sum := crc32.NewIEEE()
	_, _ = sum.Write(head) // a hash never fails
	for range blocks {
		_, _ = sum.Write(space)
	}
	_, _ = sum.Write(tail)
	size := uint32(int64(len(head)) + blocks*bombBlock + int64(len(tail))) // modulo 2^32, as gzip wants it

	first, err := deflateBlock(head, false)
	if err != nil {
		return nil, err
	}
	middle, err := deflateBlock(space, false)
	if err != nil {
		return nil, err
	}
	last, err := deflateBlock(tail, true)
	if err != nil {
		return nil, err
	}
	crc := sum.Sum32()
	trailer := []byte{
		byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24),
		byte(size), byte(size >> 8), byte(size >> 16), byte(size >> 24),
	}
	gzipHeader := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	return io.MultiReader(
		bytes.NewReader(gzipHeader), bytes.NewReader(first),
		&repeated{block: middle, left: blocks},
		bytes.NewReader(last), bytes.NewReader(trailer),
	), nil
}

// deflateBlock compresses p by itself up to a byte boundary, so that blocks can
// be put one after another; the last one ends the stream.
func deflateBlock(p []byte, last bool) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(p); err != nil {
		return nil, err
	}
	if last {
		err = w.Close()
	} else {
		err = w.Flush()
	}
	return b.Bytes(), err
}

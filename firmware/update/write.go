package update

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Release is what a bundle is made for.
type Release struct {
	Version Version `json:"version"`
	Board   string  `json:"board"`
	Floor   Version `json:"floor"`
	// Trial is by what this release, once it runs, is judged; nil: by the defaults. It
	// is in the slot only, not in the bundle's manifest.
	Trial *Policy `json:"trial,omitempty"`
}

// Write makes a bundle of a slot's image, from its beginning to its end. scratch
// holds the packed image meanwhile, from its beginning; it need not be empty. The
// same arguments give the same bytes, with the same release of Go.
func Write(w io.Writer, r Release, image io.Reader, scratch io.ReadWriteSeeker, key ed25519.PrivateKey) (Manifest, error) {
	m := Manifest{Format: format, Version: r.Version, Board: r.Board, Floor: r.Floor}
	fail := func(err error) (Manifest, error) {
		return m, fmt.Errorf("write the bundle of %s: %w", r.Version, err)
	}
	if _, err := scratch.Seek(0, io.SeekStart); err != nil {
		return fail(err)
	}
	packed := &counter{w: scratch}
	z := gzip.NewWriter(packed) // the best is three times slower, and one part in a thousand smaller
	sum := sha256.New()
	var err error
	if m.Size, err = io.Copy(io.MultiWriter(z, sum), image); err != nil {
		return fail(err)
	}
	if err = z.Close(); err != nil {
		return fail(err)
	}
	m.SHA256, m.Packed = hex.EncodeToString(sum.Sum(nil)), packed.n
	if err = m.check(); err != nil {
		return fail(err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fail(err)
	}
	if _, err = w.Write(header(text, sign(key, bundleContext, text))); err != nil {
		return fail(err)
	}
	if _, err = scratch.Seek(0, io.SeekStart); err != nil {
		return fail(err)
	}
	if _, err = io.CopyN(w, scratch, m.Packed); err != nil {
		return fail(err)
	}
	return m, nil
}

// Used is how much of a slot's image a bundle needs: all up to the last sector that is
// not zero. What lies behind belongs to no file, and may stay as it is in a slot.
func Used(image io.ReadSeeker) (int64, error) {
	size, err := image.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("find the end of a slot's image: %w", err)
	}
	block := make([]byte, 64<<10)
	for end := size; end > 2*headSize; {
		from := max(0, end-int64(len(block)))
		part := block[:end-from]
		if _, err = image.Seek(from, io.SeekStart); err == nil {
			_, err = io.ReadFull(image, part)
		}
		if err != nil {
			return 0, fmt.Errorf("find the end of a slot's image: %w", err)
		}
		if n := len(bytes.TrimRight(part, "\x00")); n > 0 {
			end = (from + int64(n) + sector - 1) / sector * sector
			return min(max(end, 2*headSize), size), nil
		}
		end = from
	}
	return min(size, 2*headSize), nil
}

func sign(key ed25519.PrivateKey, context string, text []byte) []byte {
	return ed25519.Sign(key, append([]byte(context), text...))
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// isFlate tells an error of the compression's format.
func isFlate(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.As(err, &corrupt)
}

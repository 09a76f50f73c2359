package update

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
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
// not zero, and, of a FAT32, up to the last cluster that belongs to a file, which may end
// with zeros. What lies behind may stay as it is in a slot.
func Used(image io.ReadSeeker) (int64, error) {
	size, err := image.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("find the end of a slot's image: %w", err)
	}
	least, err := allocated(image)
	if err != nil {
		return 0, fmt.Errorf("find the end of a slot's image: %w", err)
	}
	least = min(max(least, 2*headSize), size)
	block := make([]byte, 64<<10)
	for end := size; end > least; {
		from := max(0, end-int64(len(block)))
		part := block[:end-from]
		if err := readAt(image, part, from); err != nil {
			return 0, fmt.Errorf("find the end of a slot's image: %w", err)
		}
		if n := len(bytes.TrimRight(part, "\x00")); n > 0 {
			end = (from + int64(n) + sector - 1) / sector * sector
			return min(max(end, least), size), nil
		}
		end = from
	}
	return least, nil
}

func readAt(r io.ReadSeeker, b []byte, at int64) error {
	if _, err := r.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err := io.ReadFull(r, b)
	return err
}

// mostFAT bounds the allocation table of a FAT32 that is looked through, in sectors: that
// of the largest slot, with the smallest clusters, has as many.
const mostFAT = mostSlot / sector * 4 / sector

// allocated is where the last cluster of a FAT32 ends that belongs to a file; 0 where the
// image is none.
func allocated(image io.ReadSeeker) (int64, error) {
	b := make([]byte, sector)
	if err := readAt(image, b, 0); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, nil
		}
		return 0, err
	}
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	perCluster, reserved, copies, perFAT := int64(b[13]), word(14), int64(b[16]), int64(binary.LittleEndian.Uint32(b[36:]))
	if word(510) != 0xaa55 || word(11) != sector || word(22) != 0 || perFAT == 0 || perFAT > mostFAT {
		return 0, nil
	}
	table := make([]byte, perFAT*sector)
	if err := readAt(image, table, reserved*sector); err != nil {
		return 0, fmt.Errorf("read its allocation table: %w", err)
	}
	const entry, first = 4, 2 // bytes; the first cluster's number
	for n := int64(len(table)/entry) - 1; n >= first; n-- {
		if binary.LittleEndian.Uint32(table[n*entry:])&0x0fffffff != 0 {
			return (reserved + copies*perFAT + (n-first+1)*perCluster) * sector, nil
		}
	}
	return 0, nil
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

package upstreamtest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// Bulk describes a file that is too large to be held: its bytes are worked out
// when they are read, and do not compress. It has the name and the metadata of a
// wheel, but is no archive.
type Bulk struct {
	Name    string // as the project spells it
	Version string // PEP 440
	Size    int64  // bytes
	Seed    uint64 // varies the bytes
}

// Filename is that of a wheel for every platform.
func (b Bulk) Filename() string { return b.wheel().Filename() }

func (b Bulk) wheel() Wheel { return Wheel{Name: b.Name, Version: b.Version} }

// Content gives the bytes.
func (b Bulk) Content() *io.SectionReader { return io.NewSectionReader(bulk{b}, 0, b.Size) }

// AddBulk adds a large file and its project where it is new, and returns the
// file's name. It reads the bytes once, for their digest.
func (x *Index) AddBulk(b Bulk) (string, error) {
	if err := checkRelease(b.Name, b.Version); err != nil || b.Size < 0 {
		return "", fmt.Errorf("add %d bytes: %w", b.Size, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, b.Content()); err != nil {
		return "", fmt.Errorf("read %s: %w", b.Filename(), err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	metadata := b.wheel().Metadata()
	return b.Filename(), x.add(b.Name, b.Filename(), func(now time.Time) (*file, error) {
		return &file{
			filename: b.Filename(), version: b.Version, bulk: bulk{b}, size: b.Size,
			sha256: sum, etag: `"` + sum[:32] + `"`, path: packagePath(b.Filename(), sum),
			metadata: metadata, metadataSHA256: hexSum(metadata), uploaded: now,
		}, nil
	})
}

// bulk reads the bytes of a Bulk. Each 8 bytes follow from the seed and their
// place alone.
type bulk struct{ of Bulk }

// Size is the number of bytes.
func (b bulk) Size() int64 { return b.of.Size }

// ReadAt is io.ReaderAt's.
func (b bulk) ReadAt(p []byte, offset int64) (int, error) {
	n := int(max(min(int64(len(p)), b.of.Size-offset), 0))
	var word [8]byte
	for done := 0; done < n; {
		at := offset + int64(done)
		value := scatter(b.of.Seed, uint64(at/8))
		if skip := int(at % 8); skip != 0 || n-done < 8 {
			binary.LittleEndian.PutUint64(word[:], value)
			done += copy(p[done:n], word[skip:])
			continue
		}
		binary.LittleEndian.PutUint64(p[done:], value)
		done += 8
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// scatter is the n-th number of the sequence SplitMix64 that begins at a seed.
func scatter(seed, n uint64) uint64 {
	z := seed + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

package blob

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cheeseboard/storage/pypi"
)

// TestReadCold reads files of lengths around those of pieces and blocks, where the
// page cache can be passed by and, in memory, where it perhaps cannot.
func TestReadCold(t *testing.T) {
	roots := []string{t.TempDir()}
	if dir, err := os.MkdirTemp("/dev/shm", "cheeseboard"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		roots = append(roots, dir)
	}
	for _, root := range roots {
		d, err := Open(root, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 511, 4095, 4096, 4097, coldPiece - 1, coldPiece, coldPiece + 1, 3*coldPiece + 77} {
			content := make([]byte, n)
			for i := range content {
				content[i] = byte(i * 7 / 3)
			}
			digest := pypi.Digest(sha256.Sum256(content))
			path := d.path(digest)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o444)); err != nil {
				t.Fatal(err)
			}
			var got []byte
			asked := 0
			info, err := d.ReadCold(digest, func(n int) error { asked += n; return nil }, func(b []byte) { got = append(got, b...) })
			if err != nil || !bytes.Equal(got, content) || info.Size() != int64(n) || asked != n {
				t.Errorf("%s: of %d bytes %d were read, %d asked for: %v", root, n, len(got), asked, err)
			}
		}
		if _, err := d.ReadCold(pypi.Digest{1}, nil, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("of a blob that is not there: %v", err)
		}
	}
}

package pypi

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// TestWriteProject holds that a page written in pieces is the page, and that what
// fails on the way is told.
func TestWriteProject(t *testing.T) {
	forms := []struct {
		name   string
		render func([]byte, *Project, Link) []byte
		write  func(io.Writer, []byte, *Project, Files, Link) ([]byte, error)
	}{{"JSON", AppendProjectJSON, WriteProjectJSON}, {"HTML", AppendProjectHTML, WriteProjectHTML}}
	broken := errors.New("broken")
	for _, form := range forms {
		for _, n := range []int{0, 1, 3000} {
			p := benchProject(n)
			var out bytes.Buffer
			var largest int
			buf, err := form.write(writerFunc(func(b []byte) (int, error) {
				largest = max(largest, len(b))
				return out.Write(b)
			}), nil, p, FilesOf(p), nil)
			if err != nil || !bytes.Equal(out.Bytes(), form.render(nil, p, nil)) {
				t.Errorf("%s of %d files: not the same (%v)", form.name, n, err)
			}
			if most := pieceSize + len(form.render(nil, p, nil))/max(n, 1); n > 1 && (largest > most || cap(buf) > 2*most) {
				t.Errorf("%s: a piece of %d bytes, in a buffer of %d", form.name, largest, cap(buf))
			}
		}
		p := benchProject(3000)
		refuses := writerFunc(func([]byte) (int, error) { return 0, broken })
		if _, err := form.write(refuses, nil, p, FilesOf(p), nil); !errors.Is(err, broken) {
			t.Errorf("%s: a write that fails gives %v", form.name, err)
		}
		ends := Files(func(yield func(*File, error) bool) { _ = yield(&p.Files[0], nil) && yield(nil, broken) })
		if _, err := form.write(io.Discard, nil, p, ends, nil); !errors.Is(err, broken) {
			t.Errorf("%s: a file that cannot be read gives %v", form.name, err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

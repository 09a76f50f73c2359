package simple_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"cheeseboard/httpd/simple"
	"cheeseboard/storage/pypi"
)

// scratches gives files without a name, and remembers them.
type scratches struct {
	t     *testing.T
	mu    sync.Mutex
	files []*os.File
	err   error
}

func (s *scratches) make() (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	f, err := os.Create(filepath.Join(s.t.TempDir(), "scratch"))
	if err == nil {
		s.files = append(s.files, f)
	}
	return f, err
}

// open counts the files that were not closed.
func (s *scratches) open() (n int) {
	for _, f := range s.files {
		if _, err := f.Stat(); err == nil {
			n++
		}
	}
	return n
}

// TestLargePages holds that a large page lies in a file, from which all are answered,
// and that the file is gone when nobody needs it.
func TestLargePages(t *testing.T) {
	x := newIndex(t)
	for i := range 12_000 {
		digest := sha256.Sum256(fmt.Append(nil, i)) // gzip cannot make much of it
		x.project.Files = append(x.project.Files, pypi.File{
			Filename: fmt.Sprintf("demo-3.%d.tar.gz", i), Size: int64(i),
			Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: pypi.Digest(digest).String()}},
		})
	}
	want := body(t, do(newHandler(x, nil), "GET", "/simple/demo/", "Accept", typeJSON))
	s := &scratches{t: t}
	h := simple.New(simple.Deps{Index: x, Link: link, Scratch: s.make})
	server := httptest.NewServer(h)
	defer server.Close()
	ask := func(method, encoding string) (string, int64) {
		t.Helper()
		r := httptest.NewRequest(method, server.URL+"/simple/demo/", nil)
		r.RequestURI = ""
		r.Header.Set("Accept", typeJSON)
		r.Header.Set("Accept-Encoding", encoding)
		res, err := server.Client().Do(r)
		if err != nil {
			t.Error(err)
			return "", 0
		}
		if encoding == "identity" || method == "HEAD" {
			raw, err := io.ReadAll(res.Body)
			if err := errors.Join(err, res.Body.Close()); err != nil {
				t.Error(err)
			}
			return string(raw), res.ContentLength
		}
		return body(t, res), res.ContentLength
	}
	before := x.loads.Load()
	var all sync.WaitGroup
	for range 10 {
		for _, encoding := range []string{"gzip", "identity"} {
			all.Go(func() {
				if got, length := ask("GET", encoding); got != want || length <= 0 {
					t.Errorf("in %s: %d bytes, want %d; told were %d", encoding, len(got), len(want), length)
				}
			})
		}
	}
	all.Wait()
	if loads := x.loads.Load() - before; loads != 2 || s.open() != 2 {
		t.Errorf("rendered %d times into %d files, want 2", loads, s.open())
	}
	if got, length := ask("HEAD", "identity"); got != "" || length != int64(len(want)) {
		t.Errorf("HEAD gives %d bytes, and tells %d of %d", len(got), length, len(want))
	}
	x.tag = "g9" // what was rendered for another tag goes
	if got, _ := ask("GET", "gzip"); got != want || s.open() != 2 || len(s.files) != 3 {
		t.Errorf("after a change %d bytes; %d of %d files are open", len(got), s.open(), len(s.files))
	}
	s.err = errors.New("no room")
	x.tag = "g10"
	if got, _ := ask("GET", "gzip"); got != want {
		t.Errorf("without room for a file: %d bytes", len(got))
	}
	if err := h.Close(); err != nil || s.open() != 0 {
		t.Errorf("after the end %d files are open (%v)", s.open(), err)
	}
	s.err = nil
	if got, _ := ask("GET", "gzip"); got != want || s.open() != 0 {
		t.Errorf("after the end: %d bytes, %d files open", len(got), s.open())
	}
}

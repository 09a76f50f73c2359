package simple_test

import (
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/httpd/simple"
	"cheeseboard/storage/pypi"

	"github.com/google/go-cmp/cmp"
)

// library is a handler over a list that is too large to be held.
type library struct {
	t     *testing.T
	index *fakeIndex
	h     *simple.Handler
	files int   // scratch files that were made
	full  error // of the next
}

func newLibrary(t *testing.T) *library {
	l := &library{t: t, index: &fakeIndex{tag: "1", names: manyNames(30_000)}}
	dir := t.TempDir()
	l.h = simple.New(simple.Deps{Index: l.index, Link: link, Log: slog.New(slog.DiscardHandler), Scratch: func() (*os.File, error) {
		if l.full != nil {
			return nil, l.full
		}
		l.files++
		return os.Create(filepath.Join(dir, strings.Repeat("x", l.files)))
	}})
	return l
}

// get asks for the list, and waits until what is made in the background is made.
func (l *library) get(accept string, headers ...string) *http.Response {
	l.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/simple/", nil)
	r.Header.Set("Accept", accept)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	l.h.ServeHTTP(w, r)
	synctest.Wait()
	return w.Result()
}

func (l *library) names(resp *http.Response) []pypi.ListEntry {
	l.t.Helper()
	body := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			l.t.Fatal(err)
		}
		body = z
	}
	decode := pypi.DecodeListHTML
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		decode = pypi.DecodeListJSON
	}
	var out []pypi.ListEntry
	if _, err := decode(body, func(e pypi.ListEntry) error { out = append(out, e); return nil }); err != nil {
		l.t.Fatal(err)
	}
	return out
}

func isPrepared(resp *http.Response) bool { return resp.Header.Get("Content-Length") != "" }

// TestLargeListIsPrepared asks again and again while names come, change and go,
// over hours.
func TestLargeListIsPrepared(t *testing.T) {
	for _, form := range []struct{ name, accept, coding string }{
		{"JSON under gzip", pypi.ContentTypeJSON, "gzip"}, {"HTML", "text/html", "identity"},
	} {
		t.Run(form.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLibrary(t)
				serials := strings.HasPrefix(form.name, "JSON")
				check := func(what string, prepared bool, want []pypi.ListEntry) {
					t.Helper()
					resp := l.get(form.accept, "Accept-Encoding", form.coding)
					if isPrepared(resp) != prepared {
						t.Errorf("%s: prepared %t", what, !prepared)
					}
					want = slices.Clone(want)
					for i := range want {
						if !serials {
							want[i].Serial = 0
						}
					}
					if got := l.names(resp); !slices.Equal(got, want) {
						t.Errorf("%s: %d names came, want %d", what, len(got), len(want))
					}
				}
				check("the first request", false, l.index.names)
				check("the second", true, l.index.names)
				if n := l.index.lists.Load(); n != 2 { // one for the first client, one in the background
					t.Errorf("the names were read %d times", n)
				}

				old := slices.Clone(l.index.names)
				l.index.tag = "2"
				l.index.names = slices.Insert(slices.Delete(slices.Clone(old), 500, 501), 7000, pypi.ListEntry{Name: "a-new-one", Serial: 5})
				l.index.names[20_000].Serial += 3
				check("right after a change", true, old)
				time.Sleep(40 * time.Minute)
				check("40 minutes later", true, old) // and it is made anew
				check("after that", true, l.index.names)

				l.index.tag, l.index.names = "3", l.index.names[:29_000]
				time.Sleep(3 * time.Hour)
				check("hours after a change", false, l.index.names)
				check("and once more", true, l.index.names)
				if err := l.h.Close(); err != nil {
					t.Error(err)
				}
				check("after the end", false, l.index.names)
			})
		})
	}
}

// TestPreparedListIsRevalidated holds that an entity tag stands for the bytes that
// it came with.
func TestPreparedListIsRevalidated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t)
		defer func() {
			if err := l.h.Close(); err != nil {
				t.Error(err)
			}
		}()
		live := l.get(pypi.ContentTypeJSON, "Accept-Encoding", "gzip").Header.Get("ETag")
		prepared := l.get(pypi.ContentTypeJSON, "Accept-Encoding", "gzip").Header.Get("ETag")
		plain := l.get(pypi.ContentTypeJSON, "Accept-Encoding", "identity").Header.Get("ETag")
		if live == prepared || prepared == plain || plain == "" {
			t.Errorf("the tags are %s, %s, %s", live, prepared, plain)
		}
		for _, etag := range []string{live, prepared} {
			if resp := l.get(pypi.ContentTypeJSON, "Accept-Encoding", "gzip", "If-None-Match", etag); resp.StatusCode != http.StatusNotModified {
				t.Errorf("%s gives %d", etag, resp.StatusCode)
			}
		}
		l.index.tag = "2"
		if resp := l.get(pypi.ContentTypeJSON, "Accept-Encoding", "gzip", "If-None-Match", live); resp.StatusCode != http.StatusOK {
			t.Errorf("a tag of other bytes gives %d", resp.StatusCode)
		}
	})
}

// TestLargeListInZstd: a prepared list is there under gzip, which those get who take it
// or take it as it is; for those who take nothing but zstd it is made each time.
func TestLargeListInZstd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t)
		defer func() {
			if err := l.h.Close(); err != nil {
				t.Error(err)
			}
		}()
		want := body(t, l.get(pypi.ContentTypeJSON))
		for _, tt := range []struct {
			takes, coding string
			reads         int64 // of the names, for two requests
		}{
			{"zstd, gzip", "gzip", 0}, {"gzip;q=0.1, zstd", "gzip", 0}, {"zstd", "", 0}, {"zstd, gzip;q=0", "", 0},
			{"zstd, identity;q=0", "zstd", 1}, {"zstd, *;q=0", "zstd", 0}, // packed, it is small enough to be kept
		} {
			before := l.index.lists.Load()
			for range 2 {
				resp := l.get(pypi.ContentTypeJSON, "Accept-Encoding", tt.takes)
				if got := resp.Header.Get("Content-Encoding"); got != tt.coding {
					t.Errorf("%q: in %q", tt.takes, got)
				}
				if got := body(t, resp); got != want {
					t.Errorf("%q: another list, of %d bytes instead of %d", tt.takes, len(got), len(want))
				}
			}
			if n := l.index.lists.Load() - before; n != tt.reads {
				t.Errorf("%q: the names were read %d times, want %d", tt.takes, n, tt.reads)
			}
		}
	})
}

// TestListThatCannotBePrepared: it is made for each request, whole or not at all.
func TestListThatCannotBePrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t)
		defer func() {
			if err := l.h.Close(); err != nil {
				t.Error(err)
			}
		}()
		l.full = errors.New("no room")
		for range 2 {
			resp := l.get(pypi.ContentTypeJSON, "Accept-Encoding", "gzip")
			if isPrepared(resp) || !cmp.Equal(l.names(resp), l.index.names) {
				t.Error("without room it is not given out as it is")
			}
		}
		l.full = nil
		_ = l.get(pypi.ContentTypeJSON) // prepares
		l.index.tag, l.index.listErr = "2", errors.New("the store is broken")
		time.Sleep(40 * time.Minute)
		before := l.files
		if resp := l.get(pypi.ContentTypeJSON); !isPrepared(resp) || len(l.names(resp)) != len(l.index.names) || l.files != before+1 {
			t.Error("while the names cannot be read, the prepared list is given out")
		}
		l.index.listErr = nil
		time.Sleep(10 * time.Minute)
		if resp := l.get(pypi.ContentTypeJSON); !isPrepared(resp) || len(l.names(resp)) != len(l.index.names) {
			t.Error("a list that broke off was given out")
		}
	})
}

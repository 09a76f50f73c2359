package simple_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/httpd/simple"
	"cheeseboard/storage/pypi"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// fakeIndex holds one project, demo, and a list.
type fakeIndex struct {
	tag     string
	project *pypi.Project
	err     error // of Page and Names
	loadErr error
	before  func() // runs inside Load
	names   []pypi.ListEntry
	listErr error // after the last name

	pages, loads, lists atomic.Int64
}

func (x *fakeIndex) Page(_ context.Context, name pypi.Name) (simple.Page, error) {
	x.pages.Add(1)
	if x.err != nil {
		return simple.Page{}, x.err
	}
	if name != "demo" {
		return simple.Page{}, &simple.Missing{Reason: "No project is called " + string(name) + " here."}
	}
	return simple.Page{Tag: x.tag, Visit: func(use func(*pypi.Project, pypi.Files) error) error {
		x.loads.Add(1)
		if x.before != nil {
			x.before()
		}
		if x.loadErr != nil {
			return x.loadErr
		}
		return use(x.project, pypi.FilesOf(x.project))
	}}, nil
}

func (x *fakeIndex) Names(context.Context) (simple.Names, error) {
	if x.err != nil {
		return simple.Names{}, x.err
	}
	return simple.Names{Tag: x.tag, LastSerial: 99, Each: func(yield func(pypi.ListEntry, error) bool) {
		x.lists.Add(1)
		for _, e := range x.names {
			if !yield(e, nil) {
				return
			}
		}
		if x.listErr != nil {
			yield(pypi.ListEntry{}, x.listErr)
		}
	}}, nil
}

func link(name pypi.Name, f *pypi.File) string {
	return "../../files/" + string(name) + "/" + f.Filename
}

func hashes(t testing.TB, seed int) pypi.Hashes {
	t.Helper()
	h, err := pypi.NewHash("sha256", fmt.Sprintf("%064x", seed+1))
	if err != nil {
		t.Fatal(err)
	}
	return pypi.Hashes{h}
}

func newIndex(t testing.TB) *fakeIndex {
	return &fakeIndex{
		tag: "g7",
		project: &pypi.Project{Name: "demo", LastSerial: 42, Versions: []string{"1.0"}, Files: []pypi.File{
			{Filename: "demo-1.0.tar.gz", Hashes: hashes(t, 0), Size: 12},
		}},
		names: []pypi.ListEntry{{Name: "demo", Serial: 42}, {Name: "other"}},
	}
}

func newHandler(x *fakeIndex, log *slog.Logger) *simple.Handler {
	return simple.New(simple.Deps{Index: x, Link: link, Log: log})
}

func do(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// body reads the body and undoes its compression.
func body(t testing.TB, res *http.Response) string {
	t.Helper()
	var r io.Reader = res.Body
	if res.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	}
	if res.Header.Get("Content-Encoding") == "zstd" {
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const (
	typeJSON = "application/vnd.pypi.simple.v1+json"
	typeHTML = "application/vnd.pypi.simple.v1+html"
)

func TestNegotiation(t *testing.T) {
	const (
		pip   = typeJSON + ", " + typeHTML + "; q=0.1, text/html; q=0.01"
		uv    = typeJSON + ", " + typeHTML + ";q=0.2, text/html;q=0.01"
		frfx  = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
		json2 = "application/vnd.pypi.simple.v2+json"
	)
	tests := []struct {
		accept, query, want string // want is "" for 406
	}{
		{pip, "", typeJSON},
		{uv, "", typeJSON},
		{"", "", "text/html"},
		{"*/*", "", "text/html"},
		{"text/html", "", "text/html"},
		{frfx, "", "text/html"},
		{typeHTML, "", typeHTML},
		{typeHTML + ";q=0.5, " + typeJSON + ";q=0.4", "", typeHTML},
		{"application/vnd.pypi.simple.latest+json", "", typeJSON},
		{"application/vnd.pypi.simple.latest+html", "", typeHTML},
		{json2, "", ""},
		{"image/png", "", ""},
		{typeJSON + ";q=0", "", ""},
		{"text/html", "?format=" + typeJSON, typeJSON},
		{"text/html", "?format=application/vnd.pypi.simple.v1%2Bjson", typeJSON},
		{pip, "?format=text/html", "text/html"},
		{pip, "?format=" + json2, ""},
	}
	for _, path := range []string{"/simple/", "/simple/demo/"} {
		h := newHandler(newIndex(t), nil)
		for _, tt := range tests {
			header := []string{"Accept", tt.accept}
			if tt.accept == "" {
				header = nil
			}
			res := do(h, "GET", path+tt.query, header...)
			got := body(t, res)
			if vary := res.Header.Get("Vary"); vary != "Accept, Accept-Encoding" {
				t.Errorf("%s %q %s: Vary %q", path, tt.accept, tt.query, vary)
			}
			if tt.want == "" {
				if res.StatusCode != 406 || !strings.Contains(got, typeJSON) || !strings.Contains(got, "text/html") {
					t.Errorf("%s %q %s: %d %q, want 406 with the types", path, tt.accept, tt.query, res.StatusCode, got)
				}
				continue
			}
			if res.StatusCode != 200 || res.Header.Get("Content-Type") != tt.want {
				t.Errorf("%s %q %s: %d %s, want %s", path, tt.accept, tt.query, res.StatusCode, res.Header.Get("Content-Type"), tt.want)
			}
			if isJSON := json.Valid([]byte(got)); isJSON != (tt.want == typeJSON) {
				t.Errorf("%s %q %s: the body is not what its type says: %.60q", path, tt.accept, tt.query, got)
			}
		}
	}
	// Several headers of one name are one list (RFC 9110, 5.3).
	if res := do(newHandler(newIndex(t), nil), "GET", "/simple/demo/", "Accept", "text/html;q=0.1", "Accept", typeJSON); res.Header.Get("Content-Type") != typeJSON {
		t.Errorf("two Accept headers: %s", res.Header.Get("Content-Type"))
	}
}

func TestEncoding(t *testing.T) {
	tests := []struct {
		header []string
		want   string // "406" where nothing fits
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"gzip, deflate"}, "gzip"},
		{[]string{"gzip, deflate, br"}, "gzip"},
		{[]string{"gzip, deflate, br, zstd"}, "zstd"},
		{[]string{"zstd"}, "zstd"},
		{[]string{"ZSTD;q=1.0"}, "zstd"},
		{[]string{"zstd", "gzip"}, "zstd"},
		{[]string{"gzip, zstd;q=0.9"}, "gzip"},
		{[]string{"gzip;q=0.8, zstd;q=0.9"}, "zstd"},
		{[]string{"gzip;q=0.8, zstd;q=0.9, identity"}, ""},
		{[]string{"zstd;q=0"}, ""},
		{[]string{"zstd;q=0, gzip"}, "gzip"},
		{[]string{"zstd;q=0, *"}, "gzip"},
		{[]string{"zstd;q=x, gzip;q=0.1"}, "gzip"},
		{[]string{"gzip;q=0, zstd"}, "zstd"},
		{[]string{"*;q=0, zstd"}, "zstd"},
		{[]string{"*, zstd;q=0.5"}, "gzip"},
		{[]string{"*;q=0.5, zstd"}, "zstd"},
		{[]string{"identity;q=0, zstd"}, "zstd"},
		{[]string{"identity;q=0, br"}, "406"},
		{[]string{"identity;q=0, zstd;q=0"}, "406"},
		{[]string{"identity;q=0.5, zstd;q=0.4"}, ""},
		{[]string{"br"}, ""},
		{[]string{"x-zstd, zstandard"}, ""},
		{[]string{"deflate", "gzip"}, "gzip"},
		{[]string{"GZip"}, "gzip"},
		{[]string{"x-gzip"}, "gzip"},
		{[]string{"identity"}, ""},
		{[]string{"deflate"}, ""},
		{[]string{"gzip;q=0"}, ""},
		{[]string{"gzip; Q=0.000"}, ""},
		{[]string{"gzip;q=0.001"}, "gzip"},
		{[]string{"gzip;q=nonsense"}, ""},
		{[]string{"gzip;q=2"}, ""},
		{[]string{"gzip;q=NaN"}, ""},
		{[]string{"gzip;q=0.5, identity"}, ""},
		{[]string{"gzip, identity;q=0.5"}, "gzip"},
		{[]string{"gzip, identity"}, "gzip"},
		{[]string{"*"}, "gzip"},
		{[]string{"*;q=0"}, "406"},
		{[]string{"*;q=0, identity"}, ""},
		{[]string{"*;q=0, gzip"}, "gzip"},
		{[]string{"identity;q=0"}, "406"},
		{[]string{"identity;q=0, gzip"}, "gzip"},
		{[]string{"identity;q=0, *"}, "gzip"},
		{[]string{"identity;q=0, *;q=0"}, "406"},
		{[]string{"gzip;q=0, *"}, ""},
	}
	for _, path := range []string{"/simple/", "/simple/demo/"} {
		h := newHandler(newIndex(t), nil)
		plain := body(t, do(h, "GET", path))
		for _, tt := range tests {
			var header []string
			for _, v := range tt.header {
				header = append(header, "Accept-Encoding", v)
			}
			res := do(h, "GET", path, header...)
			if tt.want == "406" {
				if res.StatusCode != 406 {
					t.Errorf("%s %q: %d, want 406", path, tt.header, res.StatusCode)
				}
				continue
			}
			if got := res.Header.Get("Content-Encoding"); res.StatusCode != 200 || got != tt.want {
				t.Errorf("%s %q: %d in %q, want %q", path, tt.header, res.StatusCode, got, tt.want)
			}
			if got := body(t, res); got != plain {
				t.Errorf("%s %q: another body: %.60q", path, tt.header, got)
			}
		}
	}
}

func TestConditionalRequestsNeedNoBody(t *testing.T) {
	for _, path := range []string{"/simple/", "/simple/demo/"} {
		x := newIndex(t)
		tags := make(map[string]string)
		for _, accept := range []string{typeJSON, typeHTML, "text/html"} {
			for _, encoding := range []string{"gzip", "zstd", "identity"} {
				res := do(newHandler(x, nil), "GET", path, "Accept", accept, "Accept-Encoding", encoding)
				tag := res.Header.Get("ETag")
				if other, twice := tags[tag]; twice || len(tag) < 3 || tag[0] != '"' {
					t.Errorf("%s as %s in %s: tag %s, also of %s", path, accept, encoding, tag, other)
				}
				tags[tag] = accept + " in " + encoding
				if got := res.Header.Get("Cache-Control"); got != "no-cache" {
					t.Errorf("%s: Cache-Control %q", path, got)
				}
				fresh := newHandler(x, nil) // nothing is kept in it
				loads, lists := x.loads.Load(), x.lists.Load()
				for _, match := range []string{tag, "W/" + tag, `"a", ` + tag, "*"} {
					for _, method := range []string{"GET", "HEAD"} {
						res := do(fresh, method, path, "Accept", accept, "Accept-Encoding", encoding, "If-None-Match", match)
						if res.StatusCode != 304 || res.Header.Get("ETag") != tag || body(t, res) != "" ||
							res.Header.Get("Vary") == "" || res.Header.Get("Cache-Control") != "no-cache" {
							t.Errorf("%s %s If-None-Match %s: %d %v", method, path, match, res.StatusCode, res.Header)
						}
					}
				}
				if x.loads.Load() != loads || x.lists.Load() != lists {
					t.Errorf("%s: a 304 has loaded the content", path)
				}
				if res := do(fresh, "GET", path, "Accept", accept, "If-None-Match", `"other"`); res.StatusCode != 200 {
					t.Errorf("%s: another tag gives %d", path, res.StatusCode)
				}
			}
		}
		x.tag = "g8"
		if res := do(newHandler(x, nil), "GET", path); tags[res.Header.Get("ETag")] != "" {
			t.Errorf("%s: new content has the old tag %s", path, res.Header.Get("ETag"))
		}
	}
}

func TestTagsThatDoNotFitAHeader(t *testing.T) {
	x := newIndex(t)
	seen := make(map[string]bool)
	for _, tag := range []string{`a"b`, "a,b", "a b", "a\nb", "ä", strings.Repeat("x", 1000)} {
		x.tag = tag
		h := newHandler(x, nil)
		etag := do(h, "GET", "/simple/demo/").Header.Get("ETag")
		if seen[etag] || len(etag) > 200 || strings.ContainsAny(etag[1:len(etag)-1], "\"\n, ä") {
			t.Errorf("tag %.20q becomes %s", tag, etag)
		}
		seen[etag] = true
		if res := do(h, "GET", "/simple/demo/", "If-None-Match", etag); res.StatusCode != 304 {
			t.Errorf("tag %.20q: %d", tag, res.StatusCode)
		}
	}
	x.tag = ""
	loads := x.loads.Load()
	h := newHandler(x, nil)
	for range 2 {
		if res := do(h, "GET", "/simple/demo/", "If-None-Match", "*"); res.StatusCode != 200 || res.Header.Get("ETag") != "" {
			t.Errorf("without a tag: %d %v", res.StatusCode, res.Header)
		}
	}
	if got := x.loads.Load() - loads; got != 2 {
		t.Errorf("without a tag: loaded %d times, want 2", got)
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	x := newIndex(t)
	for _, path := range []string{"/simple/", "/simple/demo/", "/simple/demo", "/simple/none/", "/simple/-/"} {
		for _, encoding := range []string{"gzip", "identity", "identity;q=0"} {
			h := newHandler(x, nil)
			get := do(h, "GET", path, "Accept", typeJSON, "Accept-Encoding", encoding)
			head := do(newHandler(x, nil), "HEAD", path, "Accept", typeJSON, "Accept-Encoding", encoding)
			if get.StatusCode != head.StatusCode || !cmp.Equal(get.Header, head.Header) {
				t.Errorf("%s: %d and %d %s", path, get.StatusCode, head.StatusCode, cmp.Diff(get.Header, head.Header))
			}
			sent, err := io.ReadAll(get.Body)
			if err != nil {
				t.Fatal(err)
			}
			if n := get.Header.Get("Content-Length"); n != fmt.Sprint(len(sent)) {
				t.Errorf("%s: Content-Length %s, %d bytes", path, n, len(sent))
			}
			if none, err := io.ReadAll(head.Body); err != nil || len(none) > 0 {
				t.Errorf("%s: HEAD has %d bytes, %v", path, len(none), err)
			}
		}
	}
}

func TestSerials(t *testing.T) {
	x := newIndex(t)
	h := newHandler(x, nil)
	for range 2 { // rendered, then kept
		if got := do(h, "GET", "/simple/demo/").Header.Get("X-PyPI-Last-Serial"); got != "42" {
			t.Errorf("page: serial %q", got)
		}
		if got := do(h, "GET", "/simple/").Header.Get("X-PyPI-Last-Serial"); got != "99" {
			t.Errorf("list: serial %q", got)
		}
	}
	x.project.LastSerial, x.tag = 0, "g9"
	if got := do(h, "GET", "/simple/demo/").Header.Values("X-PyPI-Last-Serial"); got != nil {
		t.Errorf("a serial that is not known is told as %q", got)
	}
}

func TestRefusals(t *testing.T) {
	var log bytes.Buffer
	x := newIndex(t)
	h := newHandler(x, slog.New(slog.NewTextHandler(&log, nil)))
	secret := errors.New("badger at /data/secret")
	tests := []struct {
		err    error
		status int
		retry  string
		text   string
	}{
		{&simple.Missing{Reason: "PyPI has no such project."}, 404, "", "PyPI has no such project."},
		{fmt.Errorf("page: %w", &simple.Missing{Reason: "It is on its way.", RetryAfter: 1500 * time.Millisecond}), 503, "2", "It is on its way."},
		{fmt.Errorf("page: %w", context.DeadlineExceeded), 503, "3", "in time"},
		{context.Canceled, 503, "3", "in time"},
		{secret, 500, "", "could not be read"},
	}
	for _, path := range []string{"/simple/", "/simple/demo/"} {
		for _, tt := range tests {
			log.Reset()
			x.err = tt.err
			res := do(h, "GET", path)
			got := body(t, res)
			if res.StatusCode != tt.status || res.Header.Get("Retry-After") != tt.retry || !strings.Contains(got, tt.text) {
				t.Errorf("%s %v: %d %v %q", path, tt.err, res.StatusCode, res.Header, got)
			}
			if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") || res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("ETag") != "" {
				t.Errorf("%s %v: %v", path, tt.err, res.Header)
			}
			if strings.Contains(got, "badger") || strings.Contains(log.String(), "badger") != (tt.status == 500) {
				t.Errorf("%s %v: told %q, logged %q", path, tt.err, got, log.String())
			}
		}
	}
}

func TestMethods(t *testing.T) {
	h := newHandler(newIndex(t), nil)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
		for _, path := range []string{"/simple/", "/simple/demo/", "/simple/Demo"} {
			if res := do(h, method, path); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d %v", method, path, res.StatusCode, res.Header)
			}
		}
	}
}

func TestNamesLeadToTheirNormalForm(t *testing.T) {
	tests := []struct{ path, leads string }{ // leads is "" for 404
		{"/simple", "/simple/"},
		{"/simple/demo", "/simple/demo/"},
		{"/simple/Demo/", "/simple/demo/"},
		{"/simple/Demo", "/simple/demo/"},
		{"/simple/a__b.-C/?format=text/html", "/simple/a-b-c/?format=text/html"},
		{"/simple/a.b?x", "/simple/a-b/?x"},
		{"/simple/-demo/", ""},
		{"/simple/de%20mo/", ""},
		{"/simple/de%2Fmo/", ""},
		{"/simple/%5C%5Cevil/", ""},
		{"/simple/demo/x", ""},
		{"/simple/demo//", ""},
		{"/simple//demo/", ""},
		{"/simple/%00/", ""},
		{"/simple/" + strings.Repeat("a", 300) + "/", ""},
	}
	for _, tt := range tests {
		x := newIndex(t)
		res := do(newHandler(x, nil), "GET", "http://box"+tt.path)
		if tt.leads == "" {
			if res.StatusCode != 404 || body(t, res) == "" {
				t.Errorf("%.40s: %d", tt.path, res.StatusCode)
			}
		} else {
			at, err := httptest.NewRequest("GET", "http://box"+tt.path, nil).URL.Parse(res.Header.Get("Location"))
			if err != nil || res.StatusCode != 301 || at.String() != "http://box"+tt.leads {
				t.Errorf("%s: %d to %v, %v", tt.path, res.StatusCode, at, err)
			}
		}
		if x.pages.Load() != 0 {
			t.Errorf("%.40s: the index was asked", tt.path)
		}
	}
}

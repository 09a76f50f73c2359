package files_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/httpd/files"
	"cheeseboard/storage/pypi"

	"github.com/google/go-cmp/cmp"
)

const wheel = "numpy-2.3.0-cp313-cp313-linux_armv6l.whl"

// sample gives n bytes in which no short run occurs twice at a small distance.
func sample(n int) []byte {
	out := make([]byte, 0, n+8)
	for i := 0; len(out) < n; i++ {
		out = fmt.Appendf(out, "%06x.", i)
	}
	return out[:n]
}

// fakeSource holds one file and its metadata.
type fakeSource struct {
	t        testing.TB
	data     []byte
	metadata []byte
	open     func(data []byte) io.ReadSeeker // how the bytes are read
	err      error
	keepOpen bool // Close only counts
	asked    []files.Ref
	closed   int
	used     int
}

func (s *fakeSource) Open(_ context.Context, ref files.Ref) (*files.Content, error) {
	s.asked = append(s.asked, ref)
	if s.err != nil {
		return nil, s.err
	}
	if ref.Name != "numpy" || ref.Filename != wheel || ref.Digest != sha256.Sum256(s.data) {
		return nil, &files.Missing{Reason: "numpy has no such file."}
	}
	data := s.data
	if ref.Metadata {
		data = s.metadata
	}
	reader := s.open(data)
	return &files.Content{
		Reader: reader, Size: int64(len(data)), Digest: sha256.Sum256(data),
		Close: func() error {
			s.closed++
			if c, ok := reader.(io.Closer); ok && !s.keepOpen {
				return c.Close()
			}
			return nil
		},
	}, nil
}

func (s *fakeSource) url() string {
	return fmt.Sprintf("/files/numpy/%x/%s", sha256.Sum256(s.data), wheel)
}

// stored reads from a real file.
func stored(t testing.TB) func([]byte) io.ReadSeeker {
	return func(data []byte) io.ReadSeeker {
		path := filepath.Join(t.TempDir(), "blob")
		if err := os.WriteFile(path, data, 0o400); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// trickle reads at most 1000 bytes at a time and is no *os.File; it fails at the
// offset failAt, and at the end with atEnd.
type trickle struct {
	*bytes.Reader
	failAt int64
	atEnd  error
}

var errLine = errors.New("the line is down at secret-host")

func (r *trickle) Read(p []byte) (int, error) {
	at := r.Size() - int64(r.Len())
	if r.failAt > 0 {
		if at >= r.failAt {
			return 0, errLine
		}
		p = p[:min(int64(len(p)), r.failAt-at)]
	}
	n, err := r.Reader.Read(p[:min(len(p), 1000)])
	if err == io.EOF && r.atEnd != nil {
		err = r.atEnd
	}
	return n, err
}

func still(data []byte) io.ReadSeeker { return &trickle{Reader: bytes.NewReader(data)} }

func do(t testing.TB, h http.Handler, method, target string, header map[string]string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://box"+target, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRanges(t *testing.T) {
	data := sample(5000)
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(data))
	tests := []struct {
		name         string
		header       map[string]string
		status       int
		from, to     int // of the body, for 200 and 206
		contentRange string
	}{
		{"whole", nil, 200, 0, 5000, ""},
		{"from the start", map[string]string{"Range": "bytes=0-99"}, 206, 0, 100, "bytes 0-99/5000"},
		{"resume", map[string]string{"Range": "bytes=1234-"}, 206, 1234, 5000, "bytes 1234-4999/5000"},
		{"last bytes", map[string]string{"Range": "bytes=-22"}, 206, 4978, 5000, "bytes 4978-4999/5000"},
		{"more last bytes than there are", map[string]string{"Range": "bytes=-9999"}, 206, 0, 5000, "bytes 0-4999/5000"},
		{"end past the end", map[string]string{"Range": "bytes=4990-99999"}, 206, 4990, 5000, "bytes 4990-4999/5000"},
		{"one byte", map[string]string{"Range": "bytes=4999-4999"}, 206, 4999, 5000, "bytes 4999-4999/5000"},
		{"past the end", map[string]string{"Range": "bytes=5000-"}, 416, 0, 0, "bytes */5000"},
		{"last no bytes", map[string]string{"Range": "bytes=-0"}, 200, 0, 5000, ""},
		{"last no bytes, spelled out", map[string]string{"Range": "bytes= - +000 "}, 200, 0, 5000, ""},
		{"nonsense", map[string]string{"Range": "bytes=9-1"}, 416, 0, 0, ""},
		{"If-Range holds", map[string]string{"Range": "bytes=10-19", "If-Range": tag}, 206, 10, 20, "bytes 10-19/5000"},
		{"If-Range of other bytes", map[string]string{"Range": "bytes=10-19", "If-Range": `"other"`}, 200, 0, 5000, ""},
		{"If-Range is never weak", map[string]string{"Range": "bytes=10-19", "If-Range": "W/" + tag}, 200, 0, 5000, ""},
		{"If-Range by date", map[string]string{"Range": "bytes=10-19", "If-Range": "Sun, 06 Nov 1994 08:49:37 GMT"}, 200, 0, 5000, ""},
		{"If-None-Match", map[string]string{"If-None-Match": tag}, 304, 0, 0, ""},
		{"If-None-Match in a list", map[string]string{"If-None-Match": `"a", W/` + tag}, 304, 0, 0, ""},
		{"If-None-Match any", map[string]string{"If-None-Match": "*"}, 304, 0, 0, ""},
		{"If-None-Match of other bytes", map[string]string{"If-None-Match": `"other"`}, 200, 0, 5000, ""},
		{"If-None-Match wins over Range", map[string]string{"If-None-Match": tag, "Range": "bytes=0-1"}, 304, 0, 0, ""},
		{"If-Match of other bytes", map[string]string{"If-Match": `"other"`}, 412, 0, 0, ""},
	}
	for kind, open := range map[string]func([]byte) io.ReadSeeker{"stored": stored(t), "arriving": still} {
		for _, tt := range tests {
			t.Run(kind+"/"+tt.name, func(t *testing.T) {
				source := &fakeSource{t: t, data: data, open: open}
				h := files.New(source, nil)
				get := do(t, h, "GET", source.url(), tt.header)
				got := body(t, get)
				if get.StatusCode != tt.status {
					t.Fatalf("status %d, want %d", get.StatusCode, tt.status)
				}
				if cr := get.Header.Get("Content-Range"); cr != tt.contentRange {
					t.Errorf("Content-Range %q, want %q", cr, tt.contentRange)
				}
				if tt.status < 300 {
					if got != string(data[tt.from:tt.to]) {
						t.Errorf("%d bytes that are not data[%d:%d]", len(got), tt.from, tt.to)
					}
					checkHeaders(t, get, tag, tt.to-tt.from)
				}
				head := do(t, h, "HEAD", source.url(), tt.header)
				if kind == "arriving" && tt.status == http.StatusOK && tt.header["Range"] == "" {
					get.Header.Set("Accept-Ranges", "none") // see TestLookBeforeLoading
				}
				if head.StatusCode != get.StatusCode || (tt.status < 400 && !cmp.Equal(head.Header, get.Header)) {
					t.Errorf("HEAD differs: %s", cmp.Diff(get.Header, head.Header))
				}
				if tt.status < 400 && body(t, head) != "" {
					t.Error("HEAD has a body")
				}
				if source.closed != 2 {
					t.Errorf("content was closed %d times, want 2", source.closed)
				}
			})
		}
	}
}

func checkHeaders(t *testing.T, res *http.Response, tag string, length int) {
	t.Helper()
	want := map[string]string{
		"ETag": tag, "Cache-Control": "public, max-age=365000000, immutable", "Accept-Ranges": "bytes",
		"Content-Type": "application/octet-stream", "Content-Length": fmt.Sprint(length),
		"Content-Encoding": "", "X-Content-Type-Options": "nosniff",
	}
	for k, v := range want {
		if got := res.Header.Get(k); got != v {
			t.Errorf("%s: %q, want %q", k, got, v)
		}
	}
}

func TestSeveralRanges(t *testing.T) {
	data := sample(5000)
	header := map[string]string{"Range": "bytes=0-9,100-109,-10"}
	source := &fakeSource{t: t, data: data, open: stored(t)}
	res := do(t, files.New(source, nil), "GET", source.url(), header)
	if res.StatusCode != 206 {
		t.Fatalf("stored: status %d, want 206", res.StatusCode)
	}
	parts := readParts(t, res, len(data))
	if want := []string{string(data[:10]), string(data[100:110]), string(data[4990:])}; !cmp.Equal(parts, want) {
		t.Errorf("parts: %s", cmp.Diff(want, parts))
	}
	// A file that still arrives is given whole instead, which is always allowed.
	source.open = still
	res = do(t, files.New(source, nil), "GET", source.url(), header)
	if got := body(t, res); res.StatusCode != 200 || got != string(data) {
		t.Errorf("arriving: status %d and %d bytes, want the whole", res.StatusCode, len(got))
	}
}

// TestLookBeforeLoading has clients look with HEAD at what parts can be had: of a file
// that is here any, of one that arrives none yet. Who asks for a part gets it anyway.
func TestLookBeforeLoading(t *testing.T) {
	data := bytes.Repeat([]byte("cheese"), 20_000)
	for accepted, open := range map[string]func([]byte) io.ReadSeeker{"bytes": stored(t), "none": still} {
		source := &fakeSource{t: t, data: data, open: open}
		h := files.New(source, nil)
		res := do(t, h, http.MethodHead, source.url(), nil)
		if got := res.Header.Get("Accept-Ranges"); res.StatusCode != http.StatusOK || got != accepted || res.ContentLength != int64(len(data)) {
			t.Errorf("HEAD: status %d, Accept-Ranges: %s, length %d; want %s", res.StatusCode, got, res.ContentLength, accepted)
		}
		res = do(t, h, http.MethodGet, source.url(), map[string]string{"Range": "bytes=-1000"})
		if got := body(t, res); res.StatusCode != http.StatusPartialContent || got != string(data[len(data)-1000:]) || res.Header.Get("Accept-Ranges") != "bytes" {
			t.Errorf("GET: status %d, Accept-Ranges: %s, %d bytes", res.StatusCode, res.Header.Get("Accept-Ranges"), len(got))
		}
	}
}

func TestArrivingThatFailsIsBrokenOff(t *testing.T) {
	data := sample(50_000)
	tests := map[string]struct {
		reader trickle
		header string
		broken bool
	}{
		"fails at once":              {trickle{failAt: 1}, "", true},
		"fails in the middle":        {trickle{failAt: 20_000}, "", true},
		"digest is wrong at the end": {trickle{atEnd: errLine}, "", true},
		"wrong at the end, resumed":  {trickle{atEnd: errLine}, "bytes=40000-", true},
		"fails behind the range":     {trickle{failAt: 20_000}, "bytes=0-9999", false},
		"sound":                      {trickle{}, "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			source := &fakeSource{t: t, data: data, open: func(data []byte) io.ReadSeeker {
				r := tt.reader
				r.Reader = bytes.NewReader(data)
				return &r
			}}
			// Whether the handler itself breaks off is seen apart from what net/http
			// makes of a body that is too short.
			aborted := make(chan any, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() {
					fault := recover()
					aborted <- fault
					if fault != nil {
						panic(fault)
					}
				}()
				files.New(source, nil).ServeHTTP(w, r)
			}))
			defer server.Close()
			req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+source.url(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != "" {
				req.Header.Set("Range", tt.header)
			}
			res, err := server.Client().Do(req)
			var n int64
			if err == nil {
				n, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close() // it was read to its end or failure
			}
			if (err != nil) != tt.broken {
				t.Errorf("%d bytes, then %v; want broken: %v", n, err, tt.broken)
			}
			if fault := <-aborted; (fault == http.ErrAbortHandler) != tt.broken {
				t.Errorf("the handler ends with %v", fault)
			}
			if tt.broken && n >= int64(len(data)) {
				t.Error("the client has all bytes of a file that is wrong")
			}
		})
	}
}

func TestEmptyFile(t *testing.T) {
	for kind, open := range map[string]func([]byte) io.ReadSeeker{"stored": stored(t), "arriving": still} {
		for _, header := range []string{"", "bytes=0-", "bytes=-5", "bytes=3-4"} {
			source := &fakeSource{t: t, data: []byte{}, open: open}
			res := do(t, files.New(source, nil), "GET", source.url(), map[string]string{"Range": header})
			if got := body(t, res); res.StatusCode != 200 || got != "" || res.Header.Get("Content-Range") != "" {
				t.Errorf("%s, Range %q: status %d, headers %v", kind, header, res.StatusCode, res.Header)
			}
		}
	}
}

func TestMetadata(t *testing.T) {
	source := &fakeSource{t: t, data: sample(100), metadata: []byte("Metadata-Version: 2.4\nName: numpy\n"), open: still}
	res := do(t, files.New(source, nil), "GET", source.url()+".metadata", map[string]string{"Accept-Encoding": "gzip"})
	if got := body(t, res); res.StatusCode != 200 || got != string(source.metadata) {
		t.Errorf("status %d, body %q", res.StatusCode, got)
	}
	checkHeaders(t, res, fmt.Sprintf(`"%x"`, sha256.Sum256(source.metadata)), len(source.metadata))
	want := files.Ref{Name: "numpy", Digest: sha256.Sum256(source.data), Filename: wheel, Metadata: true}
	if !cmp.Equal(source.asked, []files.Ref{want}) {
		t.Errorf("asked for %+v", source.asked)
	}
}

func TestRefusals(t *testing.T) {
	var log bytes.Buffer
	source := &fakeSource{t: t, data: sample(100), open: still}
	h := files.New(source, slog.New(slog.NewTextHandler(&log, nil)))
	tests := []struct {
		err    error
		status int
		retry  string
		text   string
		logged bool
	}{
		{&files.Missing{Reason: "The line is down and numpy was never fetched."}, 404, "", "The line is down and numpy was never fetched.", false},
		{fmt.Errorf("open: %w", &files.Missing{Reason: "It is being fetched.", RetryAfter: 3 * time.Second}), 503, "3", "It is being fetched.", false},
		{context.DeadlineExceeded, 503, "3", "in time", false},
		{errLine, 500, "", "could not be read", true},
	}
	for _, tt := range tests {
		log.Reset()
		source.err = tt.err
		res := do(t, h, "GET", source.url(), nil)
		got := body(t, res)
		if res.StatusCode != tt.status || res.Header.Get("Retry-After") != tt.retry || !strings.Contains(got, tt.text) {
			t.Errorf("%v: %d %v %q", tt.err, res.StatusCode, res.Header, got)
		}
		if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%v: headers %v", tt.err, res.Header)
		}
		if strings.Contains(got, "secret-host") || (log.Len() > 0) != tt.logged {
			t.Errorf("%v: told %q, logged %q", tt.err, got, log.String())
		}
	}
	source.err = nil
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
		if res := do(t, h, method, source.url(), nil); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
	}
}

// wrongSource gives other bytes than it was asked for.
type wrongSource struct{ content files.Content }

func (s wrongSource) Open(context.Context, files.Ref) (*files.Content, error) {
	c := s.content
	return &c, nil
}

func TestBytesThatDoNotFitAreNotServed(t *testing.T) {
	data := sample(100)
	url := (&fakeSource{data: data}).url()
	for name, content := range map[string]files.Content{
		"other digest": {Reader: bytes.NewReader(data), Size: 100, Digest: pypi.Digest{1}},
		"other length": {Reader: bytes.NewReader(data[:99]), Size: 100, Digest: sha256.Sum256(data)},
	} {
		if res := do(t, files.New(wrongSource{content}, nil), "GET", url, nil); res.StatusCode != 500 || strings.Contains(body(t, res), string(data[:50])) {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
}

func TestHrefIsWhatTheHandlerReads(t *testing.T) {
	data := sample(100)
	hash, err := pypi.NewHash("sha256", fmt.Sprintf("%x", sha256.Sum256(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, filename := range []string{wheel, "a b%2F?#-1.0.tar.gz", "ä-1.0.zip", "x+cpu-1!2.0.tar.gz", `"<&>.whl`} {
		href := files.Href("numpy", &pypi.File{Filename: filename, Hashes: pypi.Hashes{hash}})
		page := httptest.NewRequest("GET", "http://box/simple/numpy/", nil).URL
		u, err := page.Parse(href)
		if err != nil {
			t.Fatal(err)
		}
		source := &fakeSource{t: t, data: data, open: still}
		r := httptest.NewRequest("GET", u.String(), nil)
		files.New(source, nil).ServeHTTP(httptest.NewRecorder(), r)
		if len(source.asked) != 1 || source.asked[0].Filename != filename || source.asked[0].Digest != sha256.Sum256(data) {
			t.Errorf("%q: %s leads to %+v", filename, href, source.asked)
		}
	}
	if got := files.Href("numpy", &pypi.File{Filename: wheel}); got != "" {
		t.Errorf("a file without a digest has the link %q", got)
	}
}

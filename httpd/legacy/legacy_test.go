package legacy

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
)

const metadata = "Metadata-Version: 2.1\nName: Frob.Nicate\nVersion: 2.0\nSummary: It frobs.\nAuthor-Email: A <a@b.example>\n" +
	"Classifier: Topic :: Frob\nClassifier: Topic :: Nicate\nRequires-Dist: holy-grail>=1\nRequires-Python: >=3.9\n" +
	"Project-URL: Home, https://frob.example/\nProvides-Extra: x\n\nThe *whole* story.\n"

var arrival = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

func fileNamed(filename string, digit string, change ...func(*File)) File {
	f := File{Arrived: arrival, File: pypi.File{
		Filename: filename, Size: 1234, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: strings.Repeat(digit, 64)}},
		UploadTime: time.Date(2025, 1, 2, 3, 4, 5, 678900000, time.UTC),
	}}
	for _, c := range change {
		c(&f)
	}
	return f
}

// shelf is an index of one project; broken makes it fail.
type shelf struct{ broken error }

func (s *shelf) Here(_ context.Context, name pypi.Name) (*Project, error) {
	switch {
	case s.broken != nil:
		return nil, s.broken
	case name == "empty":
		return &Project{Tag: "e", Serial: 3}, nil
	case name != "frob-nicate":
		return nil, &Missing{Reason: "It is not here."}
	}
	return &Project{
		Tag: "box-17", Serial: 17,
		Files: []File{
			fileNamed("frob_nicate-2.0-py3-none-any.whl", "a", func(f *File) {
				f.CoreMetadata = pypi.CoreMetadata{Available: true, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: strings.Repeat("b", 64)}}}
				f.RequiresPython = ">=3.9"
			}),
			fileNamed("frob_nicate-2.0.tar.gz", "c", func(f *File) { f.UploadTime = time.Time{} }),
			fileNamed("frob_nicate-1.0-cp39-cp39-linux_x86_64.whl", "d"),
			fileNamed("frob_nicate-3.0rc1-py3-none-any.whl", "e"),
			fileNamed("frob_nicate-2.1-py3-none-any.whl", "f", func(f *File) { f.Yanked = pypi.Yanked{Is: true, Reason: "It <broke>."} }),
			fileNamed("no version at all.txt", "0"),
		},
		Metadata: func(f *pypi.File) ([]byte, error) {
			if f.Filename == "frob_nicate-2.0-py3-none-any.whl" {
				return []byte(metadata), nil
			}
			return nil, nil
		},
	}, nil
}

func ask(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://box.example:8080"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func decode(t *testing.T, body io.Reader) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.NewDecoder(body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// at walks into decoded JSON.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			list, _ := v.([]any)
			if p >= len(list) {
				return nil
			}
			v = list[p]
		}
	}
	return v
}

func TestProject(t *testing.T) {
	h := New(&shelf{}, nil)
	w := ask(h, "/pypi/frob-nicate/json")
	if w.Code != 200 || w.Header().Get("X-PyPI-Last-Serial") != "17" || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("ETag") == "" {
		t.Fatal(w.Code, w.Header(), w.Body)
	}
	doc := decode(t, w.Body)
	for _, c := range []struct {
		want any
		path []any
	}{
		{17., []any{"last_serial"}}, {nil, []any{"vulnerabilities"}},
		{"Frob.Nicate", []any{"info", "name"}}, {"2.0", []any{"info", "version"}}, {"It frobs.", []any{"info", "summary"}},
		{"The *whole* story.\n", []any{"info", "description"}}, {"Topic :: Nicate", []any{"info", "classifiers", 1}},
		{"holy-grail>=1", []any{"info", "requires_dist", 0}}, {">=3.9", []any{"info", "requires_python"}},
		{"https://frob.example/", []any{"info", "project_urls", "Home"}}, {nil, []any{"info", "home_page"}}, {nil, []any{"info", "license"}},
		{false, []any{"info", "yanked"}}, {-1., []any{"info", "downloads", "last_day"}}, {"x", []any{"info", "provides_extra", 0}},
		{"frob_nicate-2.0-py3-none-any.whl", []any{"urls", 0, "filename"}}, {"bdist_wheel", []any{"urls", 0, "packagetype"}},
		{"py3", []any{"urls", 0, "python_version"}}, {strings.Repeat("b", 64), []any{"urls", 0, "core-metadata", "sha256"}},
		{"2025-01-02T03:04:05.678900Z", []any{"urls", 0, "upload_time_iso_8601"}}, {"2025-01-02T03:04:05", []any{"urls", 0, "upload_time"}},
		{"http://box.example:8080/packages/frob-nicate/" + strings.Repeat("a", 64) + "/frob_nicate-2.0-py3-none-any.whl", []any{"urls", 0, "url"}},
		{1234., []any{"urls", 0, "size"}}, {nil, []any{"urls", 0, "md5_digest"}}, {strings.Repeat("a", 64), []any{"urls", 0, "digests", "sha256"}},
		{"sdist", []any{"urls", 1, "packagetype"}}, {"source", []any{"urls", 1, "python_version"}}, {false, []any{"urls", 1, "core-metadata"}},
		{"2026-02-03T04:05:06.000000Z", []any{"urls", 1, "upload_time_iso_8601"}}, // no later than it came here
		{"cp39", []any{"releases", "1.0", 0, "python_version"}}, {"It <broke>.", []any{"releases", "2.1", 0, "yanked_reason"}},
		{true, []any{"releases", "2.1", 0, "yanked"}}, {nil, []any{"urls", 2}},
	} {
		if got := at(doc, c.path...); got != c.want {
			t.Errorf("%v is %v, want %v", c.path, got, c.want)
		}
	}
	if releases, _ := at(doc, "releases").(map[string]any); len(releases) != 4 {
		t.Errorf("releases %v", releases)
	}
}

func TestRelease(t *testing.T) {
	h := New(&shelf{}, nil)
	for path, want := range map[string]string{
		"/pypi/frob-nicate/1.0/json": "1.0", "/pypi/frob-nicate/3.0.rc.1/json": "3.0rc1", "/pypi/frob-nicate/2.1/json": "2.1", "/pypi/frob-nicate/1/json": "1.0",
	} {
		doc := decode(t, ask(h, path).Body)
		_, all := doc["releases"]
		if at(doc, "info", "version") != want || all || at(doc, "urls", 0) == nil || at(doc, "info", "yanked") != (want == "2.1") {
			t.Errorf("%s: %v", path, doc)
		}
	}
	empty := decode(t, ask(h, "/pypi/empty/json").Body)
	if releases, ok := at(empty, "releases").(map[string]any); !ok || len(releases) > 0 || at(empty, "info", "version") != nil || at(empty, "urls") == nil {
		t.Errorf("without files: %v", empty)
	}
}

func TestAddresses(t *testing.T) {
	h := New(&shelf{}, nil)
	for path, want := range map[string]int{
		"/pypi/frob-nicate/json": 200, "/pypi/nobody/json": 404, "/pypi/frob-nicate/9.9/json": 404, "/pypi/frob-nicate/": 404,
		"/pypi/frob-nicate/1.0/": 404, "/pypi//json": 404, "/pypi/json": 404, "/pypi/a/b/c/json": 404, "/pypi/..%2f/json": 404, "/pypi/frob-nicate/one/json": 404,
	} {
		if w := ask(h, path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	server := httptest.NewServer(h)
	defer server.Close()
	for _, path := range []string{"/pypi/Frob_Nicate/json", "/pypi/Frob.Nicate/2.0/json", "/pypi/frob-nicate/json/", "/pypi/FROB--nicate/2.0/json/"} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if doc := decode(t, resp.Body); at(doc, "info", "name") != "Frob.Nicate" || strings.Contains(resp.Request.URL.Path, "rob_") {
			t.Errorf("%s leads to %s: %v", path, resp.Request.URL, doc)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRepresentations(t *testing.T) {
	h := New(&shelf{}, nil)
	plain := ask(h, "/pypi/frob-nicate/json")
	packed := ask(h, "/pypi/frob-nicate/json", "Accept-Encoding", "br, gzip")
	z, err := gzip.NewReader(packed.Body)
	if err != nil || packed.Header().Get("Content-Encoding") != "gzip" || packed.Header().Get("ETag") == plain.Header().Get("ETag") {
		t.Fatal(err, packed.Header())
	}
	if doc := decode(t, z); at(doc, "info", "name") != "Frob.Nicate" {
		t.Error(doc)
	}
	if w := ask(h, "/pypi/frob-nicate/json", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("a coding that is refused is sent")
	}
	for _, tag := range []string{plain.Header().Get("ETag"), "*"} {
		if w := ask(h, "/pypi/frob-nicate/json", "If-None-Match", tag); w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("X-PyPI-Last-Serial") != "17" {
			t.Errorf("If-None-Match %s: %d, %v", tag, w.Code, w.Header())
		}
	}
	r := httptest.NewRequest(http.MethodHead, "/pypi/frob-nicate/json", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %v", w.Code, w.Header())
	}
	r = httptest.NewRequest(http.MethodPost, "/pypi/frob-nicate/json", nil)
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	for _, host := range []string{`a"b`, "a b", "a/b", "", "a<b>", strings.Repeat("a", 300)} {
		r := httptest.NewRequest(http.MethodGet, "/pypi/frob-nicate/json", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 400 {
			t.Errorf("host %q: %d", host, w.Code)
		}
	}
	if w := ask(New(&shelf{broken: errors.New("the disk burns")}, nil), "/pypi/frob-nicate/json"); w.Code != 500 || strings.Contains(w.Body.String(), "burns") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

package httpd_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"cheeseboard/httpd"
	"cheeseboard/httpd/metrics"

	"github.com/klauspost/compress/zstd"
)

// The tests of conformance hold the front against the standards of the simple
// repository API, 1.4 (PEP 503, 592, 629, 658, 691, 700, 714, 740, 792), over HTTP and
// with parsers that are not ours. Each test is named by the sentence that it holds.

const (
	typeJSON   = "application/vnd.pypi.simple.v1+json"
	typeHTML   = "application/vnd.pypi.simple.v1+html"
	typeText   = "text/html"
	latestJSON = "application/vnd.pypi.simple.latest+json"
	latestHTML = "application/vnd.pypi.simple.latest+html"
)

// shop is a front over the library, and a client that follows no redirects and
// undoes no compression.
type shop struct {
	t      *testing.T
	url    string
	client *http.Client
}

func newShop(t *testing.T) *shop {
	l := newLibrary()
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpd.NewServer(httpd.New(httpd.Deps{
		Index: l, Source: l, Legacy: l, Provenance: l, Search: l.search, Projects: l.project,
		Metrics: func() ([]metrics.Family, error) {
			return []metrics.Family{metrics.One("cheeseboard_files", "Files.", metrics.Gauge, 4)}, nil
		},
	}), nil, httpd.Limits{})
	server.Start()
	t.Cleanup(server.Close)
	return &shop{t, server.URL, &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// heard is a response with its body.
type heard struct {
	*http.Response
	body []byte
}

// ask makes a request; headers come in pairs.
func (s *shop) ask(method, path string, headers ...string) heard {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // it was read to its end
	if err != nil {
		s.t.Fatal(err)
	}
	return heard{res, body}
}

func (s *shop) get(path, accept string) heard {
	s.t.Helper()
	if accept == "" {
		return s.ask(http.MethodGet, path)
	}
	return s.ask(http.MethodGet, path, "Accept", accept)
}

// document gets a page as JSON that is decoded.
func (s *shop) document(path string) map[string]any {
	s.t.Helper()
	a := s.get(path, typeJSON)
	var out map[string]any
	if err := json.Unmarshal(a.body, &out); err != nil || a.StatusCode != 200 {
		s.t.Fatalf("%s: %d, %v: %s", path, a.StatusCode, err, a.body)
	}
	return out
}

func TestConformanceNegotiation(t *testing.T) {
	s := newShop(t)
	for _, c := range []struct {
		sentence, accept, query string
		want                    string // the content type; "" for 406
	}{
		{"the JSON type gives JSON", typeJSON, "", typeJSON},
		{"the HTML type gives HTML", typeHTML, "", typeHTML},
		{"text/html gives HTML under that name", typeText, "", typeText},
		{"latest JSON is answered with the true type", latestJSON, "", typeJSON},
		{"latest HTML is answered with the true type", latestHTML, "", typeHTML},
		{"no Accept means text/html", "", "", typeText},
		{"*/* means text/html", "*/*", "", typeText},
		{"what pip sends gives JSON", typeJSON + ", " + typeHTML + "; q=0.1, text/html; q=0.01", "", typeJSON},
		{"what uv sends gives JSON", typeJSON + ", " + typeHTML + ";q=0.2, text/html;q=0.01", "", typeJSON},
		{"what a browser sends gives text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", typeText},
		{"the order does not count", "text/html;q=0.01, " + typeHTML + ";q=0.1, " + typeJSON, "", typeJSON},
		{"q values count", typeJSON + ";q=0.2, " + typeHTML + ";q=0.9", "", typeHTML},
		{"a missing q is 1", typeJSON + ";q=0.9, " + typeText, "", typeText},
		{"q=0 excludes", typeJSON + ";q=0, " + typeText + ";q=0.1", "", typeText},
		{"only what is excluded: 406", typeJSON + ";q=0", "", ""},
		{"a version that is not there: 406", "application/vnd.pypi.simple.v2+json", "", ""},
		{"no match: 406", "image/png", "", ""},
		{"application/json is no type of this API", "application/json", "", ""},
		{"?format= overrides Accept", typeText, "?format=" + "application/vnd.pypi.simple.v1%2Bjson", typeJSON},
		{"?format= overrides an Accept that nothing matches", "image/png", "?format=text/html", typeText},
		{"?format= takes latest", "", "?format=application/vnd.pypi.simple.latest%2Bjson", typeJSON},
		{"?format= of another kind: 406", typeJSON, "?format=image/png", ""},
	} {
		for _, path := range []string{"/simple/", "/simple/holy-grail/"} {
			t.Run(c.sentence+" "+path, func(t *testing.T) {
				a := s.get(path+c.query, c.accept)
				kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
				switch {
				case c.want == "" && a.StatusCode != http.StatusNotAcceptable:
					t.Errorf("%d %s, want 406", a.StatusCode, kind)
				case c.want != "" && (a.StatusCode != 200 || kind != c.want):
					t.Errorf("%d %s, want %s", a.StatusCode, kind, c.want)
				case c.want == "" && !strings.Contains(string(a.body), typeJSON):
					t.Errorf("the 406 does not say what there is: %s", a.body)
				}
				vary(t, a)
			})
		}
	}
}

// vary holds that caches are told what an answer depends on.
func vary(t *testing.T, a heard) {
	t.Helper()
	said := strings.ToLower(strings.Join(a.Header.Values("Vary"), ","))
	if !strings.Contains(said, "accept-encoding") || !strings.Contains(strings.ReplaceAll(said, "accept-encoding", ""), "accept") {
		t.Errorf("Vary is %q, without Accept and Accept-Encoding", said)
	}
}

func TestConformanceAddresses(t *testing.T) {
	s := newShop(t)
	for _, c := range []struct {
		sentence, path string
		status         int
		to             string // where a redirect ends up
	}{
		{"addresses of projects end in a slash", "/simple/holy-grail/", 200, ""},
		{"without it, redirect", "/simple/holy-grail", 301, "/simple/holy-grail/"},
		{"the root list without it, too", "/simple", 301, "/simple/"},
		{"upper case is redirected", "/simple/Holy-Grail/", 301, "/simple/holy-grail/"},
		{"dots are redirected", "/simple/holy.grail/", 301, "/simple/holy-grail/"},
		{"runs of separators become one", "/simple/holy-_.grail/", 301, "/simple/holy-grail/"},
		{"both at once", "/simple/HOLY__GRAIL", 301, "/simple/holy-grail/"},
		{"a redirect keeps the question", "/simple/Holy.Grail/?format=text/html", 301, "/simple/holy-grail/?format=text/html"},
		{"what is no name is not there", "/simple/-grail/", 404, ""},
		{"what is not known is not there", "/simple/unknown/", 404, ""},
		{"the root list", "/simple/", 200, ""},
		{"PyPI's older API", "/pypi/holy-grail/json", 200, ""},
		{"PyPI's older API of one release", "/pypi/holy-grail/1.1/json", 200, ""},
		{"a release by another spelling of its version", "/pypi/holy-grail/1.1.0/json", 200, ""},
		{"a release that is not there", "/pypi/holy-grail/9/json", 404, ""},
		{"PyPI's older API redirects names", "/pypi/Holy.Grail/1.1/json", 301, "/pypi/holy-grail/1.1/json"},
		{"PyPI's older API has no project in quarantine", "/pypi/bad/json", 404, ""},
		{"a project in quarantine has a page", "/simple/bad/", 200, ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			a := s.get(c.path, "")
			if a.StatusCode != c.status {
				t.Fatalf("%d, want %d: %s", a.StatusCode, c.status, a.body)
			}
			if c.to == "" {
				return
			}
			to, err := a.Location()
			if err != nil || to.RequestURI() != c.to {
				t.Errorf("to %v, want %s (%v)", to, c.to, err)
			}
		})
	}
}

func TestConformanceHeaders(t *testing.T) {
	s := newShop(t)
	serials := map[string]string{"/simple/": "43", "/simple/holy-grail/": "42", "/simple/quiet/": "7", "/pypi/holy-grail/json": "42", "/pypi/holy-grail/1.1/json": "42"}
	unzstd, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unzstd.Close()
	for path, serial := range serials {
		for _, accept := range []string{typeJSON, typeHTML, typeText} {
			a := s.get(path, accept)
			if got := a.Header.Get("X-PyPI-Last-Serial"); got != serial {
				t.Errorf("%s as %s: X-PyPI-Last-Serial is %q, want %s: the project's on its page, the highest on the root list", path, accept, got, serial)
			}
			etag := a.Header.Get("ETag")
			if len(etag) < 3 || etag[0] != '"' || etag[len(etag)-1] != '"' {
				t.Errorf("%s as %s: the ETag %s is not quoted and strong", path, accept, etag)
			}
			if again := s.ask("GET", path, "Accept", accept, "If-None-Match", etag); again.StatusCode != 304 || len(again.body) > 0 || again.Header.Get("ETag") != etag {
				t.Errorf("%s as %s: a page that did not change is answered %d", path, accept, again.StatusCode)
			}
			packed := s.ask("GET", path, "Accept", accept, "Accept-Encoding", "gzip, deflate")
			if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("ETag") == etag {
				t.Errorf("%s as %s: for pip: %v", path, accept, packed.Header)
				continue
			}
			z, err := gzip.NewReader(bytes.NewReader(packed.body))
			if err != nil {
				t.Error(err)
				continue
			}
			if plain, err := io.ReadAll(z); err != nil || !bytes.Equal(plain, a.body) {
				t.Errorf("%s as %s: packed and plain differ (%v)", path, accept, err)
			}
			if !strings.HasPrefix(path, "/simple/") {
				continue
			}
			other := s.ask("GET", path, "Accept", accept, "Accept-Encoding", "br, zstd")
			if tag := other.Header.Get("ETag"); other.Header.Get("Content-Encoding") != "zstd" || tag == etag || tag == packed.Header.Get("ETag") {
				t.Errorf("%s as %s: in zstd: %v", path, accept, other.Header)
			}
			if plain, err := unzstd.DecodeAll(other.body, nil); err != nil || !bytes.Equal(plain, a.body) {
				t.Errorf("%s as %s: zstd and plain differ (%v)", path, accept, err)
			}
		}
	}
}

// TestConformanceHead holds that HEAD is answered wherever GET is, with the same
// headers and no body.
func TestConformanceHead(t *testing.T) {
	s := newShop(t)
	wheel := "holy_grail-1.1-py3-none-any.whl"
	file := "/files/holy-grail/" + digestOf(wheel) + "/" + wheel
	for _, path := range []string{
		"/", "/simple", "/simple/", "/simple/holy-grail", "/simple/holy-grail/", "/simple/Holy-Grail/", "/simple/bad/", "/simple/unknown/",
		"/simple/?format=image/png", "/pypi/holy-grail/json", "/pypi/holy-grail/1.1/json", "/pypi/holy-grail/9/json", "/pypi/Holy-Grail/json",
		"/search?q=grail", "/search?q=grail&format=json", "/project/holy-grail", "/project/unknown", "/project/Holy-Grail",
		"/integrity/holy-grail/1.1/" + wheel + "/provenance", "/integrity/holy-grail/1.0/holy_grail-1.0.tar.gz/provenance",
		"/healthz", "/nothing", file, file + ".metadata", file + ".asc", strings.Replace(file, "/files/", "/packages/", 1),
	} {
		for _, coding := range []string{"identity", "gzip", "zstd"} {
			get := s.ask("GET", path, "Accept", typeJSON+", */*;q=0.1", "Accept-Encoding", coding)
			head := s.ask("HEAD", path, "Accept", typeJSON+", */*;q=0.1", "Accept-Encoding", coding)
			if len(head.body) > 0 || head.StatusCode != get.StatusCode {
				t.Errorf("%s: HEAD %d with %d bytes, GET %d", path, head.StatusCode, len(head.body), get.StatusCode)
			}
			get.Header.Del("Date")
			head.Header.Del("Date")
			if head.Header.Get("Accept-Ranges") == "none" {
				get.Header.Set("Accept-Ranges", "none") // the shop's files arrive, in the handler's eyes: it advises against parts
			}
			for key, values := range get.Header {
				if !slices.Equal(values, head.Header[key]) {
					t.Errorf("%s (%s): %s is %q for HEAD and %q for GET", path, coding, key, head.Header[key], values)
				}
			}
		}
	}
}

func TestConformanceFiles(t *testing.T) {
	s := newShop(t)
	for _, f := range list(t, s.document("/simple/holy-grail/"), "files") {
		f := f.(map[string]any)
		address := resolve(t, "/simple/holy-grail/", f["url"].(string))
		a := s.ask("GET", address, "Accept-Encoding", "identity")
		if a.StatusCode != 200 || !bytes.Equal(a.body, bytesOf(f["filename"].(string))) || float64(len(a.body)) != f["size"] {
			t.Errorf("%s: %d, %d bytes", address, a.StatusCode, len(a.body))
		}
		if c := a.Header.Get("Cache-Control"); !strings.Contains(c, "immutable") || !strings.Contains(c, "public") || !strings.Contains(c, "max-age=") {
			t.Errorf("%s: a file never changes, but Cache-Control is %q", address, c)
		}
		rest := s.ask("GET", address, "Range", "bytes=5-", "If-Range", a.Header.Get("ETag"), "Accept-Encoding", "identity")
		if rest.StatusCode != 206 || !bytes.Equal(rest.body, a.body[5:]) {
			t.Errorf("%s: pip goes on with Range and If-Range, and gets %d, %q", address, rest.StatusCode, rest.body)
		}
		whole := s.ask("GET", address, "Range", "bytes=5-", "If-Range", `"another"`, "Accept-Encoding", "identity")
		if whole.StatusCode != 200 || !bytes.Equal(whole.body, a.body) {
			t.Errorf("%s: with the tag of another file a range is answered %d", address, whole.StatusCode)
		}
		stated, has := f["core-metadata"].(map[string]any)
		beside := s.get(address+".metadata", "")
		if has != (beside.StatusCode == 200) {
			t.Errorf("%s: metadata stand beside the file where the page says so: %d", address, beside.StatusCode)
		}
		if has && stated["sha256"] != fmt.Sprintf("%x", sha256.Sum256(beside.body)) {
			t.Errorf("%s: the metadata have another digest than the page states", address)
		}
	}
}

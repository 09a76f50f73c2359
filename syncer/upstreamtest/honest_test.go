package upstreamtest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// wire is a project page as a reader who knows only the specification sees it.
type wire struct {
	Meta struct {
		APIVersion string `json:"api-version"`
		LastSerial int64  `json:"_last-serial"`
	}
	Name     string
	Versions []string
	Status   struct{ Status, Reason string } `json:"project-status"`
	Projects []struct {
		Name       string
		LastSerial int64 `json:"_last-serial"`
	}
	Files []struct {
		Filename, URL  string
		Hashes         map[string]string
		CoreMetadata   any    `json:"core-metadata"`
		RequiresPython string `json:"requires-python"`
		Size           *int64
		UploadTime     string `json:"upload-time"`
		Yanked         any
		Provenance     string
	}
}

func readPage(t *testing.T, url string) wire {
	t.Helper()
	a := get(t, url, "Accept", typeJSON)
	var w wire
	if err := json.Unmarshal(a.body, &w); err != nil || a.status != 200 {
		t.Fatalf("%s: status %d, %v: %.200s", url, a.status, err, a.body)
	}
	return w
}

func TestPageAsJSON(t *testing.T) {
	index := SampleIndex(1)
	server := start(t, index)
	p := readPage(t, server.IndexURL()+"cheddar/")
	if p.Meta.APIVersion != "1.4" || p.Name != "cheddar" || p.Status.Status != "active" {
		t.Errorf("page says %+v", p)
	}
	if !slices.Equal(p.Versions, []string{"0.9.0", "1.0.0", "1.1.0", "1.2.0", "2.0.0rc1"}) || len(p.Files) != 10 {
		t.Errorf("versions %v, %d files", p.Versions, len(p.Files))
	}
	for _, f := range p.Files {
		content := get(t, f.URL).body
		if hexSum(content) != f.Hashes["sha256"] || *f.Size != int64(len(content)) {
			t.Errorf("%s: the bytes are not what the page states", f.Filename)
		}
		if f.RequiresPython != ">=3.6, !=3.7.0" || !strings.HasPrefix(f.UploadTime, "2024-01-0") {
			t.Errorf("%s: requires %q, uploaded %q", f.Filename, f.RequiresPython, f.UploadTime)
		}
		wantYank := any(false)
		if strings.Contains(f.Filename, "1.1.0") {
			wantYank = `it smelled of "soap" & <b>worse</b>`
		}
		if f.Yanked != wantYank {
			t.Errorf("%s: yanked is %v", f.Filename, f.Yanked)
		}
		stated, isWheel := f.CoreMetadata.(map[string]any)
		if isWheel != strings.HasSuffix(f.Filename, ".whl") {
			t.Errorf("%s: core-metadata is %v", f.Filename, f.CoreMetadata)
		}
		if a := get(t, f.URL+".metadata"); isWheel && hexSum(a.body) != stated["sha256"] || !isWheel && a.status != 404 {
			t.Errorf("%s.metadata: status %d, the hash is wrong", f.Filename, a.status)
		}
	}
}

func TestPageAsHTML(t *testing.T) {
	server := start(t, SampleIndex(1))
	a := get(t, server.IndexURL()+"cheddar/", "Accept", typeHTML)
	page := string(a.body)
	for _, want := range []string{
		`<meta name="pypi:repository-version" content="1.4">`,
		`<meta name="pypi:project-status" content="active">`,
		`data-requires-python="&gt;=3.6, !=3.7.0"`,
		`data-yanked="it smelled of &#34;soap&#34; &amp; &lt;b&gt;worse&lt;/b&gt;"`,
		`data-core-metadata="sha256=`, `data-dist-info-metadata="sha256=`,
		`>cheddar-2.0.0rc1.tar.gz</a>`,
		"</html>\n<!--SERIAL " + a.header.Get("X-PyPI-Last-Serial") + "-->",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if got := a.header.Get("Content-Type"); got != typeHTML+"; charset=utf-8" {
		t.Errorf("Content-Type is %q", got)
	}
	edam := string(get(t, server.IndexURL()+"edam/").body)
	if !strings.Contains(edam, `data-provenance="https://`) || !strings.Contains(edam, `content="use gouda"`) {
		t.Errorf("edam: %s", edam)
	}
}

func TestRootList(t *testing.T) {
	index := SampleIndex(1)
	server := start(t, index)
	root := readPage(t, server.IndexURL())
	var names []string
	highest := int64(0)
	for _, p := range root.Projects {
		names = append(names, p.Name)
		highest = max(highest, p.LastSerial)
	}
	if !slices.Contains(names, "Whey.Tools") || slices.Contains(names, "limburger") || len(names) != 14 {
		t.Errorf("the list is %v", names)
	}
	if highest != index.Serial() || root.Meta.LastSerial != highest {
		t.Errorf("serials: %d and %d, want %d", highest, root.Meta.LastSerial, index.Serial())
	}
	if html := string(get(t, server.IndexURL()).body); !strings.Contains(html, `<a href="/simple/whey-tools/">Whey.Tools</a>`) {
		t.Errorf("HTML: %s", html)
	}
}

func TestNegotiation(t *testing.T) {
	const pip = typeJSON + ", " + typeHTML + "; q=0.1, text/html; q=0.01"
	for accept, want := range map[string]string{
		"": typeText, "*/*": typeText, "text/html": typeText, pip: typeJSON,
		typeHTML: typeHTML, "text/html;q=0.5, " + typeHTML + ";q=0.6": typeHTML,
		"application/vnd.pypi.simple.latest+json": typeJSON,
		"application/vnd.pypi.simple.latest+html": typeHTML,
		"application/*":                        typeJSON,
		typeJSON + ";q=0, */*":                 typeText,
		"image/png":                            "",
		typeJSON + ";q=0.2, text/html;q=bogus": typeJSON,
	} {
		if got := negotiate(accept); got != want {
			t.Errorf("negotiate(%q) = %q, want %q", accept, got, want)
		}
	}
	server := start(t, SampleIndex(1))
	if a := get(t, server.IndexURL(), "Accept", "image/png"); a.status != 406 {
		t.Errorf("image/png: status %d", a.status)
	}
}

func TestRedirects(t *testing.T) {
	server := start(t, SampleIndex(1))
	for path, want := range map[string]string{
		"/simple": "/simple/", "/simple/cheddar": "/simple/cheddar/",
		"/simple/Whey.Tools/": "/simple/whey-tools/", "/simple/Whey__Tools": "/simple/whey-tools/",
	} {
		a := get(t, server.URL()+path)
		if a.status != 301 || a.header.Get("Location") != want {
			t.Errorf("%s: %d to %q, want %q", path, a.status, a.header.Get("Location"), want)
		}
	}
	for _, path := range []string{"/", "/simple/nothing/", "/simple/-x-/", "/simple/a/b/c", "/packages/x"} {
		if a := get(t, server.URL()+path); a.status != 404 {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
	if a, err := try(t, "POST", server.IndexURL()); err != nil || a.status != 405 {
		t.Errorf("POST: %d, %v", a.status, err)
	}
}

func TestValidatorsAndGzip(t *testing.T) {
	index := SampleIndex(1)
	server := start(t, index)
	url := server.IndexURL() + "parmesan/"
	first := get(t, url, "Accept", typeJSON, "Accept-Encoding", "gzip, deflate")
	if first.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("not packed: %v", first.header)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(first.body))
	must(t, err)
	text, err := io.ReadAll(unpacked)
	must(t, err)
	if !bytes.Equal(text, get(t, url, "Accept", typeJSON).body) {
		t.Error("packed and plain differ")
	}
	tag, date := first.header.Get("ETag"), first.header.Get("Last-Modified")
	for _, condition := range [][]string{{"If-None-Match", tag}, {"If-None-Match", `"x", W/` + tag}, {"If-Modified-Since", date}} {
		a := get(t, url, append(condition, "Accept", typeJSON)...)
		if a.status != http.StatusNotModified || len(a.body) > 0 || a.header.Get("X-PyPI-Last-Serial") == "" {
			t.Errorf("%v: status %d, %v", condition, a.status, a.header)
		}
	}
	_, err = index.AddWheel(Wheel{Name: "parmesan", Version: "0.1"})
	must(t, err)
	for _, condition := range [][]string{{"If-None-Match", tag}, {"If-Modified-Since", date}} {
		a := get(t, url, append(condition, "Accept", typeJSON)...)
		if a.status != 200 || a.header.Get("X-PyPI-Last-Serial") != strconv.FormatInt(index.Serial(), 10) {
			t.Errorf("after a change, %v: status %d, %v", condition, a.status, a.header)
		}
	}
	if get(t, url, "Accept", typeJSON).header.Get("ETag") == get(t, url, "Accept", typeHTML).header.Get("ETag") {
		t.Error("JSON and HTML have one ETag")
	}
}

func TestFileRanges(t *testing.T) {
	index, name, content := small(t)
	server := start(t, index)
	url := server.FileURL(name)
	whole := get(t, url)
	tag := whole.header.Get("ETag")
	if whole.status != 200 || !bytes.Equal(whole.body, content) || whole.header.Get("Accept-Ranges") != "bytes" {
		t.Fatalf("whole: %d, %v", whole.status, whole.header)
	}
	n := len(content)
	size := strconv.Itoa(n)
	for _, c := range []struct {
		header   []string
		status   int
		from, to int
		stated   string
	}{
		{[]string{"Range", "bytes=10-19"}, 206, 10, 20, "bytes 10-19/" + size},
		{[]string{"Range", "bytes=99000-"}, 206, 99000, n, "bytes 99000-" + strconv.Itoa(n-1) + "/" + size},
		{[]string{"Range", "bytes=-7"}, 206, n - 7, n, "bytes " + strconv.Itoa(n-7) + "-" + strconv.Itoa(n-1) + "/" + size},
		{[]string{"Range", "bytes=5-9999999"}, 206, 5, n, "bytes 5-" + strconv.Itoa(n-1) + "/" + size},
		{[]string{"Range", "bytes=10-19", "If-Range", tag}, 206, 10, 20, "bytes 10-19/" + size},
		{[]string{"Range", "bytes=10-19", "If-Range", `"old"`}, 200, 0, n, ""},
		{[]string{"Range", "bytes=10-19", "If-Range", "W/" + tag}, 200, 0, n, ""},
		{[]string{"Range", "bytes=10-19", "If-Range", whole.header.Get("Last-Modified")}, 206, 10, 20, "bytes 10-19/" + size},
		{[]string{"Range", "bytes=1-2,5-6"}, 200, 0, n, ""},
		{[]string{"Range", "bytes=9-1"}, 200, 0, n, ""},
		{[]string{"Range", "bytes=" + size + "-"}, 416, 0, 0, "bytes */" + size},
	} {
		a := get(t, url, c.header...)
		if a.status != c.status || a.header.Get("Content-Range") != c.stated || !bytes.Equal(a.body, content[c.from:c.to]) {
			t.Errorf("%v: status %d, %q, %d bytes", c.header, a.status, a.header.Get("Content-Range"), len(a.body))
		}
	}
	head, err := try(t, "HEAD", url)
	if err != nil || head.length != int64(n) || head.header.Get("ETag") != tag || len(head.body) > 0 {
		t.Errorf("HEAD: %+v, %v", head, err)
	}
	if ranges := server.Requests().On(OnFile("brie")).Ranges(); len(ranges) != 13 || ranges[1] != "bytes=10-19" {
		t.Errorf("recorded ranges: %q", ranges)
	}
}

func TestDialects(t *testing.T) {
	bare := NewServer(SampleIndex(1))
	bare.Dialect = Dialect{Bare: true, NoSerials: true, NoValidators: true, NoMetadata: true, NoRanges: true, NoGzip: true, RelativeURLs: true}
	startWith(t, bare)
	url := bare.IndexURL() + "stilton/"
	a := get(t, url, "Accept", typeJSON, "Accept-Encoding", "gzip")
	for _, absent := range []string{"ETag", "Last-Modified", "X-PyPI-Last-Serial", "Content-Encoding"} {
		if a.header.Get(absent) != "" {
			t.Errorf("%s is there: %q", absent, a.header.Get(absent))
		}
	}
	p := readPage(t, url)
	f := p.Files[0]
	if p.Meta.APIVersion != "1.0" || p.Meta.LastSerial != 0 || p.Versions != nil || p.Status.Status != "" ||
		f.Size != nil || f.UploadTime != "" || f.CoreMetadata != false {
		t.Errorf("the page is not bare: %s", a.body)
	}
	base := request(t, testContext(t), "GET", url).URL
	target, err := base.Parse(f.URL)
	must(t, err)
	if strings.Contains(f.URL, "://") || target.String() != bare.FileURL(f.Filename) {
		t.Errorf("URL %q resolves to %s", f.URL, target)
	}
	if a := get(t, target.String(), "Range", "bytes=5-"); a.status != 200 || a.header.Get("Accept-Ranges") != "" {
		t.Errorf("a range: status %d", a.status)
	}
	if a := get(t, target.String()+".metadata"); a.status != 404 {
		t.Errorf("metadata: status %d", a.status)
	}
	static := NewServer(SampleIndex(1))
	static.Dialect.HTMLOnly = true
	startWith(t, static)
	if a := get(t, static.IndexURL(), "Accept", typeJSON); !strings.HasPrefix(a.header.Get("Content-Type"), typeText) {
		t.Errorf("HTML only: %v", a.header)
	}
}

func TestFilesOnAPortOfTheirOwn(t *testing.T) {
	index, name, content := small(t)
	server := NewServer(index)
	server.SplitFiles = true
	startWith(t, server)
	url := readPage(t, server.IndexURL()+"brie/").Files[0].URL
	if url != server.FileURL(name) || server.FilesURL() == server.URL() {
		t.Fatalf("%s is not on %s", url, server.FilesURL())
	}
	if a := get(t, url); !bytes.Equal(a.body, content) {
		t.Errorf("status %d", a.status)
	}
	for _, wrong := range []string{server.URL() + index.Path(name), server.FilesURL() + "/simple/brie/"} {
		if a := get(t, wrong); a.status != 404 {
			t.Errorf("%s: status %d", wrong, a.status)
		}
	}
}

package pypi

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/html"
)

const (
	sumA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sumB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	md5A = "0123456789abcdef0123456789abcdef"
)

// samePages compares by fields; an empty list is the same as none.
func samePages(t *testing.T, what string, want, got *Project) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// wheel is a file that both forms carry whole.
func wheel(change func(*File)) File {
	f := File{
		Filename: "frob-1.0-py3-none-any.whl",
		URL:      "https://files.example/packages/aa/frob-1.0-py3-none-any.whl",
		Hashes:   Hashes{{"sha256", sumA}},
		Size:     SizeUnknown,
	}
	if change != nil {
		change(&f)
	}
	return f
}

func with(change func(*File)) *Project {
	return &Project{Name: "frob", Files: []File{wheel(change)}}
}

// pageShapes are all the shapes that the specification gives a page. Those with
// jsonOnly set hold what HTML has no place for.
var pageShapes = []struct {
	name     string
	jsonOnly bool
	page     *Project
}{
	{"empty", false, &Project{Name: "frob"}},
	{"plain file", false, with(nil)},
	{"no hash", false, with(func(f *File) { f.Hashes = nil })},
	{"md5 alone", false, with(func(f *File) { f.Hashes = Hashes{{"md5", md5A}} })},
	{"many hashes", true, with(func(f *File) { f.Hashes = Hashes{{"blake2b_256", sumB}, {"md5", md5A}, {"sha256", sumA}} })},
	{"requires-python", false, with(func(f *File) { f.RequiresPython = `>=3.8,<4, !="3.9"` })},
	{"core metadata true", false, with(func(f *File) { f.CoreMetadata.Available = true })},
	{"core metadata hash", false, with(func(f *File) { f.CoreMetadata = CoreMetadata{true, Hashes{{"sha256", sumB}}} })},
	{"core metadata hashes", true, with(func(f *File) { f.CoreMetadata = CoreMetadata{true, Hashes{{"md5", md5A}, {"sha256", sumB}}} })},
	{"gpg-sig true", false, with(func(f *File) { f.GPGSig = Yes })},
	{"gpg-sig false", false, with(func(f *File) { f.GPGSig = No })},
	{"yanked", false, with(func(f *File) { f.Yanked.Is = true })},
	{"yanked with a reason", false, with(func(f *File) {
		f.Yanked = Yanked{true, "Broken: <b>see</b> \"it's\" & more\r\nline \\two\t\u2028 ü 🧀"}
	})},
	{"size", true, with(func(f *File) { f.Size = 123456789012 })},
	{"size zero", true, with(func(f *File) { f.Size = 0 })},
	{"upload time", true, with(func(f *File) { f.UploadTime = time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC) })},
	{"upload time with fraction", true, with(func(f *File) { f.UploadTime = time.Date(2024, 2, 29, 23, 59, 58, 1000, time.UTC) })},
	{"provenance", false, with(func(f *File) { f.Provenance = "https://pypi.example/integrity/frob/1.0/provenance?a=1&b=2" })},
	{"URL with a query", false, with(func(f *File) { f.URL += "?token=a&x=%22" })},
	{"name with a plus", false, with(func(f *File) {
		f.Filename = "frob-1.0+cpu-py3-none-any.whl"
		f.URL = "https://files.example/frob-1.0%2Bcpu-py3-none-any.whl"
	})},
	{"versions", true, &Project{Name: "frob", Versions: []string{"1.0", "1.0.post1", "dog-years"}}},
	{"serial", false, &Project{Name: "frob", LastSerial: 31415926}},
	{"active", false, &Project{Name: "frob", Status: Status{State: StatusActive}, Files: []File{wheel(nil)}}},
	{"archived with a reason", false, &Project{Name: "frob", Status: Status{StatusArchived, "moved to <frob2> & co"}, Files: []File{wheel(nil)}}},
	{"deprecated", false, &Project{Name: "frob", Status: Status{State: StatusDeprecated}}},
	{"quarantined", false, &Project{Name: "frob", Status: Status{StatusQuarantined, "malware"}}},
	{"state of the future", false, &Project{Name: "frob", Status: Status{State: "frozen-2"}, Files: []File{wheel(nil)}}},
	{"tracks", false, &Project{Name: "frob", Tracks: []string{"https://a.example/simple/frob/", "https://b.example/simple/frob/?a&b"}}},
	{"alternates", false, &Project{Name: "frob", Alternates: []string{"https://a.example/simple/frob/", "https://b.example/simple/frob/"}}},
}

func TestPagesSurviveTheRoundTrip(t *testing.T) {
	for _, shape := range pageShapes {
		t.Run(shape.name, func(t *testing.T) {
			body := AppendProjectJSON(nil, shape.page, nil)
			got, refused, err := DecodeProjectJSON(body, "frob", nil)
			if err != nil || len(refused) > 0 {
				t.Fatalf("JSON: %v, refused %v\n%s", err, refused, body)
			}
			samePages(t, "JSON", shape.page, got)
			if shape.jsonOnly {
				return
			}
			body = AppendProjectHTML(nil, shape.page, nil)
			got, refused, err = DecodeProjectHTML(body, "frob", nil)
			if err != nil || len(refused) > 0 {
				t.Fatalf("HTML: %v, refused %v\n%s", err, refused, body)
			}
			samePages(t, "HTML", shape.page, got)
		})
	}
}

// TestHTMLDropsWhatItCannotCarry keeps the rest of such pages intact.
func TestHTMLDropsWhatItCannotCarry(t *testing.T) {
	p := with(func(f *File) {
		f.Hashes = Hashes{{"md5", md5A}, {"sha256", sumA}, {"sha512", sumA + sumB}}
		f.CoreMetadata = CoreMetadata{true, Hashes{{"md5", md5A}}}
		f.Size, f.UploadTime = 7, time.Unix(1e9, 0)
	})
	p.Versions = []string{"1.0"}
	got, _, err := DecodeProjectHTML(AppendProjectHTML(nil, p, nil), "frob", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := with(func(f *File) { f.CoreMetadata = CoreMetadata{true, Hashes{{"md5", md5A}}} })
	samePages(t, "HTML", want, got)
}

// TestJSONIsReadAlikeByEncodingJSON has an independent reader say what the pages
// of the table hold.
func TestJSONIsReadAlikeByEncodingJSON(t *testing.T) {
	for _, shape := range pageShapes {
		body := AppendProjectJSON(nil, shape.page, nil)
		var page struct {
			Meta     map[string]any    `json:"meta"`
			Name     string            `json:"name"`
			Versions *[]string         `json:"versions"`
			Files    *[]map[string]any `json:"files"`
			Status   map[string]string `json:"project-status"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatalf("%s: %v\n%s", shape.name, err, body)
		}
		if page.Meta["api-version"] != "1.4" || page.Name != "frob" || page.Versions == nil || page.Files == nil {
			t.Fatalf("%s: a mandatory key is missing: %s", shape.name, body)
		}
		if bytes.Contains(body, []byte("null")) || bytes.Contains(body, []byte("dist-info")) {
			t.Errorf("%s: holds null or dist-info-metadata: %s", shape.name, body)
		}
		if page.Status["status"] != shape.page.Status.State || page.Status["reason"] != shape.page.Status.Reason {
			t.Errorf("%s: status %v", shape.name, page.Status)
		}
		if len(*page.Files) != len(shape.page.Files) {
			t.Fatalf("%s: %d files", shape.name, len(*page.Files))
		}
		for i, f := range shape.page.Files {
			got := (*page.Files)[i]
			want := wantMembers(&f)
			if v, ok := got["upload-time"].(string); ok {
				when, err := time.Parse(time.RFC3339Nano, v)
				if err != nil || !when.Equal(f.UploadTime) {
					t.Errorf("%s: upload-time %q", shape.name, v)
				}
				want["upload-time"] = v
			} else if !f.UploadTime.IsZero() {
				t.Errorf("%s: no upload-time", shape.name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", shape.name, diff)
			}
		}
	}
}

// wantMembers says what the entry of a file must state, in the words of the PEPs,
// save for its upload time.
func wantMembers(f *File) map[string]any {
	digests := func(hashes Hashes) map[string]any {
		m := map[string]any{}
		for _, h := range hashes {
			m[h.Algorithm] = h.Hex
		}
		return m
	}
	m := map[string]any{"filename": f.Filename, "url": f.URL, "hashes": digests(f.Hashes)}
	if f.RequiresPython != "" {
		m["requires-python"] = f.RequiresPython
	}
	if f.Yanked.Is {
		m["yanked"] = true
		if f.Yanked.Reason != "" {
			m["yanked"] = f.Yanked.Reason
		}
	}
	if f.GPGSig != Unstated {
		m["gpg-sig"] = f.GPGSig == Yes
	}
	if f.Size != SizeUnknown {
		m["size"] = float64(f.Size)
	}
	if f.Provenance != "" {
		m["provenance"] = f.Provenance
	}
	if f.CoreMetadata.Available {
		m["core-metadata"] = true
		if len(f.CoreMetadata.Hashes) > 0 {
			m["core-metadata"] = digests(f.CoreMetadata.Hashes)
		}
	}
	return m
}

// TestHTMLIsReadAlikeByAParser has the tree builder of x/net, which corrects as
// a browser does, say what the pages of the table hold.
func TestHTMLIsReadAlikeByAParser(t *testing.T) {
	for _, shape := range pageShapes {
		body := AppendProjectHTML(nil, shape.page, nil)
		if !bytes.HasPrefix(body, []byte("<!DOCTYPE html>\n")) {
			t.Errorf("%s: no doctype", shape.name)
		}
		root, err := html.Parse(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		metas := map[string][]string{}
		var links []*html.Node
		for n := range root.Descendants() {
			switch {
			case n.Type == html.ElementNode && n.Data == "a":
				links = append(links, n)
			case n.Type == html.ElementNode && n.Data == "meta":
				a := nodeAttrs(n)
				metas[a["name"]] = append(metas[a["name"]], a["content"])
			}
		}
		wantMetas := map[string][]string{"": {""}, "pypi:repository-version": {"1.4"}}
		for name, value := range map[string]string{"pypi:project-status": shape.page.Status.State, "pypi:project-status-reason": shape.page.Status.Reason} {
			if value != "" {
				wantMetas[name] = []string{value}
			}
		}
		for name, values := range map[string][]string{"pypi:tracks": shape.page.Tracks, "pypi:alternate-locations": shape.page.Alternates} {
			if len(values) > 0 {
				wantMetas[name] = values
			}
		}
		if diff := cmp.Diff(wantMetas, metas); diff != "" {
			t.Errorf("%s: metas: %s", shape.name, diff)
		}
		if len(links) != len(shape.page.Files) {
			t.Fatalf("%s: %d links", shape.name, len(links))
		}
		for i, f := range shape.page.Files {
			if text := links[i].FirstChild.Data; text != f.Filename {
				t.Errorf("%s: text %q", shape.name, text)
			}
			if diff := cmp.Diff(wantAttrs(&f), nodeAttrs(links[i])); diff != "" {
				t.Errorf("%s: %s", shape.name, diff)
			}
		}
	}
}

func nodeAttrs(n *html.Node) map[string]string {
	m := map[string]string{}
	for _, a := range n.Attr {
		m[a.Key] = a.Val
	}
	delete(m, "charset")
	return m
}

// wantAttrs says what the link of a file must state, in the words of the PEPs.
func wantAttrs(f *File) map[string]string {
	m := map[string]string{"href": f.URL}
	for _, h := range f.Hashes {
		if len(f.Hashes) == 1 || h.Algorithm == "sha256" {
			m["href"] = f.URL + "#" + h.Algorithm + "=" + h.Hex
		}
	}
	if f.RequiresPython != "" {
		m["data-requires-python"] = f.RequiresPython
	}
	if f.Yanked.Is {
		m["data-yanked"] = f.Yanked.Reason
	}
	if f.CoreMetadata.Available {
		m["data-core-metadata"] = "true"
		for _, h := range f.CoreMetadata.Hashes {
			if len(f.CoreMetadata.Hashes) == 1 || h.Algorithm == "sha256" {
				m["data-core-metadata"] = h.Algorithm + "=" + h.Hex
			}
		}
		m["data-dist-info-metadata"] = m["data-core-metadata"]
	}
	if f.GPGSig != Unstated {
		m["data-gpg-sig"] = map[Tristate]string{Yes: "true", No: "false"}[f.GPGSig]
	}
	if f.Provenance != "" {
		m["data-provenance"] = f.Provenance
	}
	return m
}

func TestQuarantineOffersNothing(t *testing.T) {
	p := with(nil)
	p.Status.State = StatusQuarantined
	for _, body := range []string{string(AppendProjectJSON(nil, p, nil)), string(AppendProjectHTML(nil, p, nil))} {
		if strings.Contains(body, "frob-1.0") {
			t.Errorf("a quarantined project lists a file:\n%s", body)
		}
	}
}

func TestLinkReplacesTheURL(t *testing.T) {
	p := with(nil)
	link := func(f *File) string { return `/files/"a"&<b>/` + f.Filename }
	got, _, err := DecodeProjectJSON(AppendProjectJSON(nil, p, link), "frob", mustURL(t, "http://box.lan:8080/simple/frob/"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "http://box.lan:8080/files/%22a%22&%3Cb%3E/frob-1.0-py3-none-any.whl"
	if got.Files[0].URL != want {
		t.Errorf("JSON: %q", got.Files[0].URL)
	}
	got, _, err = DecodeProjectHTML(AppendProjectHTML(nil, p, link), "frob", mustURL(t, "http://box.lan:8080/simple/frob/"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Files[0].URL != want {
		t.Errorf("HTML: %q", got.Files[0].URL)
	}
}

func TestAppendExtendsItsSlice(t *testing.T) {
	p := with(nil)
	for _, render := range []func([]byte, *Project, Link) []byte{AppendProjectJSON, AppendProjectHTML} {
		alone := render(nil, p, nil)
		if got := render([]byte("head"), p, nil); string(got) != "head"+string(alone) {
			t.Errorf("append does not extend: %s", got)
		}
	}
}

// TestRenderingMendsText: what did not come through a decoder must not break
// the page either.
func TestRenderingMendsText(t *testing.T) {
	p := with(func(f *File) { f.Yanked = Yanked{true, "a\x00b\xffc\x7f\x1f"} })
	body := AppendProjectJSON(nil, p, nil)
	var page struct {
		Files []struct{ Yanked string }
	}
	if err := json.Unmarshal(body, &page); err != nil || page.Files[0].Yanked != "a\x00b\uFFFDc\x7f\x1f" {
		t.Errorf("JSON: %v, %q", err, page.Files)
	}
	if got := appendHTMLText(nil, "a\x00b\xffc"); string(got) != "a\uFFFDb\uFFFDc" {
		t.Errorf("HTML: %q", got)
	}
}

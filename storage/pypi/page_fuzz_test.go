package pypi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

// addPages seeds a fuzz target with the golden pages of one form.
func addPages(f *testing.F, pattern string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "simple", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatal(err, "no pages")
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
}

// checkDecoded refuses a decoded page that breaks a rule of the vocabulary.
func checkDecoded(t *testing.T, p *Project, refused []Refusal) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range p.Files {
		if err := CheckFilename(f.Filename); err != nil || seen[f.Filename] {
			t.Errorf("%q: %v, or twice", f.Filename, err)
		}
		seen[f.Filename] = true
		checkDecodedURL(t, f.URL)
		if f.Provenance != "" {
			checkDecodedURL(t, f.Provenance)
		}
		checkUnknown(t, f.Unknown, knownOfFile)
		if f.Size != SizeUnknown && (f.Size < 0 || f.Size > MaxFileSize) {
			t.Errorf("size %d", f.Size)
		}
		if f.UploadTime.Location() != time.UTC || f.UploadTime.Nanosecond()%1000 != 0 {
			t.Errorf("time %v", f.UploadTime)
		}
		for _, list := range []Hashes{f.Hashes, f.CoreMetadata.Hashes} {
			for i, h := range list {
				if again, err := NewHash(h.Algorithm, h.Hex); err != nil || again != h {
					t.Errorf("hash %v: %v", h, err)
				}
				if i > 0 && list[i-1].Algorithm >= h.Algorithm {
					t.Errorf("hashes are not sorted: %v", list)
				}
			}
		}
		if !f.Yanked.Is && f.Yanked.Reason != "" || !f.CoreMetadata.Available && f.CoreMetadata.Hashes != nil {
			t.Errorf("a detail of what is not: %+v", f)
		}
	}
	checkUnknown(t, p.Unknown, knownOfProject)
	checkUnknown(t, p.InMeta, knownOfMeta)
	for _, u := range slices.Concat(p.Tracks, p.Alternates) {
		checkDecodedURL(t, u)
	}
	for _, r := range refused {
		if len(r.Filename) > maxRefusalName || r.Reason == "" {
			t.Errorf("refusal %+v", r)
		}
	}
}

func checkDecodedURL(t *testing.T, s string) {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Contains(s, "#") {
		t.Errorf("URL %q: %v", s, err)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			t.Errorf("URL %q: not printable ASCII", s)
		}
	}
}

// again renders a page, decodes it, and wants every field back.
func again(t *testing.T, p *Project, render func([]byte, *Project, Link) []byte, decode func([]byte, Name, *url.URL) (*Project, []Refusal, error)) {
	t.Helper()
	body := render(nil, p, nil)
	got, refused, err := decode(body, p.Name, nil)
	if err != nil || len(refused) > 0 {
		t.Fatalf("a rendered page is not read: %v, refused %v\n%s", err, refused, body)
	}
	want := *p
	if p.Status.State == StatusQuarantined {
		want.Files = nil
	}
	samePages(t, string(body), &want, got)
}

func FuzzDecodeProjectJSON(f *testing.F) {
	addPages(f, "*.json")
	for _, tc := range hostileEntries {
		f.Add([]byte(jsonPageOf(tc.entry)))
	}
	for _, tc := range refusedPages {
		f.Add([]byte(tc.body))
	}
	for _, shape := range pageShapes {
		f.Add(AppendProjectJSON(nil, shape.page, nil))
	}
	f.Add(AppendProjectJSON(nil, withUnknown(), nil))
	base := mustURL(f, "https://u:p@index.example/simple/frob/")
	f.Fuzz(func(t *testing.T, body []byte) {
		p, refused, err := DecodeProjectJSON(body, "frob", base)
		if err != nil {
			if !errors.Is(err, ErrNotIndex) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrWrongProject) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if !json.Valid(bytes.TrimPrefix(body, utf8BOM)) {
			t.Error("a page is read that is not JSON")
		}
		checkDecoded(t, p, refused)
		if !json.Valid(AppendProjectJSON(nil, p, nil)) {
			t.Error("what is rendered is not JSON")
		}
		again(t, p, AppendProjectJSON, DecodeProjectJSON)
		if _, _, err := DecodeProjectHTML(AppendProjectHTML(nil, p, nil), p.Name, nil); err != nil {
			t.Errorf("as HTML: %v", err)
		}
	})
}

func FuzzDecodeProjectHTML(f *testing.F) {
	addPages(f, "*.html")
	f.Add([]byte(portal))
	for _, shape := range pageShapes {
		f.Add(AppendProjectHTML(nil, shape.page, nil))
	}
	f.Add([]byte(`<base href="//x/"><a href="a.whl?x=&#13;&#0;&quot;" data-yanked="&#13;&#10;&#x2028;">b.whl</a>`))
	base := mustURL(f, "https://u:p@index.example/simple/frob/")
	f.Fuzz(func(t *testing.T, body []byte) {
		p, refused, err := DecodeProjectHTML(body, "frob", base)
		if err != nil {
			if !errors.Is(err, ErrNotIndex) && !errors.Is(err, ErrVersion) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		checkDecoded(t, p, refused)
		again(t, p, AppendProjectJSON, DecodeProjectJSON)
		for i := range p.Files {
			// A fragment may state more digests than a link can carry.
			if h := linkHash(p.Files[i].Hashes); h != nil {
				p.Files[i].Hashes = Hashes{*h}
			}
		}
		again(t, p, AppendProjectHTML, DecodeProjectHTML)
	})
}

func FuzzDecodeListJSON(f *testing.F) {
	addPages(f, "list.json")
	f.Add([]byte(`{"projects":[{"_last-serial":3,"name":"0-._.-._.-0"},{"name":null}],"meta":{"api-version":"1.5"}}`))
	fuzzList(f, 0)
}

func FuzzDecodeListHTML(f *testing.F) {
	addPages(f, "list.html")
	f.Add([]byte(`<a href="/simple/django/">Django</a><a href="x/">y</a><!--SERIAL 8-->`))
	fuzzList(f, 1)
}

// fuzzList checks that the size of the reads makes no difference, and that what
// is read is read again.
func fuzzList(f *testing.F, form int) {
	f.Fuzz(func(t *testing.T, body []byte) {
		read := func(r io.Reader) (list []ListEntry, sum ListSummary, err error) {
			sum, err = listForms[form].decode(r, func(e ListEntry) error {
				if n, err := ParseName(string(e.Name)); err != nil || n != e.Name || e.Serial < 0 {
					t.Errorf("entry %v: %v", e, err)
				}
				list = append(list, e)
				return nil
			})
			return list, sum, err
		}
		list, sum, err := read(bytes.NewReader(body))
		slow, slowSum, slowErr := read(iotest.OneByteReader(bytes.NewReader(body)))
		if !slices.Equal(list, slow) || sum != slowSum || (err == nil) != (slowErr == nil) {
			t.Fatalf("byte by byte: %v %v %v, whole: %v %v %v", slow, slowSum, slowErr, list, sum, err)
		}
		if err != nil {
			if !errors.Is(err, ErrNotIndex) && !errors.Is(err, ErrVersion) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if sum.Projects != len(list) {
			t.Errorf("%d projects are counted, %d came", sum.Projects, len(list))
		}
		var page bytes.Buffer
		if err := WriteList(&page, listForms[form].form, sum.LastSerial, slices.Values(list)); err != nil {
			t.Fatal(err)
		}
		if list2, sum2, err := read(&page); err != nil || !slices.Equal(list, list2) || sum2.LastSerial != sum.LastSerial {
			t.Errorf("again: %v, %v", sum2, err)
		}
	})
}

// FuzzJSONReader compares the reader with encoding/json.
func FuzzJSONReader(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-0,0.5e+3,1E9,true,false,null,"\u00e4\ud83e\uddc0\ud800\n\"\\\/"]}`, `[`, `01`, `-`, `1.`, `"\x"`, `"\u12g4"`, ` "a" `,
		`{"a":1,}`, `[1,]`, `{"a"}`, `{1:2}`, `tru`, `nullx`, "\"\t\"", `"\ud800\u0041"`, `1e`, `[]]`, "\"\xff\"",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, r := range []*jsonReader{{buf: body}, {src: iotest.OneByteReader(bytes.NewReader(body))}} {
			err := r.skip()
			if err == nil {
				err = r.end()
			}
			if err != nil && strings.Contains(err.Error(), "nested too deeply") {
				return
			}
			if valid := json.Valid(body); valid != (err == nil) {
				t.Fatalf("%q: %v, encoding/json says %v", body, err, valid)
			}
		}
		var want string
		if !utf8.Valid(body) || len(bytes.TrimSpace(body)) == 0 || bytes.TrimSpace(body)[0] != '"' || json.Unmarshal(body, &want) != nil {
			return
		}
		r := &jsonReader{buf: body}
		if got, err := r.text(); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", body, got, err, want)
		}
	})
}

func FuzzNegotiate(f *testing.F) {
	f.Add("application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", "")
	f.Add("text/html;q=0,*/*", "application/vnd.pypi.simple.v1 json")
	f.Add("application/vnd.pypi.simple.latest+json;q=0.5,text/*;q=0.25,*/*;q=0.125", "")
	f.Fuzz(func(t *testing.T, accept, format string) {
		form, ok := Negotiate(accept, format)
		if form >= formCount || !ok && form != 0 {
			t.Fatalf("%v, %v", form, ok)
		}
		if ok {
			if again, ok := Negotiate(form.ContentType(), ""); !ok || again != form {
				t.Errorf("%v asked for by name gives %v", form, again)
			}
		}
		if strings.ContainsAny(accept, `"`) {
			return // a quote may hold commas
		}
		elements := strings.Split(accept, ",")
		slices.Reverse(elements)
		if turned, ok2 := Negotiate(strings.Join(elements, ","), format); turned != form || ok2 != ok {
			t.Errorf("order counts: %v, %v, reversed %v, %v", form, ok, turned, ok2)
		}
	})
}

package pypi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// withUnknown is a page with unknown keys everywhere.
func withUnknown() *Project {
	p := with(func(f *File) { f.Unknown = `"a\"b":[1, {"url":null}],"ü":"\u00fc"` })
	p.Unknown, p.InMeta = `"next":{"x":1.50}`, `"_rev":"7"`
	return p
}

// checkUnknown refuses unknown members that would spoil a page.
func checkUnknown(t *testing.T, u Unknown, known []string) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte("{"+u+"}"), &members); err != nil {
		t.Errorf("unknown are %s: %v", u, err)
	}
	for key := range members {
		if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, key) }) {
			t.Errorf("%q is known", key)
		}
	}
	if len(u) > maxUnknownOfProject {
		t.Errorf("unknown are %d bytes", len(u))
	}
}

// TestUnknownIsPassedOn: what is not known comes out as it came in.
func TestUnknownIsPassedOn(t *testing.T) {
	again(t, withUnknown(), AppendProjectJSON, DecodeProjectJSON)
	if page := AppendProjectHTML(nil, withUnknown(), nil); strings.Contains(string(page), "next") {
		t.Errorf("as HTML: %s", page)
	}
}

// TestUnknownIsNeverOurs: what is ours to say is not taken from unknown keys, however
// it is spelt, and of two with one key the first is kept.
func TestUnknownIsNeverOurs(t *testing.T) {
	body := `{"Meta":1,"FILES":[],"_notes":["x"],"_NOTES":[],"meta":{"api-version":"1.0","API-version":"9","_Last-Serial":4,"k":1,"k":2},
		"name":"frob","next":[ ],"files":[{"filename":"a.whl","url":"https://f.example/a.whl","URL":"https://evil.example/",
		"\u0055RL":"https://evil.example/","Hashes":{},"CORE-METADATA":true,"Provenance":"","Dist-Info-Metadata":{},"sizes" : { "a" : null }}]}`
	p, refused, err := DecodeProjectJSON([]byte(body), "frob", nil)
	if err != nil || len(refused) > 0 {
		t.Fatal(err, refused)
	}
	want := with(nil)
	want.Files = []File{{Filename: "a.whl", URL: "https://f.example/a.whl", Size: SizeUnknown, Unknown: `"sizes":{ "a" : null }`}}
	want.Unknown, want.InMeta = `"next":[ ]`, `"k":1`
	samePages(t, "page", want, p)
	got := string(AppendProjectJSON(nil, p, nil))
	for _, member := range []string{`,"k":1},"name"`, `,"next":[ ],"versions"`, `,"sizes":{ "a" : null }}]}`} {
		if !strings.Contains(got, member) {
			t.Errorf("%s is not in %s", member, got)
		}
	}
}

// TestUnknownIsBounded: unknown keys do not fill the memory, and what is left out is
// said once.
func TestUnknownIsBounded(t *testing.T) {
	entry := func(i, size int) string {
		return fmt.Sprintf(`{"filename":"a-%d.whl","url":"https://f.example/a","x":"%s"}`, i, strings.Repeat("x", size))
	}
	var many []string
	const one = maxUnknownOfFile - 100
	for i := range maxUnknownOfPage/one + 50 {
		many = append(many, entry(i, one))
	}
	for _, c := range []struct {
		what, body string
		files      int // that keep theirs
		refused    int
	}{
		{"within", jsonPageOf(entry(1, 100)), 1, 0},
		{"up to the bound", jsonPageOf(entry(1, maxUnknownOfFile-6)), 1, 0},
		{"beyond it", jsonPageOf(entry(1, maxUnknownOfFile-5) + "," + entry(2, 9)), 1, 1},
		{"not UTF-8", jsonPageOf(strings.Replace(entry(1, 8), "xxx", "x\xffx", 1)), 0, 1},
		{"escapes that grow", jsonPageOf(`{"filename":"a.whl","url":"https://f.example/a","` + strings.Repeat(`\n`, maxUnknownOfFile/2) + `":0}`), 0, 1},
		{"in all", jsonPageOf(strings.Join(many, ",")), maxUnknownOfPage / (one + 6), 1},
	} {
		p, refused, err := DecodeProjectJSON([]byte(c.body), "frob", nil)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		kept, size := 0, 0
		for i := range p.Files {
			if n := len(p.Files[i].Unknown); n > 0 {
				kept, size = kept+1, size+n
			}
		}
		if kept != c.files || len(refused) != c.refused || size > maxUnknownOfPage {
			t.Errorf("%s: %d files keep %d bytes, want %d files; refused %v", c.what, kept, size, c.files, refused)
		}
		again(t, p, AppendProjectJSON, DecodeProjectJSON)
	}
	large := `"x":"` + strings.Repeat("x", maxUnknownOfProject) + `"`
	p, refused, err := DecodeProjectJSON([]byte(`{"meta":{"api-version":"1.0",`+large+`},"name":"frob","files":[],`+large+`}`), "frob", nil)
	if err != nil || len(refused) != 1 || p.Unknown != "" || p.InMeta != "" {
		t.Errorf("a page keeps %d and %d bytes; %v, %v", len(p.Unknown), len(p.InMeta), refused, err)
	}
}

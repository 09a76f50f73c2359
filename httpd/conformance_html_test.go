package httpd_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// markup is what an HTML page says: its metas, its links with their attributes and
// texts, and its comments, in their order.
type markup struct {
	Doctype  string              `json:"doctype"`
	Metas    map[string]string   `json:"metas"`
	Links    []map[string]string `json:"links"` // attributes; the text under ""
	Comments []string            `json:"comments"`
	Scripts  int                 `json:"scripts"`
}

// parseHTML reads a page as a browser does.
func parseHTML(t *testing.T, page []byte) markup {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	m := markup{Metas: map[string]string{}, Links: []map[string]string{}, Comments: []string{}}
	for n := range root.Descendants() {
		attrs := make(map[string]string)
		for _, a := range n.Attr {
			attrs[a.Key] = a.Val
		}
		switch {
		case n.Type == html.DoctypeNode:
			m.Doctype = n.Data
		case n.Type == html.CommentNode:
			m.Comments = append(m.Comments, n.Data)
		case n.Type == html.ElementNode && n.Data == "meta" && attrs["name"] != "":
			m.Metas[attrs["name"]] = attrs["content"]
		case n.Type == html.ElementNode && n.Data == "script":
			m.Scripts++
		case n.Type == html.ElementNode && n.Data == "a":
			for inner := range n.Descendants() {
				if inner.Type == html.TextNode {
					attrs[""] += inner.Data
				}
			}
			m.Links = append(m.Links, attrs)
		}
	}
	return m
}

// readHTML is how installers read pages: pip with this very parser.
const readHTML = `
import html.parser, json, sys
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out = dict(doctype="", metas={}, links=[], comments=[], scripts=0)
        self.link = None
    def handle_decl(self, decl):
        self.out["doctype"] = decl.split()[-1].lower()
    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "meta" and attrs.get("name"):
            self.out["metas"][attrs["name"]] = attrs.get("content", "")
        if tag == "script":
            self.out["scripts"] += 1
        if tag == "a":
            self.link = attrs
            self.link[""] = ""
            self.out["links"].append(self.link)
    def handle_endtag(self, tag):
        if tag == "a":
            self.link = None
    def handle_data(self, data):
        if self.link is not None:
            self.link[""] += data
    def handle_comment(self, data):
        self.out["comments"].append(data)
page = Page()
page.feed(sys.stdin.buffer.read().decode())
page.close()
json.dump(page.out, sys.stdout)
`

// markup gets a page as HTML and has two parsers read it, which must agree.
func (s *shop) markup(path string) markup {
	s.t.Helper()
	a := s.get(path, typeHTML)
	if text := s.get(path, typeText); a.StatusCode != 200 || !bytes.Equal(a.body, text.body) {
		s.t.Fatalf("%s: %d, or the two HTML types differ", path, a.StatusCode)
	}
	m := parseHTML(s.t, a.body)
	python, err := exec.LookPath("python3")
	if err != nil {
		s.t.Log("there is no python3: the pages are read by one parser only")
		return m
	}
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), python, "-c", readHTML)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(a.body), &out, &complaints
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%v: %s", err, complaints.String())
	}
	var other markup
	if err := json.Unmarshal(out.Bytes(), &other); err != nil {
		s.t.Fatal(err)
	}
	if d := cmp.Diff(m, other); d != "" {
		s.t.Errorf("%s: Python's html.parser reads something else: %s", path, d)
	}
	return m
}

func TestConformanceHTMLPage(t *testing.T) {
	s := newShop(t)
	m := s.markup("/simple/holy-grail/")
	sha := func(name string) string { return "sha256=" + digestOf(name) }
	const wheel = "holy_grail-1.1-py3-none-any.whl"
	attr := func(i int, key string) string {
		if v, ok := m.Links[i][key]; ok {
			return v
		}
		return "absent"
	}
	for _, c := range []struct{ sentence, got, want string }{
		{"the page is HTML 5", m.Doctype, "html"},
		{"the version stands in a meta", m.Metas["pypi:repository-version"], "1.4"},
		{"the status stands in a meta", m.Metas["pypi:project-status"], "archived"},
		{"its reason stands in a meta, escaped", m.Metas["pypi:project-status-reason"], `"So long" & <thanks>`},
		{"the text of a link is the name of the file", attr(1, ""), wheel},
		{"the address resolves, and ends in the name and the digest as a fragment", resolve(t, "/simple/holy-grail/", attr(1, "href")), "/files/holy-grail/" + digestOf(wheel) + "/" + wheel},
		{"the digest is the fragment", attr(1, "href")[strings.IndexByte(attr(1, "href"), '#')+1:], sha(wheel)},
		{"data-requires-python is escaped", attr(1, "data-requires-python"), ">=3.9,<4"},
		{"it is left out where it is not stated", attr(0, "data-requires-python"), "absent"},
		{"data-core-metadata has the digest of the metadata", attr(1, "data-core-metadata"), sha(wheel + ".metadata")},
		{"data-dist-info-metadata has the same value", attr(1, "data-dist-info-metadata"), attr(1, "data-core-metadata")},
		{"without metadata there is neither", attr(0, "data-core-metadata") + attr(0, "data-dist-info-metadata"), "absentabsent"},
		{"data-yanked has the reason, escaped", attr(2, "data-yanked"), `It "breaks" <everything> & more`},
		{"data-yanked without a reason is empty", attr(3, "data-yanked"), ""},
		{"what is not yanked has no data-yanked", attr(0, "data-yanked"), "absent"},
		{"data-provenance is an absolute address over https", attr(1, "data-provenance"), "https://index.example.org/integrity/holy-grail/1.1/" + wheel + "/provenance"},
		{"no provenance: no data-provenance", attr(0, "data-provenance"), "absent"},
		{"the page ends with the serial", strings.Join(m.Comments, "|"), "SERIAL 42"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("%q, want %q", c.got, c.want)
			}
		})
	}
	if len(m.Links) != 4 || m.Scripts != 0 {
		t.Errorf("a link for each file and nothing else: %d, and %d scripts", len(m.Links), m.Scripts)
	}
	if page := s.get("/simple/holy-grail/", typeHTML).body; !bytes.HasSuffix(page, []byte("</html>\n<!--SERIAL 42-->\n")) {
		t.Errorf("the serial stands behind the end: %s", page[max(0, len(page)-40):])
	}
	bad := s.markup("/simple/bad/")
	if len(bad.Links) != 0 || bad.Metas["pypi:project-status"] != "quarantined" || bad.Metas["pypi:project-status-reason"] != "malware" {
		t.Errorf("a project in quarantine offers files, or does not say why: %+v", bad)
	}
	quiet := s.markup("/simple/quiet/")
	if _, stated := quiet.Metas["pypi:project-status"]; stated || len(quiet.Links) != 0 {
		t.Errorf("a project of which nothing is stated: %+v", quiet)
	}
}

func TestConformanceHTMLList(t *testing.T) {
	m := newShop(t).markup("/simple/")
	if m.Metas["pypi:repository-version"] != "1.4" || len(m.Links) != 3 || strings.Join(m.Comments, "|") != "SERIAL 43" {
		t.Fatalf("the list states the version, each project and the highest serial: %+v", m)
	}
	for _, link := range m.Links {
		if to := resolve(t, "/simple/", link["href"]); to != "/simple/"+link[""]+"/" {
			t.Errorf("%s leads to %s: the address is the name in its normal form, with a slash", link[""], to)
		}
	}
}

// TestConformanceFormsAgree holds that both forms list the same files with the same
// digests.
func TestConformanceFormsAgree(t *testing.T) {
	s := newShop(t)
	for name := range newLibrary().projects {
		path := "/simple/" + string(name) + "/"
		var fromJSON, fromHTML []string
		for _, f := range list(t, s.document(path), "files") {
			f := f.(map[string]any)
			fromJSON = append(fromJSON, f["filename"].(string)+" "+f["url"].(string)+"#sha256="+f["hashes"].(map[string]any)["sha256"].(string))
		}
		for _, l := range s.markup(path).Links {
			fromHTML = append(fromHTML, l[""]+" "+l["href"])
		}
		if d := cmp.Diff(fromJSON, fromHTML); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
}

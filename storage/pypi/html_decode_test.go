package pypi

import (
	"errors"
	"strings"
	"testing"
)

// portal is the kind of page that a hotel answers everything with.
const portal = `<!DOCTYPE html><html><head><title>Hotel Wi-Fi</title></head><body><h1>Welcome</h1>
<p>Please log in to go to http://pypi.org/simple/frob/</p>
<form action="/login" method="post"><input name="room"><input type="submit"></form>
<a href="/terms">Terms</a></body></html>`

func TestPagesThatAreNoIndex(t *testing.T) {
	tests := []struct {
		name, body string
		want       error
	}{
		{"nothing", "", ErrTruncated},
		{"blanks", " \n", ErrTruncated},
		{"login", portal, ErrNotIndex},
		{"login without a form", `<html><body>You are offline. <a href="http://portal.example/">Go on</a></body></html>`, ErrNotIndex},
		{"login behind an image", `<html><body><a href="http://portal.example/"><img src="x.png"></a></body></html>`, ErrNotIndex},
		{"redirect by meta", `<html><head><meta http-equiv="Refresh" content="0;url=http://portal.example/"></head><body></body></html>`, ErrNotIndex},
		{"redirect by script", `<html><body><script>location="http://portal.example/"</script></body></html>`, ErrNotIndex},
		{"frame", `<html><body><iframe src="http://portal.example/"></iframe></body></html>`, ErrNotIndex},
		{"error page with status 200", `<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>`, ErrNotIndex},
		{"portal with a download", `<html><body><form></form><a href="/agent-setup.exe">Install the agent</a> <a href="/ca.zip">CA</a></body></html>`, ErrNotIndex},
		{"portal with a download and no form", `<html><body>First install <a href="/agent.exe">the agent</a></body></html>`, ErrNotIndex},
		{"portal that names the page", `<html><head><title>Login</title></head><body>frob: <a href="/simple/frob/">retry</a></body></html>`, ErrNotIndex},
		{"text", "Service unavailable", ErrNotIndex},
		{"JSON", jsonPageOf(goodEntry), ErrNotIndex},
		{"version 2", `<html><head><meta name="pypi:repository-version" content="2.0"></head></html>`, ErrVersion},
		{"version that is none", `<html><head><meta name="pypi:repository-version" content="new"></head></html>`, ErrVersion},
		{"cut in a tag", `<html><body><a href="frob-1.0.tar.gz">frob-1.0.tar.gz</a><a href="frob-1.`, ErrTruncated},
		{"cut in a link", `<body><a href="frob-1.0.tar.gz">frob-1.0.ta`, ErrTruncated},
		{"cut between links", `<html><body><a href="frob-1.0.tar.gz">frob-1.0.tar.gz</a>`, ErrTruncated},
		{"cut in the serial", `<html><body><a href="frob-1.0.tar.gz">frob-1.0.tar.gz</a></body></html><!--SERIAL 12`, ErrTruncated},
		{"endless tag", `<html><a href="` + strings.Repeat("x", 2<<20) + `">`, ErrNotIndex},
	}
	for _, tc := range tests {
		p, _, err := DecodeProjectHTML([]byte(tc.body), "frob", mustURL(t, "https://index.example/simple/frob/"))
		if p != nil || !errors.Is(err, tc.want) || errors.Is(err, ErrTruncated) != (tc.want == ErrTruncated) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestEmptyPagesOfAnIndex(t *testing.T) {
	for name, body := range map[string]string{
		"bare":              `<!DOCTYPE html><html><body></body></html>`,
		"with the version":  `<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0"></head><body>No files, sorry. <form></form></body></html>`,
		"PyPI's of old":     `<!DOCTYPE html><html><head><title>Links for Frob</title></head><body><h1>Links for Frob</h1></body></html>`,
		"with a form":       `<html><head><title>root/pypi: links for frob</title></head><body><h1>root/pypi: links for frob</h1><form><input type="submit" name="refresh"></form></body></html>`,
		"name as title":     `<html><head><title>frob</title></head><body><h1>frob</h1><p>Files:</p></body></html>`,
		"directory listing": `<html><head><title>Index of /simple/frob/</title></head><body><h1>Index of /simple/frob/</h1><pre><a href="?C=N">Name</a> <a href="../">../</a></pre></body></html>`,
		"only a way up":     `<html><body><a href="/simple/">..</a></body></html>`,
		"no root element":   `<!DOCTYPE html><title>Links for frob</title>`,
	} {
		p, refused, err := DecodeProjectHTML([]byte(body), "frob", mustURL(t, "https://index.example/simple/frob/"))
		if err != nil || len(p.Files) > 0 || len(refused) > 0 {
			t.Errorf("%s: %v, %v, %v", name, err, p, refused)
		}
	}
}

// links decodes a page that has nothing but these links.
func links(t *testing.T, anchors string) (*Project, []Refusal) {
	t.Helper()
	p, refused, err := DecodeProjectHTML([]byte("<!DOCTYPE html>"+anchors), "frob", mustURL(t, "https://index.example/simple/frob/"))
	if err != nil {
		t.Fatalf("%s: %v", anchors, err)
	}
	return p, refused
}

func TestLinksAsIndexesWriteThem(t *testing.T) {
	tests := []struct {
		anchor string
		want   func(*File)
	}{
		{`<a href="https://f.example/frob-1.0.tar.gz">frob-1.0.tar.gz</a>`, nil},
		{`<A HREF = 'https://f.example/frob-1.0.tar.gz' >frob-1.0.tar.gz</A >`, nil},
		{`<a href=https://f.example/frob-1.0.tar.gz>frob-1.0.tar.gz</a>`, nil},
		{`<a href=" https://f.example/frob-1.0.tar.gz ">frob-1.0.t..&gt;</a>`, nil},
		{`<a href="https://f.example/frob-1.0.tar.gz">Download <b>here</b></a>`, nil},
		{`<a href="https://f.example/frob-1.0.tar.gz">one<a name="x"></a>`, nil},
		{`<a href="https://f.example/frob%2D1.0.tar.gz">frob-1.0.tar.gz</a>`, func(f *File) { f.URL = "https://f.example/frob%2D1.0.tar.gz" }},
		{`<a href="https://f.example/get?id=7">frob-1.0.tar.gz</a>`, func(f *File) { f.URL = "https://f.example/get?id=7" }},
		{`<a href="https://f.example/frob-1.0.tar.gz?x=1&amp;y=2">frob-1.0.tar.gz</a>`, func(f *File) { f.URL += "?x=1&y=2" }},
		{`<a href="../../p/frob-1.0.tar.gz#md5=` + md5A + `">frob-1.0.tar.gz</a>`, func(f *File) {
			f.URL, f.Hashes = "https://index.example/p/frob-1.0.tar.gz", Hashes{{"md5", md5A}}
		}},
		{`<a href="https://f.example/frob-1.0.tar.gz#egg=frob&amp;sha256=` + sumA + `">x</a>`, func(f *File) { f.Hashes = Hashes{{"sha256", sumA}} }},
		{`<a href="https://f.example/frob-1.0.tar.gz#egg=frob-1.0">x</a>`, nil},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-requires-python="&gt;=3.6, &lt;4">x</a>`, func(f *File) { f.RequiresPython = ">=3.6, <4" }},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-yanked>x</a>`, func(f *File) { f.Yanked.Is = true }},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-yanked="">x</a>`, func(f *File) { f.Yanked.Is = true }},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-yanked="a &amp;amp; b">x</a>`, func(f *File) { f.Yanked = Yanked{true, "a &amp; b"} }},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-gpg-sig="maybe">x</a>`, nil},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-core-metadata="true">x</a>`, func(f *File) { f.CoreMetadata.Available = true }},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-core-metadata="false">x</a>`, nil},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-dist-info-metadata="sha256=` + sumA + `">x</a>`, func(f *File) { f.CoreMetadata = CoreMetadata{true, Hashes{{"sha256", sumA}}} }},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-dist-info-metadata="rubbish" data-core-metadata="sha256=` + sumB + `">x</a>`, func(f *File) { f.CoreMetadata = CoreMetadata{true, Hashes{{"sha256", sumB}}} }},
		{`<a href="https://f.example/frob-1.0.tar.gz" data-provenance="https://p.example/x" href="https://evil.example/">x</a>`, func(f *File) { f.Provenance = "https://p.example/x" }},
		{`<base href="https://f.example/deep/er/"><base href="https://evil.example/"><a href="../../frob-1.0.tar.gz">x</a>`, nil},
		{`<base href="//f.example/"><a href="frob-1.0.tar.gz">x</a>`, nil},
	}
	for _, tc := range tests {
		want := &Project{Name: "frob", Files: []File{{Filename: "frob-1.0.tar.gz", URL: "https://f.example/frob-1.0.tar.gz", Size: SizeUnknown}}}
		if tc.want != nil {
			tc.want(&want.Files[0])
		}
		got, refused := links(t, tc.anchor)
		if len(refused) > 0 {
			t.Errorf("%s: refused %v", tc.anchor, refused)
		}
		samePages(t, tc.anchor, want, got)
	}
}

func TestHostileLinksAreLeftOut(t *testing.T) {
	const good = `<a href="frob-9.tar.gz">frob-9.tar.gz</a>`
	for _, tc := range []struct{ anchor, mention string }{
		{`<a href="https://f.example/..%2f..%2fetc%2ffrob.whl">x</a>`, "begins with a dot"},
		{`<a href="https://f.example/a%2ffrob.whl">x</a>`, "contains a path"},
		{`<a href="https://f.example/get">a/../../frob.whl</a>`, "contains a path"},
		{`<a href="https://f.example/frob%0a.whl">x</a>`, "control"},
		{`<a href="https://f.example/frob%ff.whl">x</a>`, "UTF-8"},
		{`<a href="ftp://f.example/frob-1.whl">x</a>`, "scheme"},
		{`<a href="javascript:alert(1)//frob-1.whl">x</a>`, "scheme"},
		{`<a href="https://user:secret@f.example/frob-1.whl">x</a>`, "user name"},
		{`<a href="frob-1.whl#sha256=abcd">x</a>`, "want 32"},
		{`<a href="frob-1.whl#sha256=">x</a>`, "sha256"},
		{`<a href="frob-1.whl#sha256=` + sumA + `&amp;sha256=` + sumB + `">x</a>`, "twice"},
		{`<a href="frob-1.whl" data-core-metadata="sha256=1234">x</a>`, "core-metadata"},
		{`<a href="frob-1.whl" data-core-metadata="rubbish">x</a>`, "core-metadata"},
		{`<a href="frob-1.whl" data-requires-python="&#27;[31m">x</a>`, "control"},
		{`<a href="frob-1.whl" data-provenance="javascript:x">x</a>`, "provenance"},
		{`<a href="frob-9.tar.gz#sha256=` + sumA + `">again</a>`, "twice"},
		{`<base href="javascript:x">`, "base"},
	} {
		p, refused := links(t, good+tc.anchor)
		if len(p.Files) != 1 || p.Files[0].URL != "https://index.example/simple/frob/frob-9.tar.gz" {
			t.Errorf("%s: kept %v", tc.anchor, p.Files)
		}
		if len(refused) != 1 || !strings.Contains(refused[0].Reason, tc.mention) || strings.Contains(refused[0].Reason, "secret") {
			t.Errorf("%s: refused %q, want mention of %q", tc.anchor, refused, tc.mention)
		}
	}
}

// TestOtherLinksAreIgnored: pages may hold links that are no files (PEP 503).
func TestOtherLinksAreIgnored(t *testing.T) {
	p, refused := links(t, `<a href="frob-9.tar.gz">frob-9.tar.gz</a> <a href="../">..</a> <a href="/about.html">About</a>
		<a href="frob-9.tar.gz.asc">signature</a> <a name="top">top</a> <a href="https://frob.whl">home</a>
		<!-- <a href="frob-8.tar.gz">gone</a> --> <script>"<a href='frob-7.tar.gz'>x</a>"</script>`)
	if len(p.Files) != 1 || len(refused) > 0 {
		t.Errorf("%v, refused %v", p.Files, refused)
	}
	// A digest or a data attribute makes a file of any link.
	p, refused = links(t, `<a href="NOTES#sha256=`+sumA+`">NOTES</a><a href="data" data-gpg-sig="true">data</a>`)
	if len(p.Files) != 2 || len(refused) > 0 {
		t.Errorf("%v, refused %v", p.Files, refused)
	}
}

func TestSerialOfAPage(t *testing.T) {
	for trailer, want := range map[string]int64{
		"<!--SERIAL 42-->": 42, "<!-- SERIAL 42 -->": 42, "<!--SERIAL -1-->": 0, "<!--SERIAL x-->": 0, "<!--serial 7-->": 0,
		"<!--SERIAL 99999999999999999999-->": 0, "<!--SERIAL 42--!>": 42, "": 0,
	} {
		if p, _ := links(t, "<html></html>"+trailer); p.LastSerial != want {
			t.Errorf("%s: %d", trailer, p.LastSerial)
		}
	}
}

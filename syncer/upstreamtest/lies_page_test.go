package upstreamtest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestFlipByte(t *testing.T) {
	for offset, at := range map[int64]int{0: 0, 5000: 5000, -1: -1, 1 << 40: -1} {
		_, _, url, content := lied(t, FlipByte(offset), 0)
		if at < 0 {
			at += len(content)
		}
		want := bytes.Clone(content)
		want[at] ^= 0xff
		if a := get(t, url); a.length != int64(len(content)) || !bytes.Equal(a.body, want) {
			t.Errorf("%d: another byte is wrong, or none", offset)
		}
		part := get(t, url, "Range", "bytes="+itoa(at)+"-"+itoa(at))
		if len(part.body) != 1 || part.body[0] != want[at] {
			t.Errorf("%d: the range has %v", offset, part.body)
		}
		if content[at] == want[at] {
			t.Errorf("%d: the index itself was changed", offset)
		}
	}
}

func TestResize(t *testing.T) {
	for _, by := range []int{-1000, 1000} {
		server, _, url, content := lied(t, Resize(int64(by)), 0)
		want := append(bytes.Clone(content), make([]byte, 1000)...)[:len(content)+by]
		if a := get(t, url); a.length != int64(len(want)) || a.err != nil || !bytes.Equal(a.body, want) {
			t.Errorf("%d: length %d, %d bytes, %v", by, a.length, len(a.body), a.err)
		}
		a := get(t, url, "Range", "bytes=90000-")
		if !bytes.Equal(a.body, want[90000:]) || !strings.HasSuffix(a.header.Get("Content-Range"), "/"+itoa(len(want))) {
			t.Errorf("%d: %d bytes, %v", by, len(a.body), a.header)
		}
		server.Tell(OnFile("brie"), WithoutLength(), 0)
		if a := get(t, url); a.length != -1 || a.err != nil || !bytes.Equal(a.body, want) {
			t.Errorf("%d without length: %d, %d bytes, %v", by, a.length, len(a.body), a.err)
		}
	}
}

func TestChangeETag(t *testing.T) {
	for _, honour := range []bool{true, false} {
		_, _, url, content := lied(t, ChangeETag(honour), 0)
		first := get(t, url, "Range", "bytes=0-99")
		second := get(t, url, "Range", "bytes=100-199", "If-Range", first.header.Get("ETag"))
		status, size := 206, 100
		if honour {
			status, size = 200, len(content)
		}
		if first.header.Get("ETag") == second.header.Get("ETag") || second.status != status || len(second.body) != size {
			t.Errorf("honour %t: %d, %d bytes, %v", honour, second.status, len(second.body), second.header)
		}
	}
}

func TestLiesAboutContent(t *testing.T) {
	server, told, url, content := lied(t, WrongType("text/html"), 1)
	if a := get(t, url); a.header.Get("Content-Type") != "text/html" || !bytes.Equal(a.body, content) || told.Count() != 1 {
		t.Errorf("type: %v", a.header)
	}
	server.Tell(OnFile("brie"), NoETag(), 1)
	if a := get(t, url); a.header.Get("ETag") != "" || a.header.Get("Last-Modified") == "" {
		t.Errorf("no etag: %v", a.header)
	}
	page := server.IndexURL() + "brie/"
	honest := get(t, page, "Accept", typeJSON)
	tag := honest.header.Get("ETag")
	for _, lie := range []Lie{Garbage(), Half()} {
		server.Tell(OnPage("brie"), lie, 1)
		a := get(t, page, "Accept", typeJSON, "If-None-Match", tag)
		if a.status != 200 || a.err != nil || json.Valid(a.body) || a.header.Get("Content-Type") != typeJSON || a.header.Get("ETag") == tag {
			t.Errorf("%s: %d, %v, %.80s", lie.Name, a.status, a.header, a.body)
		}
		if lie.Name == "half" && !bytes.Equal(a.body, honest.body[:len(honest.body)/2]) {
			t.Errorf("half: %d of %d bytes", len(a.body), len(honest.body))
		}
	}
	server.Tell(OnPage("brie"), WrongType("application/octet-stream"), 1)
	if a := get(t, page, "Accept", typeJSON); a.header.Get("Content-Type") != "application/octet-stream" || !json.Valid(a.body) {
		t.Errorf("type of a page: %v", a.header)
	}
	server.Tell(OnPage("brie"), HTMLAsJSON(), 1)
	if a := get(t, page, "Accept", typeJSON); a.header.Get("Content-Type") != typeJSON || !bytes.HasPrefix(a.body, []byte("<!DOCTYPE")) {
		t.Errorf("html as json: %v, %.40s", a.header, a.body)
	}
}

// TestPageLies has every lie about a page told once, against the ETag of the
// honest page, which no lie may hide behind.
func TestPageLies(t *testing.T) {
	server := start(t, SampleIndex(1))
	url := server.IndexURL() + "cheddar/"
	honest := readPage(t, url)
	tag := get(t, url, "Accept", typeJSON).header.Get("ETag")
	for _, c := range []struct {
		lie   Lie
		holds func(wire) bool
	}{
		{Quarantined("malware"), func(p wire) bool {
			return p.Status.Status == "quarantined" && p.Status.Reason == "malware" && len(p.Files) == 0 && p.Files != nil
		}},
		{EmptyPage(), func(p wire) bool { return p.Status.Status == "active" && len(p.Files) == 0 && p.Name == "cheddar" }},
		{Stale(3), func(p wire) bool {
			return p.Meta.LastSerial == honest.Meta.LastSerial-3*serialStep && len(p.Files) == 7
		}},
		{Stale(1000), func(p wire) bool { return len(p.Files) == 1 && p.Files[0].Filename == "cheddar-0.9.0-py3-none-any.whl" }},
		{APIVersion("2.0"), func(p wire) bool { return p.Meta.APIVersion == "2.0" && len(p.Files) == 10 }},
		{WrongHashes(), func(p wire) bool {
			return p.Files[0].Hashes["sha256"] != honest.Files[0].Hashes["sha256"] && len(p.Files[0].Hashes["sha256"]) == 64
		}},
		{WrongMetadataHashes(), func(p wire) bool {
			return p.Files[0].CoreMetadata.(map[string]any)["sha256"] != honest.Files[0].CoreMetadata.(map[string]any)["sha256"] &&
				p.Files[0].Hashes["sha256"] == honest.Files[0].Hashes["sha256"]
		}},
		{WrongSizes(-7), func(p wire) bool { return *p.Files[0].Size == *honest.Files[0].Size-7 }},
		{FilesOn("http://localhost:9"), func(p wire) bool { return strings.HasPrefix(p.Files[0].URL, "http://localhost:9/packages/") }},
	} {
		server.Tell(OnPage("cheddar"), c.lie, 1)
		a := get(t, url, "Accept", typeJSON, "If-None-Match", tag)
		var p wire
		if err := json.Unmarshal(a.body, &p); err != nil || !c.holds(p) {
			t.Errorf("%s: %d, %v: %.200s", c.lie.Name, a.status, err, a.body)
		}
		if a.header.Get("X-PyPI-Last-Serial") != strconv.FormatInt(p.Meta.LastSerial, 10) {
			t.Errorf("%s: header %q, page %d", c.lie.Name, a.header.Get("X-PyPI-Last-Serial"), p.Meta.LastSerial)
		}
		if a := get(t, url, "Accept", typeJSON, "If-None-Match", tag); a.status != 304 {
			t.Errorf("%s: it was told again: %d", c.lie.Name, a.status)
		}
	}
}

func TestHostile(t *testing.T) {
	server := start(t, SampleIndex(1))
	server.Tell(OnAll(), Hostile(), 0)
	p := readPage(t, server.IndexURL()+"cheddar/")
	bad := HostileFilenames("cheddar")
	var names, urls []string
	negative := false
	for _, f := range p.Files {
		names, urls = append(names, f.Filename), append(urls, f.URL)
		negative = negative || *f.Size < 0
	}
	if len(p.Files) != 10+len(bad) || !slices.Equal(names[:len(bad)], bad) || !negative {
		t.Errorf("names: %.300q", names)
	}
	if !strings.HasPrefix(names[0], "../../../../etc/") || !slices.Contains(urls, "javascript:alert(1)") {
		t.Errorf("names %.60q, URLs %q", names[:2], urls)
	}
	if !slices.Contains(names, "cheddar-1.2.0-py3-none-any.whl") {
		t.Error("the honest files are gone")
	}
	root := readPage(t, server.IndexURL())
	if len(root.Projects) != 14+7 || root.Projects[14].Name != "../../etc" {
		t.Errorf("root: %d projects", len(root.Projects))
	}
	for _, u := range []string{"cheddar/", ""} {
		if a := get(t, server.IndexURL()+u, "Accept", typeHTML); a.status != 200 || !bytes.Contains(a.body, []byte("../../")) {
			t.Errorf("HTML %q: %d", u, a.status)
		}
	}
}

func TestRemovedProjectStaysInAStaleCache(t *testing.T) {
	index, name, _ := small(t)
	server := start(t, index)
	before := index.Serial()
	url, file := server.IndexURL()+"brie/", server.FileURL(name)
	must(t, index.RemoveProject("brie"))
	if a := get(t, url); a.status != 404 {
		t.Errorf("removed: %d", a.status)
	}
	server.Tell(OnPage("brie"), Stale(1), 0)
	if p := readPage(t, url); p.Meta.LastSerial != before || p.Files[0].URL != file {
		t.Errorf("stale: %+v", p)
	}
	if a := get(t, file); a.status != 404 {
		t.Errorf("the file of a removed project: %d", a.status)
	}
}

func TestMetadataThatIsPromisedAndAbsent(t *testing.T) {
	index, name, _ := small(t)
	server := start(t, index)
	server.Tell(OnMetadata(name), Status(404, ""), 0)
	if f := readPage(t, server.IndexURL()+"brie/").Files[0]; f.CoreMetadata == false {
		t.Error("the page does not promise it")
	}
	if a := get(t, server.FileURL(name)+".metadata"); a.status != 404 {
		t.Errorf("status %d", a.status)
	}
	if a := get(t, server.FileURL(name)); a.status != 200 {
		t.Errorf("the file itself: %d", a.status)
	}
}

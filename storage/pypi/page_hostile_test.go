package pypi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// jsonPageOf wraps entries into a page.
func jsonPageOf(files string) string {
	return `{"meta":{"api-version":"1.1"},"name":"Frob","files":[` + files + `]}`
}

const goodEntry = `{"filename":"frob-9.tar.gz","url":"https://f.example/frob-9.tar.gz","hashes":{}}`

// hostileEntries are left out, and the sound entry beside them stays. Each says
// what its refusal must mention.
var hostileEntries = []struct{ entry, mention string }{
	{`{"filename":"../../etc/passwd","url":"https://f.example/a","hashes":{}}`, "begins with a dot"},
	{`{"filename":"a/b.whl","url":"https://f.example/a","hashes":{}}`, "contains a path"},
	{`{"filename":"a\\b.whl","url":"https://f.example/a","hashes":{}}`, "contains a path"},
	{`{"filename":"c:b.whl","url":"https://f.example/a","hashes":{}}`, "contains a path"},
	{`{"filename":".hidden.whl","url":"https://f.example/a","hashes":{}}`, "dot"},
	{`{"filename":"","url":"https://f.example/a","hashes":{}}`, "empty"},
	{`{"url":"https://f.example/a","hashes":{}}`, "empty"},
	{`{"filename":null,"url":"https://f.example/a","hashes":{}}`, "empty"},
	{`{"filename":7,"url":"https://f.example/a","hashes":{}}`, "not a string"},
	{`{"filename":"a\u0000b.whl","url":"https://f.example/a","hashes":{}}`, "control"},
	{`{"filename":"a\nb.whl","url":"https://f.example/a","hashes":{}}`, "control"},
	{"{\"filename\":\"a\xffb.whl\",\"url\":\"https://f.example/a\",\"hashes\":{}}", "UTF-8"},
	{`{"filename":"` + strings.Repeat("x", 300) + `","url":"https://f.example/a","hashes":{}}`, "longer than"},
	{`{"filename":"a.whl","hashes":{}}`, "URL: there is none"},
	{`{"filename":"a.whl","url":"#sha256=00","hashes":{}}`, "URL: there is none"},
	{`{"filename":"a.whl","url":{},"hashes":{}}`, "url: not a string"},
	{`{"filename":"a.whl","url":"ftp://f.example/a","hashes":{}}`, "scheme"},
	{`{"filename":"a.whl","url":"file:///etc/passwd","hashes":{}}`, "scheme"},
	{`{"filename":"a.whl","url":"javascript:alert(1)","hashes":{}}`, "scheme"},
	{`{"filename":"a.whl","url":"data:text/plain,x","hashes":{}}`, "scheme"},
	{`{"filename":"a.whl","url":"https:opaque","hashes":{}}`, "no host"},
	{`{"filename":"a.whl","url":"https:///a.whl","hashes":{}}`, "no host"},
	{`{"filename":"a.whl","url":"https://:80/a.whl","hashes":{}}`, "no host"},
	{`{"filename":"a.whl","url":"https://user:secret@f.example/a","hashes":{}}`, "user name"},
	{`{"filename":"a.whl","url":"//user@f.example/a","hashes":{}}`, "user name"},
	{`{"filename":"a.whl","url":"https://user:sec ret@f.example/a\u0001","hashes":{}}`, "URL"},
	{`{"filename":"a.whl","url":"https://f.example/a\u000ab","hashes":{}}`, "control"},
	{`{"filename":"a.whl","url":"https://f.example/%zz","hashes":{}}`, "escape"},
	{`{"filename":"a.whl","url":"https://f.example/` + strings.Repeat("x", 5000) + `","hashes":{}}`, "longer than"},
	{`{"filename":"a.whl","url":"a","hashes":{"sha256":"abcd"}}`, "2 bytes, want 32"},
	{`{"filename":"a.whl","url":"a","hashes":{"sha256":"` + strings.Repeat("z", 64) + `"}}`, "sha256"},
	{`{"filename":"a.whl","url":"a","hashes":{"md5":"` + sumA + `"}}`, "want 16"},
	{`{"filename":"a.whl","url":"a","hashes":{"../x":"abcd"}}`, "not the name of an algorithm"},
	{`{"filename":"a.whl","url":"a","hashes":{"sha256":7}}`, "not a string"},
	{`{"filename":"a.whl","url":"a","hashes":[]}`, "not an object"},
	{`{"filename":"a.whl","url":"a","hashes":{"sha256":"` + sumA + `","SHA256":"` + sumB + `"}}`, "twice"},
	{`{"filename":"a.whl","url":"a","core-metadata":{"sha256":"00"}}`, "core-metadata"},
	{`{"filename":"a.whl","url":"a","core-metadata":"yes"}`, "core-metadata"},
	{`{"filename":"a.whl","url":"a","dist-info-metadata":[]}`, "core-metadata"},
	{`{"filename":"a.whl","url":"a","size":-1}`, "size"},
	{`{"filename":"a.whl","url":"a","size":1.5}`, "size"},
	{`{"filename":"a.whl","url":"a","size":1e3}`, "size"},
	{`{"filename":"a.whl","url":"a","size":"12"}`, "size"},
	{`{"filename":"a.whl","url":"a","size":1099511627777}`, "size"},
	{`{"filename":"a.whl","url":"a","size":99999999999999999999999999}`, "size"},
	{`{"filename":"a.whl","url":"a","gpg-sig":"true"}`, "gpg-sig"},
	{`{"filename":"a.whl","url":"a","yanked":1}`, "yanked"},
	{`{"filename":"a.whl","url":"a","yanked":"\u0007"}`, "yanked"},
	{`{"filename":"a.whl","url":"a","requires-python":["3"]}`, "requires-python"},
	{`{"filename":"a.whl","url":"a","requires-python":">=3\u001b[31m"}`, "control"},
	{`{"filename":"a.whl","url":"a","upload-time":"yesterday"}`, "upload-time"},
	{`{"filename":"a.whl","url":"a","upload-time":"2023-02-29T00:00:00Z"}`, "upload-time"},
	{`{"filename":"a.whl","url":"a","upload-time":17}`, "upload-time"},
	{`{"filename":"a.whl","url":"a","provenance":"javascript:x"}`, "provenance"},
	{`{"filename":"a.whl","url":"a","provenance":true}`, "provenance"},
	{`"frob-1.0.tar.gz"`, "not an object"},
	{`null`, "not an object"},
	{`[[]]`, "not an object"},
}

func TestHostileEntriesAreLeftOut(t *testing.T) {
	base := mustURL(t, "https://reader:hunter2@index.example/simple/frob/")
	for _, tc := range hostileEntries {
		p, refused, err := DecodeProjectJSON([]byte(jsonPageOf(tc.entry+","+goodEntry)), "frob", base)
		if err != nil {
			t.Errorf("%s: the page is refused: %v", tc.entry, err)
			continue
		}
		if len(p.Files) != 1 || p.Files[0].Filename != "frob-9.tar.gz" {
			t.Errorf("%.200s: kept %v", tc.entry, p.Files)
		}
		if len(refused) != 1 || !strings.Contains(refused[0].Reason, tc.mention) {
			t.Errorf("%.200s: refused %v, want mention of %q", tc.entry, refused, tc.mention)
			continue
		}
		if strings.Contains(refused[0].Reason, "sec") {
			t.Errorf("%s: the refusal repeats a password: %s", tc.entry, refused[0].Reason)
		}
		if len(refused[0].Filename) > maxRefusalName || len(refused[0].Reason) > 600 {
			t.Errorf("the refusal is too long: %v", refused[0])
		}
	}
}

func TestOddButSoundEntries(t *testing.T) {
	base := mustURL(t, "https://reader:hunter2@index.example/simple/frob/?page=1#top")
	tests := []struct {
		entry string
		want  func(*File)
	}{
		{`"url":"https://f.example/a.whl#sha256=` + sumB + `"`, nil},
		{`"url":"../../files/a.whl"`, func(f *File) { f.URL = "https://index.example/files/a.whl" }},
		{`"url":"a.whl"`, func(f *File) { f.URL = "https://index.example/simple/frob/a.whl" }},
		{`"url":"//f.example/a.whl"`, nil},
		{`"url":"https://f.example/x/../a.whl"`, nil},
		{`"url":"HTTPS://f.example/a.whl"`, nil},
		{`"url":"http://f.example:8080/ü b.whl?q=ü\"<"`, func(f *File) { f.URL = `http://f.example:8080/%C3%BC%20b.whl?q=%C3%BC"<` }},
		{`"url":"https://f.example/a.whl","size":null,"yanked":null,"upload-time":null,"provenance":null,"hashes":null,
		  "requires-python":null,"core-metadata":null,"dist-info-metadata":null,"gpg-sig":null`, nil},
		{`"url":"https://f.example/a.whl","hashes":{"sha256":null,"md5":"` + strings.ToUpper(md5A) + `"}`, func(f *File) { f.Hashes = Hashes{{"md5", md5A}} }},
		{`"url":"https://f.example/a.whl","_private":{"a":[1,{"b":"\ud83e\uddc0"}]},"new-key":-1.5e+10`, func(f *File) { f.Unknown = `"_private":{"a":[1,{"b":"\ud83e\uddc0"}]},"new-key":-1.5e+10` }},
		{`"url":"https://f.example/a.whl","upload-time":""`, nil},
		{`"url":"https://f.example/a.whl","upload-time":"2024-05-06T07:08:09.5Z"`, func(f *File) { f.UploadTime = time.Date(2024, 5, 6, 7, 8, 9, 5e8, time.UTC) }},
		{`"url":"https://f.example/a.whl","upload-time":"2024-05-06T07:08:09.123456789Z"`, func(f *File) { f.UploadTime = time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC) }},
		{`"url":"https://f.example/a.whl","upload-time":"2024-05-06T09:08:09+02:00"`, func(f *File) { f.UploadTime = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC) }},
		{`"url":"https://f.example/a.whl","upload-time":"2024-05-06 07:08:09"`, func(f *File) { f.UploadTime = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC) }},
		{`"url":"https://f.example/a.whl","yanked":""`, nil},
		{`"url":"https://f.example/a.whl","yanked":false`, nil},
		{`"url":"https://f.example/a.whl","yanked":"gr\u00fcn\n"`, func(f *File) { f.Yanked = Yanked{true, "grün\n"} }},
		{`"url":"https://f.example/a.whl","core-metadata":{}`, func(f *File) { f.CoreMetadata.Available = true }},
		{`"url":"https://f.example/a.whl","dist-info-metadata":true`, func(f *File) { f.CoreMetadata.Available = true }},
		{`"url":"https://f.example/a.whl","data-dist-info-metadata":{"sha256":"` + sumA + `"}`, func(f *File) { f.CoreMetadata = CoreMetadata{true, Hashes{{"sha256", sumA}}} }},
		{`"url":"https://f.example/a.whl","dist-info-metadata":true,"core-metadata":false`, nil},
		{`"url":"https://f.example/a.whl","core-metadata":{"sha256":"` + sumA + `"},"dist-info-metadata":"rubbish"`, func(f *File) { f.CoreMetadata = CoreMetadata{true, Hashes{{"sha256", sumA}}} }},
		{`"url":"https://f.example/a.whl","size":1099511627776`, func(f *File) { f.Size = MaxFileSize }},
		{`"url":"https://f.example/a.whl","provenance":"/integrity/a"`, func(f *File) { f.Provenance = "https://index.example/integrity/a" }},
	}
	for _, tc := range tests {
		want := &Project{Name: "frob", Files: []File{{Filename: "a.whl", URL: "https://f.example/a.whl", Size: SizeUnknown}}}
		if tc.want != nil {
			tc.want(&want.Files[0])
		}
		got, refused, err := DecodeProjectJSON([]byte(jsonPageOf(`{"filename":"a.whl",`+tc.entry+`}`)), "frob", base)
		if err != nil || len(refused) > 0 {
			t.Errorf("%s: %v, refused %v", tc.entry, err, refused)
			continue
		}
		samePages(t, tc.entry, want, got)
	}
}

func TestRepeatedNames(t *testing.T) {
	entry := func(sum, host string) string {
		hashes := ""
		if sum != "" {
			hashes = `"sha256":"` + sum + `"`
		}
		return fmt.Sprintf(`{"filename":"a.whl","url":"https://%s/a.whl","hashes":{%s}}`, host, hashes)
	}
	tests := []struct {
		name, first, second string
		refused             int
	}{
		{"same digest", entry(sumA, "x.example"), entry(sumA, "y.example"), 0},
		{"other digest", entry(sumA, "x.example"), entry(sumB, "x.example"), 1},
		{"digest lost", entry(sumA, "x.example"), entry("", "x.example"), 1},
		{"no digests, same place", entry("", "x.example"), entry("", "x.example"), 0},
		{"no digests, other place", entry("", "x.example"), entry("", "y.example"), 1},
	}
	for _, tc := range tests {
		p, refused, err := DecodeProjectJSON([]byte(jsonPageOf(tc.first+","+tc.second)), "frob", nil)
		if err != nil || len(p.Files) != 1 || len(refused) != tc.refused {
			t.Errorf("%s: %v, %d files, refused %v", tc.name, err, len(p.Files), refused)
			continue
		}
		if p.Files[0].URL != "https://x.example/a.whl" {
			t.Errorf("%s: the later one is kept", tc.name)
		}
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	body := jsonPageOf(strings.Repeat("0,", 5000) + goodEntry)
	p, refused, err := DecodeProjectJSON([]byte(body), "frob", nil)
	if err != nil || len(p.Files) != 1 {
		t.Fatal(err, p)
	}
	if len(refused) != maxRefusals+1 || refused[maxRefusals].Reason != "and 4000 more entries" {
		t.Errorf("%d refusals, the last %v", len(refused), refused[len(refused)-1])
	}
}

// TestPageLevelOddities: what is wrong outside the files is left out and named.
func TestPageLevelOddities(t *testing.T) {
	body := `{"name":"fRoB","meta":{"api-version":"1.99","_last-serial":"x","tracks":["https://a.example/","ftp://b/",3]},
		"versions":["1.0",2,"","2\u0000","3"],"alternate-locations":"https://a.example/",
		"project-status":{"status":"archived","reason":"\u0001","since":null},"files":[],"unknown":null}`
	p, refused, err := DecodeProjectJSON([]byte("\xef\xbb\xbf"+body), "frob", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Project{Name: "frob", Versions: []string{"1.0", "3"}, Status: Status{State: StatusArchived}, Tracks: []string{"https://a.example/"}, Unknown: `"unknown":null`}
	samePages(t, "page", want, p)
	if len(refused) != 7 {
		t.Errorf("refused %q", refused)
	}
	for _, r := range refused {
		if r.Filename != "" {
			t.Errorf("%v is no file", r)
		}
	}
}

var refusedPages = []struct {
	body string
	want error
}{
	{``, ErrTruncated},
	{`   `, ErrTruncated},
	{`{`, ErrTruncated},
	{jsonPageOf(goodEntry)[:90], ErrTruncated},
	{`{"meta":{"api-version":"1.0"},"name":"frob","files":[]`, ErrTruncated},
	{`{"meta":{"api-version":"1.0"},"name":"frob","files":[]}}`, ErrNotIndex},
	{`<!DOCTYPE html><html></html>`, ErrNotIndex},
	{`[]`, ErrNotIndex},
	{`"frob"`, ErrNotIndex},
	{`{}`, ErrNotIndex},
	{`{"error":"please log in"}`, ErrNotIndex},
	{`{'meta':1}`, ErrNotIndex},
	{`{"meta":{"api-version":"1.0"},"name":"frob","files":[01]}`, ErrNotIndex},
	{`{"meta":{"api-version":"1.0"},"name":"frob","files":[tru]}`, ErrNotIndex},
	{`{"meta":{"api-version":"1.0"},"name":"frob"}`, ErrNotIndex},
	{`{"meta":{"api-version":"1.0"},"name":"frob","files":null}`, ErrNotIndex},
	{`{"meta":{"api-version":"1.0"},"name":"frob","files":{}}`, ErrNotIndex},
	{`{"meta":{"api-version":"1.0"},"files":[]}`, ErrNotIndex},
	{`{"meta":{"api-version":"1.0"},"name":"frob","files":[],"files":[]}`, ErrNotIndex},
	{`{"meta":{"api-version":"1.0"},"name":"frob","files":[` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `]}`, ErrNotIndex},
	{`{"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":{},"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":null,"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":[],"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":{"api-version":1.0},"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":{"api-version":"1"},"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":{"api-version":"2.0"},"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":{"api-version":"10.0"},"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":{"api-version":"0.9"},"name":"frob","files":[]}`, ErrVersion},
	{`{"meta":{"api-version":"1.x"},"name":"frob","files":[]}`, ErrVersion},
	{`{"files":{"of":"a shape to come"},"meta":{"api-version":"2.0"},"name":"frob"}`, ErrVersion},
	{`{"meta":{"api-version":"1.0"},"name":"frob2","files":[]}`, ErrWrongProject},
	{`{"meta":{"api-version":"1.0"},"name":"../frob","files":[]}`, ErrWrongProject},
	{`{"meta":{"api-version":"1.0"},"name":7,"files":[]}`, ErrWrongProject},
}

func TestPagesThatAreRefusedWhole(t *testing.T) {
	all := []error{ErrNotIndex, ErrTruncated, ErrVersion, ErrWrongProject}
	for _, tc := range refusedPages {
		p, _, err := DecodeProjectJSON([]byte(tc.body), "frob", nil)
		if p != nil {
			t.Errorf("%.100s: a page came with the error", tc.body)
		}
		for _, e := range all {
			want := e == tc.want || e == ErrNotIndex && tc.want == ErrTruncated
			if errors.Is(err, e) != want {
				t.Errorf("%.100s: %v, want %v", tc.body, err, tc.want)
				break
			}
		}
	}
}

// TestPlainURLsAreWhatTheParserSays checks the short way against the long one.
func TestPlainURLsAreWhatTheParserSays(t *testing.T) {
	for _, s := range []string{
		"https://f.example/a.whl", "http://10.0.0.1:8080/a/b-c_d~e+f/x.tar.gz", "https://f.example/", "https://f.example//a//b/",
		"https://f.example", "https:///a", "https://:1/a", "https://f.example:/a", "https://f.example/./a", "https://f.example/../a",
		"https://f.example/.a", "https://F.example/a", "https://f.example/a%20b", "https://u@f.example/a", "https://f.example/a?b", "ftp://f/a",
	} {
		if !isPlainURL(s) {
			continue
		}
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.User != nil || (&url.URL{}).ResolveReference(u).String() != s {
			t.Errorf("%s is not plain: %v", s, err)
		}
	}
	if !isPlainURL("https://files.pythonhosted.org/packages/aa/bb/frob-1.0-py3-none-any.whl") {
		t.Error("the URLs of PyPI take the long way")
	}
}

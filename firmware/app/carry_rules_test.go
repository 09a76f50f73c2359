package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstreamtest"
)

// TestImportForAnIndex: what is carried here belongs to the index that the rules say,
// with a line and without. No other index hears of its name.
func TestImportForAnIndex(t *testing.T) {
	brie, content := built(t, wheelOf("brie", "1.0", 1))
	for _, online := range []bool{true, false} {
		server, _ := many(t, 1)
		corp, _ := many(t, 1)
		for public, w := range map[*upstreamtest.Server]upstreamtest.Wheel{server: wheelOf("brie", "9.0", 2), corp: wheelOf("brie", "1.0", 1)} {
			if _, err := public.Index.AddWheel(w); err != nil {
				t.Fatal(err)
			}
		}
		c := boxConfig(server, t.TempDir(), nil)
		c.Index = []config.Index{{Name: "corp", URL: corp.IndexURL(), Projects: []string{"brie"}}}
		if !online {
			c.Upstream.URL, c.Index[0].URL = "http://127.0.0.1:1/simple/", "http://127.0.0.1:1/corp/" // nobody is there
		}
		s := importBox(t, c, carried(t, map[string][]byte{brie: content}))
		if i := s.bringIn(); i.New != 1 || i.Left != 0 {
			t.Errorf("online %t: %s %+v", online, i, i.Refused)
		}
		if asked := server.Requests().On(upstreamtest.OnPage("brie")); len(asked) != 0 {
			t.Errorf("online %t: the default index was asked for %v", online, asked.Paths())
		}
		for _, front := range []string{"/simple/brie/", "/corp/simple/brie/"} { // one leads to the other
			if page := s.get(front); !strings.Contains(page, brie) || strings.Contains(page, "brie-9.0") {
				t.Errorf("online %t: %s: %s", online, front, page)
			}
		}
		if got := s.get("/corp" + filePath("brie", brie, content)); got != string(content) {
			t.Errorf("online %t: %d bytes of %d", online, len(got), len(content))
		}
		s.end()
	}
}

// TestImportFromAHostileStick: no file is read that is larger than any package, and
// nothing reaches a terminal that would move its cursor.
func TestImportFromAHostileStick(t *testing.T) {
	server, _ := many(t, 1)
	folder := carried(t, map[string][]byte{"\x1b[2Jblue/stilton-1.0.tar.gz": []byte("no archive"), "huge-1.0.tar.gz": nil})
	if err := os.Truncate(filepath.Join(folder, "sda1", "huge-1.0.tar.gz"), pypi.MaxFileSize+1); err != nil {
		t.Skip(err) // not even with a hole
	}
	c := boxConfig(server, t.TempDir(), nil)
	i := importBox(t, c, folder).bringIn()
	if i.Left != 2 || len(i.Refused) != 2 || !strings.Contains(reasons(i, "huge-1.0.tar.gz"), "which no package has") || reasons(i, "stilton-1.0.tar.gz") == "" {
		t.Errorf("%s %q", i, i.Refused)
	}
	for _, r := range i.Refused {
		if strings.ContainsRune(r.Filename+r.Reason, '\x1b') {
			t.Errorf("%q: %q", r.Filename, r.Reason)
		}
	}
}

// TestImportByTheRules: what would never be given out is refused, with the reason, and
// with what to do where only its age is not known. What is too young is taken.
func TestImportByTheRules(t *testing.T) {
	files := make(map[string][]byte)
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		filename, content := built(t, wheelOf("brie", version, 1))
		files[filename] = content
	}
	server, _ := many(t, 1)
	c := boxConfig(server, t.TempDir(), nil)
	url := c.Upstream.URL
	c.Upstream.URL = "http://127.0.0.1:1/simple/" // nobody is there
	c.Policy = config.Policy{MinAge: config.Duration(7 * 24 * time.Hour), Block: []string{"brie==1.1 # mouldy"}, Allow: []string{"brie==1.2 # mends a hole"}}
	folder := carried(t, files)
	s := importBox(t, c, folder)
	i := s.bringIn()
	if i.New != 1 || i.Left != 2 {
		t.Errorf("%s %+v", i, i.Refused)
	}
	if got := reasons(i, "brie-1.0-py3-none-any.whl"); !strings.Contains(got, "policy.min-age") || !strings.Contains(got, "policy.allow") {
		t.Errorf("of unknown age: %q", got)
	}
	if got := reasons(i, "brie-1.1-py3-none-any.whl"); !strings.Contains(got, "mouldy") || strings.Contains(got, "policy.allow") {
		t.Errorf("blocked: %q", got)
	}
	if page := s.get("/simple/brie/"); !strings.Contains(page, "brie-1.2-") || strings.Contains(page, "brie-1.0-") {
		t.Errorf("the page: %s", page)
	}
	s.end()

	for _, version := range []string{"1.0", "1.1", "1.2"} {
		filename, err := server.Index.AddWheel(wheelOf("brie", version, 1))
		if err == nil {
			err = server.Index.SetUploadTime("brie", filename, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Upstream.URL, c.Sync.Projects = url, []string{"brie"}
	s = importBox(t, c, folder)
	if err := s.Sync(t.Context(), app.SyncOptions{}, func(app.Event) {}); err != nil {
		t.Error(err)
	}
	if i := s.bringIn(); i.New != 1 || i.Here != 1 || i.Left != 1 {
		t.Errorf("with the index's word: %s %+v", i, i.Refused)
	}
}

package app_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer/upstreamtest"
)

// carried puts files on a stick, in a folder in which sticks are mounted.
func carried(t *testing.T, files map[string][]byte) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for path, content := range files {
		path = filepath.Join(folder, "sda1", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// importBox serves with a stick in it.
func importBox(t *testing.T, c app.Config, folder string) *served {
	t.Helper()
	c.Stick.Folder = folder
	c.Confine.Process = true // nothing is to be mounted; and no call of Confine
	return serveBox(t, c, func(a *app.App) {
		a.IsStick = func(path string) bool { return filepath.Dir(path) == folder }
	})
}

// bringIn waits for an import.
func (s *served) bringIn() app.ImportStatus {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for err := s.Import(); err != nil; err = s.Import() {
		if time.Now().After(deadline) || !strings.Contains(err.Error(), "starts") {
			s.t.Fatal(err)
		}
		<-time.After(time.Millisecond) // Serve is ready before all that it starts
	}
	for {
		if i := s.Imported(); !i.Ended.IsZero() {
			return *i
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the import does not end: %s", s.Imported())
		}
		<-time.After(time.Millisecond)
	}
}

// awaitLine waits until the upstream is known to be reached.
func (s *served) awaitLine() {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !s.Engine.Line.Up(); {
		if time.Now().After(deadline) {
			s.t.Fatal(s.Engine.Line.Sentence())
		}
		<-time.After(time.Millisecond) // it is judged by what the engine meets
	}
}

func built(t *testing.T, d interface {
	Build() ([]byte, error)
	Filename() string
}) (filename string, content []byte) {
	t.Helper()
	content, err := d.Build()
	if err != nil {
		t.Fatal(err)
	}
	return d.Filename(), content
}

func wheelOf(name, version string, seed uint64) upstreamtest.Wheel {
	return upstreamtest.Wheel{Name: name, Version: version, Payload: 3000, Seed: seed}
}

// reasons gives why files were not taken, by the end of their path.
func reasons(i app.ImportStatus, path string) string {
	for _, r := range i.Refused {
		if strings.HasSuffix(r.Filename, path) {
			return r.Reason
		}
	}
	return ""
}

// TestImportOffline: at a site without a line, what lies on a stick is offered and given
// out, and what is no good is not. When the index can be had its word counts.
func TestImportOffline(t *testing.T) {
	brie, brieBytes := built(t, wheelOf("brie", "1.0", 1))
	tomme, tommeBytes := built(t, wheelOf("Tomme", "2.0", 1))
	sdist, sdistBytes := built(t, upstreamtest.Sdist{Name: "feta", Version: "1.1"})
	folder := carried(t, map[string][]byte{
		brie:                                 brieBytes,
		"wheels/more/" + tomme:               tommeBytes,
		"wheels/" + sdist:                    sdistBytes,
		"._" + brie:                          []byte("what a Mac leaves behind"),
		".Trashes/" + brie:                   brieBytes,
		"lost+found/" + brie:                 brieBytes,
		"other-1.0-py3-none-any.whl":         brieBytes,
		"noise-1.0-py3-none-any.whl":         []byte("no archive"),
		"brie-1.0-py3-none-any (1).whl":      brieBytes,
		"requirements.txt":                   []byte("brie"),
		"copy/" + brie:                       brieBytes,
		"stale/" + brie:                      append([]byte{}, must(wheelOf("brie", "1.0", 2).Build())...),
		"holiday.tar.gz":                     []byte("pictures"),
		"deep/a/b/c/d/e/f/" + "noise.tar.gz": nil,
	})
	server, _ := many(t, 1)
	c := boxConfig(server, t.TempDir(), nil)
	url := c.Upstream.URL
	c.Upstream.URL = "http://127.0.0.1:1/simple/" // nobody is there
	s := importBox(t, c, folder)
	i := s.bringIn()
	if i.New != 3 || i.Here != 1 || i.Left != 6 || i.Found != 10 || i.Problem != "" {
		t.Errorf("%s %+v", i, i.Refused)
	}
	for path, reason := range map[string]string{
		"other-1.0-py3-none-any.whl": "other", "noise-1.0-py3-none-any.whl": "", "(1).whl": "saved twice", "holiday.tar.gz": "",
		"stale/" + brie: "another file of that name was carried here before",
	} {
		if got := reasons(i, path); got == "" || !strings.Contains(got, reason) {
			t.Errorf("%s: %q", path, got)
		}
	}
	for _, f := range []struct {
		project, filename string
		content           []byte
	}{{"brie", brie, brieBytes}, {"tomme", tomme, tommeBytes}, {"feta", sdist, sdistBytes}} {
		if page := s.get("/simple/" + f.project + "/"); !strings.Contains(page, fmt.Sprintf("%s#sha256=%x", f.filename, sha256.Sum256(f.content))) {
			t.Errorf("%s: %s", f.project, page)
		}
		if got := s.get(filePath(f.project, f.filename, f.content)); got != string(f.content) {
			t.Errorf("%s: %d bytes of %d", f.filename, len(got), len(f.content))
		}
	}
	if got, want := s.get(filePath("brie", brie, brieBytes)+".metadata"), string(wheelOf("brie", "1.0", 1).Metadata()); got != want {
		t.Errorf("metadata: %q, not %q", got, want)
	}
	if i := s.bringIn(); i.New != 0 || i.Here != 4 || i.Left != 6 {
		t.Errorf("once more: %s", i)
	}
	s.end()

	// The index knows brie, with these bytes and others besides, and tomme with others.
	for _, w := range []upstreamtest.Wheel{wheelOf("brie", "1.0", 1), wheelOf("brie", "1.2", 1), wheelOf("Tomme", "2.0", 7)} {
		if _, err := server.Index.AddWheel(w); err != nil {
			t.Fatal(err)
		}
	}
	c.Upstream.URL, c.Sync.Projects = url, []string{"brie", "tomme"}
	own, ownBytes := built(t, wheelOf("cottage", "1.0", 1))
	if err := os.WriteFile(filepath.Join(folder, "sda1", own), ownBytes, 0o644); err != nil {
		t.Fatal(err)
	}
	s = importBox(t, c, folder)
	// A pass asks for all that is here, and may follow the index in removing things.
	if err := s.Sync(t.Context(), app.SyncOptions{AcceptRemovals: true}, func(app.Event) {}); err != nil {
		t.Error(err)
	}
	s.awaitLine() // without it, a page is made of what is carried here
	i = s.bringIn()
	if got := reasons(i, tomme); !strings.Contains(got, "the index states") {
		t.Errorf("%s %q", i, got)
	}
	if got := reasons(i, own); !strings.Contains(got, "no project cottage") || s.get("/simple/cottage/") != "" {
		t.Errorf("%s %q", i, got)
	}
	page := s.get("/simple/brie/")
	if !strings.Contains(page, fmt.Sprintf("%x", sha256.Sum256(brieBytes))) || !strings.Contains(page, "brie-1.2-") {
		t.Errorf("brie, with the line: %s", page)
	}
	if got := s.get(filePath("brie", brie, brieBytes)); got != string(brieBytes) || len(server.Requests().On(upstreamtest.OnFile(brie))) != 0 {
		t.Errorf("what was carried here came over the line: %d requests", len(server.Requests().On(upstreamtest.OnFile(brie))))
	}
	theirs, _ := server.Index.Content(tomme)
	if page := s.get("/simple/tomme/"); !strings.Contains(page, fmt.Sprintf("%x", sha256.Sum256(theirs))) || strings.Contains(page, fmt.Sprintf("%x", sha256.Sum256(tommeBytes))) {
		t.Errorf("tomme, with the line: %s", page)
	}
	if got := s.get(filePath("tomme", tomme, theirs)); got != string(theirs) {
		t.Errorf("the index's tomme: %d bytes", len(got))
	}
	if got := s.get(filePath("tomme", tomme, tommeBytes)); got != "" {
		t.Error("bytes are given out that the index does not state")
	}
	if page := s.get("/simple/feta/"); !strings.Contains(page, sdist) {
		t.Errorf("what only the stick knew is gone: %s", page)
	}
	refs, err := s.Store.Held("feta")
	if err != nil || len(refs) != 1 {
		t.Fatal(len(refs), err)
	}
	for _, r := range refs {
		if !r.Pinned {
			t.Errorf("%s, which nobody else has, may be evicted", r.Filename)
		}
	}
	v, err := s.Status()
	if err != nil || v.Import == nil || v.Import.Left != i.Left {
		t.Errorf("%+v, %v", v.Import, err)
	}
}

// TestImportSparesTheLine: what the index states is taken from the stick, and no byte of
// it comes over the line. Without a stick, an import says what to do.
func TestImportSparesTheLine(t *testing.T) {
	server, names := many(t, 3)
	files := make(map[string][]byte)
	for _, name := range names {
		filename := server.Index.Filenames(name)[0]
		files[filename], _ = server.Index.Content(filename)
	}
	folder := carried(t, files)
	c := boxConfig(server, t.TempDir(), nil)
	s := importBox(t, c, folder)
	if i := s.bringIn(); i.New != 3 || i.Left != 0 {
		t.Errorf("%s %+v", i, i.Refused)
	}
	for _, name := range names {
		if !s.whole(server, name) {
			t.Errorf("%s is not given out", name)
		}
	}
	if n := len(server.Requests().On(upstreamtest.OnFile("*"))); n != 0 {
		t.Errorf("%d files came over the line", n)
	}
	if err := os.RemoveAll(filepath.Join(folder, "sda1")); err != nil {
		t.Fatal(err)
	}
	if err := s.Import(); err == nil || !strings.Contains(err.Error(), "plug one in") {
		t.Errorf("without a stick: %v", err)
	}
}

// TestImportWithoutRoom: a disk that is full ends the import, which says so, and no page
// names what did not come.
func TestImportWithoutRoom(t *testing.T) {
	brie, content := built(t, wheelOf("brie", "1.0", 1))
	folder := carried(t, map[string][]byte{brie: content})
	server, _ := many(t, 1)
	c := boxConfig(server, t.TempDir(), nil)
	c.Upstream.URL = "http://127.0.0.1:1/simple/" // nobody is there
	c.Storage.Reserve = 1 << 50
	s := importBox(t, c, folder)
	if i := s.bringIn(); i.New != 0 || !strings.Contains(i.Problem, brie+" has no room on the disk") {
		t.Errorf("%s %+v", i, i.Refused)
	}
	if page := s.get("/simple/brie/"); page != "" {
		t.Errorf("the page: %s", page)
	}
}

func must(content []byte, err error) []byte {
	if err != nil {
		panic(err) // a bug of the test
	}
	return content
}

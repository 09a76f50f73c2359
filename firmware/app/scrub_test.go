package app_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/health"
	"cheeseboard/syncer/upstreamtest"
)

// flip changes one bit of a stored wheel behind the box's back.
func flip(t *testing.T, data string, server *upstreamtest.Server, project string) {
	t.Helper()
	content, ok := server.Index.Content(server.Index.Filenames(project)[0])
	if !ok {
		t.Fatalf("there is no %s", project)
	}
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	path := filepath.Join(data, "blobs", name[:2], name)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/3] ^= 1
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, raw, 0o644), os.Chmod(path, 0o444)); err != nil {
		t.Fatal(err)
	}
}

// TestScrubFetchesAgain flips one bit in each of five files, one of them only
// cached. A box that serves finds them all, sets them aside and fetches them
// again, once the line is there; until then it says the truth.
func TestScrubFetchesAgain(t *testing.T) {
	server, names := many(t, 8)
	c := boxConfig(server, t.TempDir(), names[:7])
	c.Storage.ScrubRate = 1 << 30
	box := openBox(t, server, c.Data, names[:7])
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	closeBox(t, box)
	first := serveBox(t, c, func(a *app.App) { a.Hot = func() bool { return true } }) // it must not scrub yet
	if !first.whole(server, names[7]) {
		t.Fatal("the file that nobody selected is not fetched")
	}
	first.end()
	damaged := []string{names[0], names[1], names[3], names[6], names[7]}
	for _, name := range damaged {
		flip(t, c.Data, server, name)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	server.Forget()

	dead := serveBox(t, c, nil)
	dead.diary.await(t, "all files have been read")
	state, err := dead.Status()
	if err != nil || state.Scrub.Last.Damaged != 5 || state.Scrub.Lost != 5 {
		t.Errorf("without a line: %+v, %v", state.Scrub, err)
	}
	if v := dead.Health.Verdict(); v.Severity < health.Attention {
		t.Errorf("the verdict is %+v", v)
	}
	if n := dead.count(server, names); n != 3 {
		t.Errorf("%d files are served, want the three that are sound", n)
	}
	if err := server.Revive(); err != nil {
		t.Fatal(err)
	}
	if _, err := syncBox(t, dead.App); err != nil { // it notices that the line is back
		t.Fatal(err)
	}
	dead.diary.await(t, "a file that the disk had lost is here again") // the cached one: the sync brought the others
	if state, err = dead.Status(); err != nil || state.Scrub.Lost != 0 {
		t.Errorf("in the end: %+v, %v", state.Scrub, err)
	}
	if fetched := len(server.Requests().On(upstreamtest.OnFile("*.whl"))); fetched != 5 {
		t.Errorf("%d wheels were fetched, want the five that were damaged", fetched)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if n := dead.count(server, names); n != 8 {
		t.Errorf("%d files are served in the end", n)
	}
	quarantined, err := os.ReadDir(filepath.Join(c.Data, "quarantine"))
	if err != nil || len(quarantined) != 5 {
		t.Errorf("%d files are in quarantine (%v)", len(quarantined), err)
	}
}

// TestRenewed damages a table of the metadata under a box that has it open: when it
// is found the folder is opened anew, while clients are served.
func TestRenewed(t *testing.T) {
	server, names := many(t, 2)
	c := boxConfig(server, t.TempDir(), names)
	box := openBox(t, server, c.Data, names)
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	closeBox(t, box)
	served := serveBox(t, c, func(*app.App) {
		table(func(b []byte) []byte { b[30] ^= 1; return b })(t, c.Data)
	})
	served.diary.await(t, "the metadata are damaged; they are set aside")
	served.diary.await(t, "the data folder is open again")
	if _, err := syncBox(t, served.App); err != nil {
		t.Fatal(err)
	}
	if n := served.count(server, names); n != 2 {
		t.Errorf("%d files are served", n)
	}
	if fetched := len(server.Requests().On(upstreamtest.OnFile("*.whl"))); fetched != 2 {
		t.Errorf("%d wheels were fetched, want each once, before", fetched)
	}
}

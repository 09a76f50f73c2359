package app_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/storage"
	"cheeseboard/syncer/upstreamtest"
)

// patience is how long a step may take before a test gives it up.
const patience = time.Minute

// diary is a log that tells when something has been written to it.
type diary struct {
	slog.Handler

	mu   sync.Mutex
	said []string
	more chan struct{}
}

func newDiary() *diary { return &diary{Handler: slog.DiscardHandler, more: make(chan struct{})} }

// Not debug: then each request would be logged, and none answered again by httpd/quick.
func (d *diary) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (d *diary) Handle(_ context.Context, r slog.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, r.Message)
	close(d.more)
	d.more = make(chan struct{})
	return nil
}

// has tells whether a message was written that begins so, and what to wait for.
func (d *diary) has(text string) (bool, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.said {
		if strings.HasPrefix(s, text) {
			return true, d.more
		}
	}
	return false, d.more
}

// await waits until a message was written that begins so.
func (d *diary) await(t *testing.T, text string) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		said, more := d.has(text)
		if said {
			return
		}
		select {
		case <-more:
		case <-timer.C:
			t.Fatalf("nobody said %q", text)
		}
	}
}

// served is a box that serves on loopback.
type served struct {
	*app.App
	t     *testing.T
	url   string
	diary *diary
	end   func()
}

func boxConfig(server *upstreamtest.Server, data string, projects []string) app.Config {
	c := app.DefaultConfig()
	c.Data, c.Storage.Reserve = data, 0
	c.Upstream.URL, c.Sync.Projects = server.IndexURL(), projects
	c.Serve.Listen = "127.0.0.1:0"
	return c
}

// serveBox opens a box and serves until the end of the test, or until end.
func serveBox(t *testing.T, c app.Config, prepare func(*app.App)) *served {
	t.Helper()
	return serveOpened(t, func(log *slog.Logger) (*app.App, error) { return app.Open(c, log) }, prepare)
}

// serveOpened is serveBox for a box that was opened in another manner.
func serveOpened(t *testing.T, open func(*slog.Logger) (*app.App, error), prepare func(*app.App)) *served {
	t.Helper()
	s := &served{t: t, diary: newDiary()}
	var err error
	if s.App, err = open(slog.New(s.diary)); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(s.App)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- s.Serve(ctx, func(a net.Addr) { ready <- a }) }()
	select {
	case a := <-ready:
		s.url = "http://" + a.String()
	case err := <-ended:
		t.Fatal(err)
	}
	s.end = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.end)
	return s
}

// whole tells whether a wheel of the index is served, byte for byte.
func (s *served) whole(server *upstreamtest.Server, project string) bool {
	s.t.Helper()
	filename := server.Index.Filenames(project)[0]
	page := s.get("/simple/" + project + "/")
	_, rest, found := strings.Cut(page, `href="`)
	path, _, _ := strings.Cut(rest, "#")
	want, _ := server.Index.Content(filename)
	if !found || !strings.HasSuffix(path, filename) {
		return false
	}
	if !strings.HasPrefix(path, "/") {
		path = "/simple/" + project + "/" + path
	}
	return s.get(path) == string(want)
}

// filePath is where a box gives out a file.
func filePath(project, filename string, content []byte) string {
	return fmt.Sprintf("/files/%s/%x/%s", project, sha256.Sum256(content), filename)
}

// get gives the body of an answer, and nothing unless that is a good one.
func (s *served) get(path string) string {
	s.t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusServiceUnavailable {
		s.t.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// damages are what may befall the files of a data folder, and what becomes of it.
var damages = []struct {
	name   string
	do     func(t *testing.T, dir string)
	looked string // what a command says that only looks; "": it finds nothing
	aside  bool   // the metadata are set aside
	before int    // files of three that are served before the upstream is back
	fetch  bool   // files go over the line again
}{
	{"none", func(*testing.T, string) {}, "", false, 3, false},
	{"empty .mem", write("meta/00077.mem", nil), "", false, 3, false},
	{"empty .vlog", write("meta/000077.vlog", nil), "", false, 3, false},
	{"empty .sst that no list names", write("meta/000077.sst", nil), "", false, 3, false},
	{"empty .sst", table(func([]byte) []byte { return nil }), "damaged", true, 3, false},
	{".sst cut in half", table(func(b []byte) []byte { return b[:len(b)/2] }), "damaged", true, 3, false},
	{".sst of zeros", table(func(b []byte) []byte { return make([]byte, len(b)) }), "damaged", true, 3, false},
	{".sst with a flipped bit in its index", table(func(b []byte) []byte { b[len(b)-40] ^= 1; return b }), "damaged", true, 3, false},
	{".sst with a flipped bit in a block", table(func(b []byte) []byte { b[50] ^= 1; return b }), "damaged", true, 3, false},
	{".sst gone", table(nil), "damaged", true, 3, false},
	{"MANIFEST gone", remove("meta/MANIFEST"), "damaged", true, 3, false},
	{"MANIFEST empty", write("meta/MANIFEST", nil), "damaged", true, 3, false},
	{"MANIFEST of zeros", write("meta/MANIFEST", make([]byte, 100)), "damaged", true, 3, false},
	{"KEYREGISTRY damaged", write("meta/KEYREGISTRY", []byte("nonsense")), "", false, 3, false},
	{"KEYREGISTRY empty", write("meta/KEYREGISTRY", nil), "", false, 3, false},
	{"DISCARD damaged", write("meta/DISCARD", bytes.Repeat([]byte{0xa5}, 1<<20)), "", false, 3, false},
	{"DISCARD empty", write("meta/DISCARD", nil), "", false, 3, false},
	{"meta/ gone", remove("meta"), "damaged", true, 3, false},
	{"blobs/ gone", remove("blobs"), "missing", false, 0, true},
	{".sst gone, and no backup", both(table(nil), remove("backup")), "damaged", true, 0, false},
	{"meta/ gone, and no backup", both(remove("meta"), remove("backup")), "unreferenced", false, 0, false},
	{".sst gone, and the backup damaged", both(table(nil), write("backup", []byte("cheeseboard backup 1\nnonsense"))), "damaged", true, 0, false},
	{"FORMAT gone", remove("FORMAT"), "cannot be used", false, 3, false},
	{"FORMAT of zeros", write("FORMAT", make([]byte, 19)), "cannot be used", false, 3, false},
}

func write(path string, content []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, path), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(path string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.RemoveAll(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
}

func both(a, b func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) { a(t, dir); b(t, dir) }
}

// table changes the largest table; nil takes it away.
func table(change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		paths, err := filepath.Glob(filepath.Join(dir, "meta", "*.sst"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("there are no tables (%v)", err)
		}
		var largest string
		var content []byte
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) > len(content) {
				largest, content = path, raw
			}
		}
		if change == nil {
			err = os.Remove(largest)
		} else {
			err = os.WriteFile(largest, change(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// keep makes the backup in a data folder that nobody uses: a box that serves makes one
// of its own after a pass, and there is one writer of it at a time.
func keep(t *testing.T, dir string) {
	t.Helper()
	store, err := storage.Open(dir, storage.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := store.Keep(t.Context(), true, storage.BackupOptions{}); err != nil || !kept {
		t.Error(kept, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamage damages a data folder in every way that was met, and prints what
// became of it. Whatever it is: no panic, no silence, nothing to be repaired by
// hand; and what is on the disk does not go over the line again.
func TestDamage(t *testing.T) {
	server, names := many(t, 3)
	pristine := t.TempDir()
	box := serveBox(t, boxConfig(server, pristine, names[:2]), nil)
	if _, err := syncBox(t, box.App); err != nil {
		t.Fatal(err)
	}
	if !box.whole(server, names[2]) { // the third is only cached
		t.Fatal("a file that is not here is not fetched")
	}
	box.end()
	keep(t, pristine)

	rows := []string{fmt.Sprintf("%-38s %-14s %-32s %-7s %s", "damage", "verify says", "cheeseboard serve", "offline", "after a sync")}
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(data, os.DirFS(pristine)); err != nil {
				t.Fatal(err)
			}
			d.do(t, data)
			c := boxConfig(server, data, names[:2])
			looked := look(t, c)
			if d.looked == "" && looked != "sound" || !strings.Contains(looked, d.looked) {
				t.Errorf("a command that only looks says %q, want %q", looked, d.looked)
			}
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			box := serveBox(t, c, nil)
			before := box.count(server, names)
			_, aside, err := box.Store.Aside()
			if err != nil || aside != d.aside || before != d.before {
				t.Errorf("set aside: %v, want %v; %d files served, want %d (%v)", aside, d.aside, before, d.before, err)
			}
			if err := server.Revive(); err != nil {
				t.Fatal(err)
			}
			server.Forget()
			if _, err := syncBox(t, box.App); err != nil {
				t.Fatal(err)
			}
			after := box.count(server, names)
			fetched := len(server.Requests().On(upstreamtest.OnFile("*")))
			if after != 3 || fetched > 0 != d.fetch {
				t.Errorf("after a sync %d files are served, %d were fetched", after, fetched)
			}
			how := "opened"
			if aside && before > 0 {
				how = "set aside, begun from its backup"
			} else if aside {
				how = "set aside, begun empty"
			} else if before == 0 {
				how = "opened, what is lost forgotten"
			}
			box.end()
			if again := look(t, c); again != "sound" {
				t.Errorf("in the end verify says %q", again)
			}
			word, _, _ := strings.Cut(looked, ":")
			rows = append(rows, fmt.Sprintf("%-38s %-14s %-32s %d of 3  %d of 3, %d fetched again", d.name, word, how, before, after, fetched))
		})
	}
	t.Logf("\n%s", strings.Join(rows, "\n"))
}

// look is what verify says of a folder: "sound", the kinds of faults, or why it
// cannot look.
func look(t *testing.T, c app.Config) string {
	t.Helper()
	faults := map[storage.Fault]bool{}
	said := ""
	err := app.RunVerify(t.Context(), c, slog.New(slog.DiscardHandler), app.VerifyOptions{Restart: true}, func(e app.Event) {
		if e.Finding != nil && !faults[e.Finding.Fault] {
			faults[e.Finding.Fault] = true
			said += string(e.Finding.Fault) + " "
		}
	})
	switch {
	case errors.Is(err, storage.ErrDamaged):
		return "damaged: " + err.Error()
	case err != nil && said == "":
		return "refused: " + err.Error()
	case said == "":
		return "sound"
	}
	return said
}

func (s *served) count(server *upstreamtest.Server, names []string) (n int) {
	for _, name := range names {
		if s.whole(server, name) {
			n++
		}
	}
	return n
}

package app_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer/upstreamtest"
)

// installing asks for pages and files again and again, as clients do, until the end
// is called, which gives how many answers came, and every one that was not good.
func (s *served) installing(server *upstreamtest.Server, names []string) (end func() (int, []string)) {
	var running sync.WaitGroup
	var mu sync.Mutex
	var bad []string
	answers := 0
	stop := make(chan struct{})
	for client := range 4 {
		running.Go(func() {
			for i := client; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := names[i%len(names)]
				path := "/simple/" + name + "/"
				if i%2 == 0 {
					content, _ := server.Index.Content(server.Index.Filenames(name)[0])
					path = filePath(name, server.Index.Filenames(name)[0], content)
				}
				said := ask(s.url + path)
				mu.Lock()
				if answers++; said != "" {
					bad = append(bad, path+": "+said)
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, []string) {
		close(stop)
		running.Wait()
		return answers, bad
	}
}

// ask gives what is wrong with an answer.
func ask(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err.Error()
	}
	if resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return ""
}

// TestMoveWhileServing moves a box to another folder while clients install, the
// line dead: no request fails, the same tags are given out, and both folders lead
// to the box. Then it is started with the old folder.
func TestMoveWhileServing(t *testing.T) {
	server, names := many(t, 6)
	c := boxConfig(server, filepath.Join(t.TempDir(), "old"), names)
	box := serveBox(t, c, nil)
	if _, err := syncBox(t, box.App); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if n := box.count(server, names); n != 6 {
		t.Fatalf("%d files are served", n)
	}
	tag := etag(t, box.url+"/simple/"+names[0]+"/")
	end := box.installing(server, names)
	quiet := slog.New(slog.DiscardHandler)
	to := filepath.Join(t.TempDir(), "disk", "data")
	var moved app.Moved
	err := app.RunMove(t.Context(), c, quiet, app.MoveOptions{To: to, RemoveOld: true}, func(e app.Event) {
		if e.Moved != nil {
			moved = *e.Moved
		}
	})
	answers, bad := end()
	if err != nil || moved.To != to || moved.Files != 12 || !moved.Removed {
		t.Fatalf("%+v, %v", moved, err)
	}
	t.Logf("%d answers, requests waited for %v", answers, moved.Paused)
	if len(bad) > 0 || answers == 0 {
		t.Errorf("%d of %d answers were bad: %v", len(bad), answers, bad[:min(len(bad), 5)])
	}
	if n := box.count(server, names); n != 6 {
		t.Errorf("%d files are served after it", n)
	}
	if now := etag(t, box.url+"/simple/"+names[0]+"/"); now != tag || tag == "" {
		t.Errorf("the tag was %s, is %s", tag, now)
	}
	left, err := os.ReadDir(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if e.Name() != "MOVED" && e.Name() != "lock" && e.Name() != "control.sock" {
			t.Errorf("left in the old folder: %s", e.Name())
		}
	}
	there := c
	there.Data = to
	for _, c := range []app.Config{c, there} {
		if s, err := app.ReadStatus(t.Context(), c, quiet); err != nil || !s.Serving || s.Data != to {
			t.Errorf("asked through %s: serving %v in %s, %v", c.Data, s.Serving, s.Data, err)
		}
	}
	box.end()
	again := serveBox(t, c, nil)
	if n := again.count(server, names); n != 6 || again.Store.Dir() != to {
		t.Errorf("%d files are served from %s", n, again.Store.Dir())
	}
	again.end()
	if said := look(t, c); said != "sound" {
		t.Errorf("verify says %q", said)
	}
}

func etag(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	tag, _, _ := strings.Cut(resp.Header.Get("ETag"), ".")
	return strings.TrimSuffix(tag, "h") // what is here, or all that there is
}

// TestMoveThatFails moves to a folder where it cannot: the box goes on where it is.
func TestMoveThatFails(t *testing.T) {
	server, names := many(t, 2)
	c := boxConfig(server, t.TempDir(), names)
	box := serveBox(t, c, nil)
	if _, err := syncBox(t, box.App); err != nil {
		t.Fatal(err)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "letters"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := app.RunMove(t.Context(), c, slog.New(slog.DiscardHandler), app.MoveOptions{To: full}, func(app.Event) {})
	if err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("to a folder with letters: %v", err)
	}
	if n := box.count(server, names); n != 2 {
		t.Errorf("%d files are served", n)
	}
}

// TestMoveWithoutServing moves a folder that no box serves.
func TestMoveWithoutServing(t *testing.T) {
	server, names := many(t, 2)
	c := boxConfig(server, filepath.Join(t.TempDir(), "old"), names)
	box := openBox(t, server, c.Data, names)
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	closeBox(t, box)
	to := filepath.Join(t.TempDir(), "new")
	quiet := slog.New(slog.DiscardHandler)
	if err := app.RunMove(t.Context(), c, quiet, app.MoveOptions{To: to}, func(app.Event) {}); err != nil {
		t.Fatal(err)
	}
	if said := look(t, c); said != "sound" {
		t.Errorf("verify says %q", said)
	}
	if s, err := app.ReadStatus(t.Context(), c, quiet); err != nil || s.Data != to || s.Store.Files != 2 {
		t.Errorf("%+v, %v", s.Store, err)
	}
}

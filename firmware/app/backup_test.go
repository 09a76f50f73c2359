package app_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/storage"
	"cheeseboard/syncer/upstreamtest"
)

// TestBackupAndRestore backs a box up while it serves, loses its metadata, and
// restores: it serves what it had without the upstream, under other tags.
func TestBackupAndRestore(t *testing.T) {
	server, names := many(t, 4)
	c := boxConfig(server, t.TempDir(), names)
	c.Upstream.Contact = "it@example.org"
	quiet := slog.New(slog.DiscardHandler)
	box := serveBox(t, c, nil)
	if _, err := syncBox(t, box.App); err != nil {
		t.Fatal(err)
	}
	tag := box.Store.ID()
	file := filepath.Join(t.TempDir(), "box.backup")
	n, err := app.RunBackup(t.Context(), c, quiet, file, nil)
	info, statErr := os.Stat(file)
	if err != nil || statErr != nil || info.Size() != n || info.Mode().Perm() != 0o600 {
		t.Fatalf("%d bytes, %v, %v, %v", n, info, err, statErr)
	}
	var streamed bytes.Buffer
	if _, err := app.RunBackup(t.Context(), c, quiet, "-", &streamed); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.CheckBackup(&streamed); err != nil {
		t.Error(err)
	}
	report := func(app.Event) {}
	if err := restoreFile(t, c, file, app.RestoreOptions{Replace: true}, report); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("while it serves: %v", err)
	}
	box.end()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := restoreFile(t, c, file, app.RestoreOptions{}, report); !errors.Is(err, storage.ErrOccupied) {
		t.Errorf("over metadata: %v", err)
	}
	settings := filepath.Join(t.TempDir(), "cheeseboard.toml")
	var done app.Restored
	err = restoreFile(t, c, file, app.RestoreOptions{Replace: true, Settings: settings}, func(e app.Event) {
		if e.Restored != nil {
			done = *e.Restored
		}
	})
	if err != nil || done.Files != 4 || done.Lost != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	text, err := os.ReadFile(settings)
	if err != nil || !strings.Contains(string(text), "it@example.org") || !strings.Contains(string(text), c.Data) {
		t.Errorf("the settings are %s (%v)", text, err)
	}
	again := serveBox(t, c, nil)
	if n := again.count(server, names); n != 4 || again.Store.ID() == tag {
		t.Errorf("%d files are served, identity %s, before %s", n, again.Store.ID(), tag)
	}
	again.end()
	if said := look(t, c); said != "sound" {
		t.Errorf("verify says %q", said)
	}
	if err := server.Revive(); err != nil {
		t.Fatal(err)
	}
	server.Forget()
	last := serveBox(t, c, nil)
	if _, err := syncBox(t, last.App); err != nil {
		t.Fatal(err)
	}
	if n := len(server.Requests().On(upstreamtest.OnFile("*.whl"))); n != 0 {
		t.Errorf("%d wheels were fetched again", n)
	}
}

func restoreFile(t *testing.T, c app.Config, path string, o app.RestoreOptions, report func(app.Event)) error {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(app.RunRestore(t.Context(), c, slog.New(slog.DiscardHandler), f, o, report), f.Close())
}

// TestBackupOfNothing holds that a backup that cannot be made leaves no file.
func TestBackupOfNothing(t *testing.T) {
	c := app.DefaultConfig()
	c.Data = filepath.Join(t.TempDir(), "no", "data")
	file := filepath.Join(t.TempDir(), "backup")
	if _, err := app.RunBackup(t.Context(), c, slog.New(slog.DiscardHandler), file, io.Discard); err == nil {
		t.Error("a folder that is not there was backed up")
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

package app_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/health"
)

// TestForgiving: a box comes up whatever was written, and its health, its page and its
// log say what is wrong.
func TestForgiving(t *testing.T) {
	server, _ := many(t, 1)
	folder := t.TempDir()
	file := filepath.Join(folder, "cheeseboard.toml")
	text := "data = \"" + filepath.Join(folder, "data") + "\"\n" +
		"[serve]\nlisten = \"192.0.2.1:0\"\n[upstream]\nurl = \"" + server.IndexURL() + "\"\nca-file = \"" + filepath.Join(folder, "none.pem") + "\"\n" +
		"[line]\nrate = \"fast\"\n[storage]\nreserve = 0\n[tls]\naddress = \"127.0.0.1:0\"\ncertificate = \"" + filepath.Join(folder, "none.crt") + "\"\nkey = \"none.key\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, forgiven, err := app.Settings{File: file}.Forgive()
	if err != nil || forgiven == nil {
		t.Fatalf("got %v, %v", forgiven, err)
	}
	s := serveOpened(t, func(log *slog.Logger) (*app.App, error) {
		return app.OpenForgiving(c, forgiven, func(c app.Config) (*app.App, error) { return app.Open(c, log) })
	}, nil)
	s.diary.await(t, "a mistake in the settings")
	s.url = strings.Replace(s.url, "[::]", "127.0.0.1", 1)
	v := s.Health.Verdict()
	i := len(v.Probes) - 1
	for ; i > 0 && v.Probes[i].Name != "settings"; i-- {
	}
	if f := v.Probes[i]; f.Severity != health.Attention || !strings.Contains(f.Summary, "4 mistakes") || !strings.Contains(f.Summary, file+":8:8: line.rate") || !strings.Contains(f.Summary, "nothing is fetched by itself") {
		t.Errorf("the health says %+v", f)
	}
	page := s.get("/")
	for _, text := range []string{"line.rate", "none.pem", "none.crt", "192.0.2.1:0"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %s: %s", text, page)
		}
	}
	status, err := s.Status()
	if err != nil || !strings.Contains(status.Sync.Budget.Waiting, "line.rate") {
		t.Errorf("it waits for %q, %v", status.Sync.Budget.Waiting, err)
	}
}

// TestStrict: without leave to forgive, the same settings are errors.
func TestStrict(t *testing.T) {
	server, _ := many(t, 1)
	c := boxConfig(server, t.TempDir(), nil)
	c.Upstream.CAFile = filepath.Join(t.TempDir(), "none.pem")
	if _, err := app.Open(c, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file of certificates that is not there is no error")
	}
}

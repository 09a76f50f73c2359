package guest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer/upstreamtest"
)

// TestImageImport puts a stick with a wheel on it into a box that never had a line: the
// import that the administration begins takes it, over a mount of init's into a program
// that is confined, and pip installs it.
func TestImageImport(t *testing.T) {
	long(t)
	ctx := patient(t, 20*time.Minute)
	wheel := upstreamtest.Wheel{Name: "offline-cheese", Version: "1.0", Modules: map[string]string{"offline_cheese.py": "ripe = True\n"}}
	content, err := wheel.Build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), wheel.Filename())
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	// Nobody is at that port.
	b := startUpdatable(ctx, t, "[upstream]\nurl = \"http://10.0.2.2:1/simple/\"\n")
	if status, body, _, err := b.ask(ctx, http.MethodPost, "/admin/import", "", nil, 0); err != nil || status != http.StatusConflict || !strings.Contains(body, "no USB stick") {
		t.Errorf("without a stick: %d %s, %v", status, body, err)
	}
	b.plug(path)
	b.repeat(func() bool {
		status, _, _, err := b.ask(ctx, http.MethodPost, "/admin/import", "", nil, 0)
		return err == nil && status == http.StatusSeeOther
	})
	var s app.Status
	b.repeat(func() bool {
		_, body, _, err := b.ask(ctx, http.MethodGet, "/admin/state", "", nil, 0)
		s = app.Status{}
		return err == nil && json.Unmarshal([]byte(body), &s) == nil && s.Import != nil && !s.Import.Ended.IsZero()
	})
	t.Logf("%s", s.Import)
	if s.Import.New != 1 || s.Import.Left != 0 || s.Import.Problem != "" {
		t.Fatalf("%+v", *s.Import)
	}
	folder := t.TempDir()
	pip := exec.CommandContext(ctx, "python3", "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input", "install",
		"--no-cache-dir", "--timeout", "120", "--target", folder, "--index-url", "http://"+b.Address(80)+"/simple/", "offline-cheese")
	pip.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C.UTF-8"}
	if out, err := pip.CombinedOutput(); err != nil {
		t.Fatalf("pip install: %v\n%s", err, out)
	}
	if raw, err := os.ReadFile(filepath.Join(folder, "offline_cheese.py")); err != nil || string(raw) != "ripe = True\n" {
		t.Errorf("pip has installed %q, %v", raw, err)
	}
}

// repeat does something twice a second until it is done.
func (b *updated) repeat(done func() bool) {
	b.t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-b.ctx.Done():
			b.t.Fatal("it does not come to that")
		case <-tick.C:
		}
	}
}

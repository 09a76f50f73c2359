package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// TestPrivateBackup backs up a box that serves, destroys its data folder, and restores
// into a new one: pip installs the private package from it, and with it what comes from
// upstream again. What was deleted stays deleted, and what was yanked yanked.
func TestPrivateBackup(t *testing.T) {
	t.Parallel()
	m := available(t)
	p := m.pips[len(m.pips)-1]
	s, token := ownSite(t)
	b := s.serve()
	for _, version := range []string{"1.0", "1.1", "1.2"} {
		status, said, _ := push(t, b, token, upstreamtest.Wheel{Name: "acme-tools", Version: version, Requires: []string{"curd"}, Payload: 300_000})
		if status != http.StatusOK {
			t.Fatalf("upload: status %d: %s", status, said)
		}
	}
	s.succeed("private", "yank", "acme-tools", "1.1", "--reason", "it smelled")
	s.succeed("private", "delete", "acme-tools", "1.2")
	kept := filepath.Join(t.TempDir(), "kept")
	s.succeed("backup", kept)
	b.quit()
	must(t, os.RemoveAll(s.data))

	if o := s.succeed("restore", kept); !strings.Contains(o.stdout, "4 private files came with the backup") {
		t.Errorf("restore says: %s", o.stdout)
	}
	s.sound()
	b = s.serve()
	target := t.TempDir()
	out, err := p.command(t, p.python.Path, b.index(), "install", "--target", target, "acme-tools").CombinedOutput()
	if err != nil {
		t.Fatalf("pip %s: %v\n%s", p.version, err, out)
	}
	look := exec.CommandContext(t.Context(), p.python.Path, "-c", "import acme_tools, curd; print(acme_tools.__version__, curd.__version__)")
	look.Env = environment("PYTHONPATH=" + target)
	if out, err := look.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "1.0 2.1" {
		t.Errorf("pip %s installed %s (%v)", p.version, out, err)
	}
	if status, said, _ := push(t, b, token, upstreamtest.Wheel{Name: "acme-tools", Version: "1.2", Payload: 1}); status != http.StatusBadRequest {
		t.Errorf("other bytes for what was deleted: status %d: %s", status, said)
	}
	b.quit()
	s.sound()
}

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// boardProgram is the program as it is built for boards, without cgo.
func boardProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cheeseboard")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, "cheeseboard/firmware/cmd/cheeseboard")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// TestConfinedBox: a box that serves does all its work confined, and what lies beyond
// its data folder it does not give out, even if its data folder leads there.
func TestConfinedBox(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program a second time")
	}
	path := boardProgram(t)
	also := t.TempDir()
	s := newSite(t, nil, "tls.address=127.0.0.1:0", "confine.move-to="+also)
	serve := func(more ...string) *box {
		c := exec.Command(path, s.args(append([]string{"serve", "--listen", "127.0.0.1:0"}, more...)...)...)
		c.Env, c.Dir = environment(), t.TempDir()
		b, err := start(c) // launch would take the errors that are provoked for faults
		must(t, err)
		b.t = t
		t.Cleanup(b.kill)
		must(t, b.ready())
		return b
	}
	b := serve()
	if said := b.stderr.String(); strings.Contains(said, "is not confined") {
		t.Skip("the kernel does not confine: " + said)
	} else if !strings.Contains(said, "is confined") {
		t.Fatalf("the log does not say whether the box is confined: %s", said)
	}
	file, content := firstFile(t, b, s.upstream.Index)

	// In the data folder the file is made to lead to a secret of the same length.
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, bytes.Repeat([]byte("s"), len(content)), 0o644))
	digest := strings.Split(file, "/")[3]
	blob := filepath.Join(s.data, "blobs", digest[:2], digest)
	fetch := func(b *box) []byte {
		resp, err := http.Get(b.url + file)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		must(t, resp.Body.Close())
		return body
	}
	b.quit()
	must(t, os.Remove(blob))
	must(t, os.Symlink(secret, blob))
	free := serve("--set", "confine.process=false")
	if !bytes.Contains(fetch(free), []byte("ssss")) {
		t.Error("without confinement the link does not lead to the secret: nothing is proved")
	}
	free.quit()
	b = serve()
	if body := fetch(b); bytes.Contains(body, []byte("ssss")) {
		t.Error("a confined box gives out what lies beyond its data folder")
	}
	must(t, os.Remove(blob))

	// It goes on working: files from the upstream, https, commands, a move.
	if _, fingerprint := b.secureURL(); fingerprint == "" {
		t.Error("no https")
	}
	if o := s.run("verify", "--repair"); strings.Contains(o.stderr, "permission") {
		t.Errorf("verify: %s%s", o.stdout, o.stderr)
	}
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if o := s.run("move", elsewhere); o.status != 1 || !strings.Contains(o.stderr, "confine.move-to") {
		t.Errorf("a move to where it cannot write: %d %s", o.status, o.stderr)
	}
	to := filepath.Join(also, "new", "data")
	s.succeed("move", to, "--remove-old")
	if h := say(t, b, rawGet("/simple/curd/")); len(h.answers) != 1 || h.answers[0].StatusCode != http.StatusOK {
		t.Errorf("after the move: %v", h)
	}
	b.quit()
	s.data = to
	s.succeed("verify", "--repair", "--restart")
	s.sound()
}

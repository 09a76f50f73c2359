package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// mirrored is what testdata/mirror.py says.
type mirrored struct {
	Todo, Fetched int
	Gone          []string
	Listed        map[string]struct {
		Files    []string
		Version  string
		Name     string
		Requires []string
		Python   string
	}
}

// mirrorSite is a box that others mirror: a part of the sample index.
func mirrorSite(t *testing.T) (*site, *box) {
	s := newSite(t, nil, `sync.projects=["cheddar[aged]", "feta", "Whey.Tools", "ricotta", "mozzarella"]`, `sync.sdists="always"`)
	s.succeed("sync")
	return s, s.serve()
}

// mirror is a folder that follows a box with a program.
type mirror struct {
	t      *testing.T
	folder string
}

// holds gives what the mirror holds below web/packages by file name, and what the
// upstream has under these names: they must be the same.
func (m mirror) holds(truth *upstreamtest.Index) (names []string) {
	m.t.Helper()
	root := filepath.Join(m.folder, "web", "packages")
	must(m.t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var want []byte
		stem, isMetadata := strings.CutSuffix(d.Name(), ".metadata")
		if isMetadata {
			want, _ = truth.Metadata(stem)
		} else {
			want, _ = truth.Content(d.Name())
		}
		if len(want) == 0 || sha256.Sum256(content) != sha256.Sum256(want) {
			m.t.Errorf("%s has %d bytes, the upstream's has %d", d.Name(), len(content), len(want))
		}
		names = append(names, d.Name())
		return nil
	}))
	slices.Sort(names)
	return names
}

// change adds a release at the upstream, which the box brings in.
func change(t *testing.T, s *site, name, version string) string {
	t.Helper()
	filename, err := s.upstream.Index.AddWheel(upstreamtest.Wheel{
		Name: name, Version: version, Requires: []string{"rennet>=1.0", `curd[press]>=2; extra == "aged"`}, Extras: []string{"aged"}, RequiresPython: ">=3.7",
	})
	must(t, err)
	s.succeed("sync")
	return filename
}

// TestMirrorClient follows a box as the standard mirror client does, and verifies
// every file: first all, then what changed, then nothing.
func TestMirrorClient(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 in PATH")
	}
	script, err := filepath.Abs("testdata/mirror.py")
	must(t, err)
	s, b := mirrorSite(t)
	m := mirror{t, t.TempDir()}
	run := func() (out mirrored) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := exec.CommandContext(ctx, python, script, b.url, m.folder)
		c.Env, c.Dir = environment(), t.TempDir()
		said, err := c.Output()
		if err == nil {
			err = json.Unmarshal(said, &out)
		}
		if err != nil {
			failed, _ := err.(*exec.ExitError)
			if failed != nil {
				t.Fatalf("%v\n%s", err, failed.Stderr)
			}
			t.Fatalf("%v: %s", err, said)
		}
		return out
	}
	first := run()
	names := m.holds(s.upstream.Index)
	wheels := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.HasSuffix(n, ".metadata") })
	if first.Todo < 7 || first.Fetched != len(wheels) || len(first.Gone) != 0 || len(names) <= len(wheels) {
		t.Errorf("first: %d projects, %d files fetched, %q are there", first.Todo, first.Fetched, names)
	}
	cheddar := first.Listed["cheddar"]
	if cheddar.Version != "1.2.0" || cheddar.Python != ">=3.6, !=3.7.0" || !slices.Contains(cheddar.Requires, "rennet>=1.0") || first.Listed["whey-tools"].Name != "Whey.Tools" {
		t.Errorf("its info is %+v, and of another %+v", cheddar, first.Listed["whey-tools"])
	}
	// What the line is doing does not matter: only what is here is offered.
	must(t, s.upstream.Kill())
	if none := run(); none.Todo != 0 || none.Fetched != 0 {
		t.Errorf("nothing new: %+v", none)
	}
	must(t, s.upstream.Revive())
	filename := change(t, s, "cheddar", "1.3.0")
	second := run()
	if now := second.Listed["cheddar"]; second.Todo != 1 || now.Version != "1.3.0" || !slices.Contains(m.holds(s.upstream.Index), filename) {
		t.Errorf("after a change: %+v", second)
	}
	if third := run(); third.Todo != 0 {
		t.Errorf("nothing new: %+v", third)
	}
	b.quit()
}

// TestBandersnatch is TestMirrorClient with the standard mirror client itself,
// where the machine has it.
func TestBandersnatch(t *testing.T) {
	t.Parallel()
	client, err := exec.LookPath("bandersnatch")
	if err != nil {
		t.Skip("no bandersnatch in PATH")
	}
	s, b := mirrorSite(t)
	w := watch(t, b)
	m := mirror{t, t.TempDir()}
	settings := filepath.Join(t.TempDir(), "bandersnatch.conf")
	must(t, os.WriteFile(settings, fmt.Appendf(nil, `[mirror]
directory = %s
master = %s
allow-non-https = true
json = true
timeout = 30
global-timeout = 18000
workers = 3
hash-index = false
stop-on-error = false
storage-backend = filesystem
verifiers = 3
compare-method = hash
simple-format = ALL
`, m.folder, strings.TrimSuffix(w.index(), "/simple/")), 0o600))
	run := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := exec.CommandContext(ctx, client, "-c", settings, "mirror")
		c.Env, c.Dir = environment(), t.TempDir()
		said, err := c.CombinedOutput()
		if err != nil || strings.Contains(string(said), "ERROR") {
			t.Errorf("bandersnatch: %v\n%s", err, said)
		}
	}
	serial := func() string {
		t.Helper()
		status, err := os.ReadFile(filepath.Join(m.folder, "status"))
		must(t, err)
		return string(status)
	}
	run()
	first, before := m.holds(s.upstream.Index), serial()
	if !slices.Contains(first, "cheddar-1.2.0-py3-none-any.whl") {
		t.Errorf("it holds %q", first)
	}
	filename := change(t, s, "cheddar", "1.3.0")
	run()
	if second := m.holds(s.upstream.Index); !slices.Contains(second, filename) || serial() <= before {
		t.Errorf("after a change it holds %q, at serial %s after %s", second, serial(), before)
	}
	page, err := os.ReadFile(filepath.Join(m.folder, "web", "simple", "cheddar", "index.html"))
	must(t, err)
	if !strings.Contains(string(page), filename) {
		t.Errorf("its page lacks %s:\n%s", filename, page)
	}
	before = serial()
	run()
	if serial() != before {
		t.Errorf("with nothing new it moves from serial %s to %s", before, serial())
	}
	b.quit()
}

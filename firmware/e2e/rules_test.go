package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// TestPipsUnderRules has the oldest and the newest pip install from a box with two
// indexes, a cooldown and a block list: by one address they get the company's package
// from its own index, although the public one has a higher version of it, and of what
// that needs the newest release that is of age and not blocked. The newest one does so
// with --uploaded-prior-to too, where it has that.
func TestPipsUnderRules(t *testing.T) {
	t.Parallel()
	m := available(t)
	public, corp := upstreamtest.NewIndex(), upstreamtest.NewIndex()
	add := func(index *upstreamtest.Index, w upstreamtest.Wheel, age time.Duration) {
		t.Helper()
		file, err := index.AddWheel(w)
		must(t, err)
		must(t, index.SetUploadTime(w.Name, file, time.Now().Add(-age)))
	}
	const month = 30 * 24 * time.Hour
	add(public, upstreamtest.Wheel{Name: "corp-tools", Version: "99.0"}, month)
	add(public, upstreamtest.Wheel{Name: "young", Version: "1.0"}, month)
	add(public, upstreamtest.Wheel{Name: "young", Version: "2.0"}, time.Hour)
	add(public, upstreamtest.Wheel{Name: "mended", Version: "1.0"}, month)
	add(public, upstreamtest.Wheel{Name: "mended", Version: "1.1"}, time.Hour)
	add(public, upstreamtest.Wheel{Name: "bad", Version: "1.0"}, month)
	add(public, upstreamtest.Wheel{Name: "bad", Version: "1.1"}, month)
	add(corp, upstreamtest.Wheel{Name: "corp-tools", Version: "1.0", Requires: []string{"young", "mended", "bad"}}, month)
	other := startUpstream(t, corp)
	s := newSite(t, public,
		fmt.Sprintf(`index=[{name="corp",url=%q,projects=["corp-*"]}]`, other.IndexURL()),
		"policy.min-age=168h", "policy.block=bad==1.1 # it loses data", "policy.allow=mended==1.1 # mends a hole")
	b := s.serve()
	want := map[string]string{"corp_tools": "1.0", "young": "1.0", "mended": "1.1", "bad": "1.0"}
	try := func(p pip, options ...string) {
		t.Helper()
		python := p.venv(t)
		if out, err := p.command(t, python, b.index(), "install", append([]string{"corp-tools"}, options...)...).CombinedOutput(); err != nil {
			t.Fatalf("pip %s: %v\n%s", p.version, err, out)
		}
		look := exec.CommandContext(t.Context(), python, "-c",
			"import importlib, json, sys; print(json.dumps({n: importlib.import_module(n).__version__ for n in sys.argv[1:]}))", "corp_tools", "young", "mended", "bad")
		look.Env, look.Dir = environment(), t.TempDir()
		out, err := look.CombinedOutput()
		var got map[string]string
		if err != nil || json.Unmarshal(out, &got) != nil || !maps.Equal(got, want) {
			t.Errorf("pip %s installed %s (%v), want %v", p.version, out, err, want)
		}
	}
	oldest, newest := m.pips[0], m.pips[len(m.pips)-1]
	try(oldest)
	try(newest)
	for _, refused := range []string{"corp-tools==99.0", "young==2.0", "bad==1.1"} {
		if out, err := newest.command(t, newest.venv(t), b.index(), "install", refused).CombinedOutput(); err == nil {
			t.Errorf("pip %s installed %s:\n%s", newest.version, refused, out)
		}
	}
	help, err := newest.command(t, newest.venv(t), b.index(), "install", "--help").CombinedOutput()
	must(t, err)
	if option := "--uploaded-prior-to"; strings.Contains(string(help), option) {
		try(newest, option, time.Now().Format(time.RFC3339))
	} else {
		t.Logf("pip %s has no %s", newest.version, option)
	}
	must(t, s.upstream.Kill())
	must(t, other.Kill())
	try(oldest) // from the box alone
	b.quit()
	s.sound()
}

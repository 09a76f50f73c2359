package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// enoughPips is how many major versions of pip must be tested where there are as
// many Pythons.
const enoughPips = 3

const (
	formJSON = "application/vnd.pypi.simple.v1+json"
	formHTML = "text/html"
)

// plate is what a pip must install for cheeseplate[strong]: module → version.
func (p pip) plate() map[string]string {
	plate := map[string]string{
		"cheddar": "1.2.0", "cheeseplate": "1.0", "curd": "2.1", "edam": "1.0", "parmesan": "0.0.36",
		"rennet": "1.1", "stilton": "1.0", "whey_tools": "0.1",
	}
	if compareVersions(p.version, "19.2") < 0 {
		plate["stilton"] = "1.1" // it was yanked, of which older pips know nothing
	}
	return plate
}

const readPlate = `
import hashlib, importlib, json, os, sys
found = {}
for name in sys.argv[1:]:
    found[name] = importlib.import_module(name).__version__
import stilton
with open(os.path.join(os.path.dirname(stilton.__file__), "payload.bin"), "rb") as f:
    found["payload"] = hashlib.sha256(f.read()).hexdigest()
print(json.dumps(found))
`

// TestPips has every pip that can be found install a package with dependencies
// and extras: through a box that has nothing, and again from the box alone.
func TestPips(t *testing.T) {
	t.Parallel()
	m := available(t)
	majors := make(map[int]bool)
	for _, p := range m.pips {
		majors[p.major()] = true
		t.Logf("pip %s with Python %v", p.version, p.python.Version)
	}
	if len(majors) < enoughPips {
		if len(m.pythons) >= enoughPips {
			t.Errorf("only %d major versions of pip were found with %d Pythons", len(majors), len(m.pythons))
		}
		t.Logf("this machine has only %d major versions of pip", len(majors))
	}
	pips := m.pips
	if testing.Short() && len(pips) > 2 {
		pips = []pip{pips[0], pips[len(pips)-1]}
	}
	forms := make(map[bool]bool)
	for _, p := range pips {
		forms[p.readsJSON()] = true
		t.Run(p.version, func(t *testing.T) {
			t.Parallel()
			installTwice(t, p)
		})
	}
	if len(forms) < 2 {
		t.Logf("the pips of this machine all read the same form of the pages")
	}
}

// installTwice also sees which form of the pages the pip was given.
func installTwice(t *testing.T, p pip) {
	s := newSite(t, nil)
	b := s.serve()
	w := watch(t, b)

	install(t, p, w.index(), s.upstream.Index)
	plate := p.plate()
	files := s.upstream.Requests().On(upstreamtest.OnFile("*"))
	if len(files) != len(plate) || len(files.With(http.StatusOK)) != len(plate) {
		t.Errorf("upstream was asked for %v (%v), want each of %d files once", files.Paths(), files.Statuses(), len(plate))
	}
	want := formHTML
	if p.readsJSON() {
		want = formJSON
	}
	if forms := w.forms(); len(forms) != 1 || forms[want] < len(plate) {
		t.Errorf("pages were answered as %v, want all %d of them as %s", forms, len(plate), want)
	}

	must(t, s.upstream.Kill())
	install(t, p, b.index(), s.upstream.Index)
	b.quit()
	s.sound()
}

// install installs into a fresh virtual environment and looks at what is there.
func install(t *testing.T, p pip, index string, truth *upstreamtest.Index) {
	t.Helper()
	python, plate := p.venv(t), p.plate()
	c := p.command(t, python, index, "install", "cheeseplate[strong]")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("pip %s: %v\n%s", p.version, err, out)
	}
	look := exec.CommandContext(t.Context(), python, append([]string{"-c", readPlate}, slices.Sorted(maps.Keys(plate))...)...)
	look.Env, look.Dir = environment(), t.TempDir()
	out, err := look.CombinedOutput()
	if err != nil {
		t.Fatalf("look at what pip %s installed: %v\n%s", p.version, err, out)
	}
	plate["payload"] = payloadSum(t, truth, "stilton-"+plate["stilton"]+"-py3-none-any.whl", "stilton/payload.bin")
	var got map[string]string
	if err := json.Unmarshal(out, &got); err != nil || !maps.Equal(got, plate) {
		t.Errorf("pip %s installed %s (%v), want %v", p.version, out, err, plate)
	}
}

// payloadSum is the SHA-256 of one file in a wheel of the upstream.
func payloadSum(t *testing.T, truth *upstreamtest.Index, filename, entry string) string {
	t.Helper()
	content, ok := truth.Content(filename)
	if !ok {
		t.Fatalf("upstream has no %s", filename)
	}
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	must(t, err)
	f, err := archive.Open(entry)
	must(t, err)
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	must(t, err)
	must(t, f.Close())
	return hex.EncodeToString(sum.Sum(nil))
}

// TestRealWheels mirrors real releases of pip and setuptools, those that Pythons
// bring with them, and has pip download each through the box.
func TestRealWheels(t *testing.T) {
	t.Parallel()
	m := available(t)
	newest := m.pips[len(m.pips)-1]
	if len(m.wheels) == 0 {
		t.Skip("the Pythons of this machine bring no wheels (no ensurepip)")
	}
	index := upstreamtest.NewIndex()
	releases := make(map[string][]string) // project → requirements
	for _, filename := range slices.Sorted(maps.Keys(m.wheels)) {
		parts := strings.Split(filename, "-")
		must(t, index.AddFile(parts[0], filename, m.wheels[filename], upstreamtest.Facts{}))
		releases[parts[0]] = append(releases[parts[0]], parts[0]+"=="+parts[1])
	}
	s := newSite(t, index)
	b := s.serve()
	folder := t.TempDir()
	for round := 0; ; round++ {
		var wanted []string
		for _, requirements := range releases {
			if round < len(requirements) {
				wanted = append(wanted, requirements[round])
			}
		}
		if len(wanted) == 0 || round == 2 && testing.Short() {
			break
		}
		c := newest.command(t, newest.python.Path, b.index(), "download", append(wanted, "--no-deps", "--dest", folder)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("pip download %v: %v\n%s", wanted, err, out)
		}
		for _, requirement := range wanted {
			same(t, folder, requirement, m.wheels)
		}
	}
	b.quit()
	s.sound()
}

// same compares a wheel that was downloaded for "pip==24.2" with the original.
func same(t *testing.T, folder, requirement string, originals map[string][]byte) {
	t.Helper()
	prefix := strings.Replace(requirement, "==", "-", 1) + "-"
	names, err := filepath.Glob(filepath.Join(folder, prefix+"*.whl"))
	must(t, err)
	if len(names) != 1 {
		t.Fatalf("downloads of %s: %v, want one", requirement, names)
	}
	content, err := os.ReadFile(names[0])
	must(t, err)
	if got, want := fmt.Sprintf("%x", sha256.Sum256(content)), fmt.Sprintf("%x", sha256.Sum256(originals[filepath.Base(names[0])])); got != want {
		t.Errorf("%s has the digest %s, want %s", filepath.Base(names[0]), got, want)
	}
}

package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dairyPlate is what a project that needs cheddar[aged]<2 gets, with all that this
// needs: module → version.
var dairyPlate = map[string]string{"cheddar": "1.2.0", "curd": "2.1", "rennet": "1.1", "whey_tools": "0.1"}

// systemPython is the Python for which Debian's managers are made.
const systemPython = "/usr/bin/python3"

// manager runs a program that manages projects, with a home, a cache and a
// configuration of its own.
type manager struct {
	t             *testing.T
	program, home string
	folder        string // of the project
	env           []string
}

// manage finds a manager, and writes a project for it. In pyproject INDEX stands for
// the address of the index.
func manage(t *testing.T, name, version, pkg, index, pyproject string) *manager {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("this machine has no %s (Debian package %s)", name, pkg)
	}
	if _, err := os.Stat(systemPython); err != nil {
		t.Skipf("this machine has no %s, for which Debian's %s is made", systemPython, name)
	}
	home, folder := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "pyproject.toml"), []byte(strings.ReplaceAll(pyproject, "INDEX", index)), 0o644))
	m := &manager{t: t, program: program, home: home, folder: folder}
	m.env = environment("HOME="+home, "XDG_CONFIG_HOME="+home+"/config", "XDG_CACHE_HOME="+home+"/cache", "XDG_DATA_HOME="+home+"/data",
		"PATH=/usr/bin:/bin", "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring")
	if said := m.run("--version"); !strings.Contains(said, version) {
		t.Logf("this is not %s %s, with which this was tried: %s", name, version, strings.TrimSpace(said))
	}
	return m
}

// run runs the manager, which must succeed.
func (m *manager) run(args ...string) string {
	m.t.Helper()
	c := exec.CommandContext(m.t.Context(), m.program, args...)
	c.Dir, c.Env = m.folder, m.env
	out, err := c.CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %v: %v\n%s", m.program, args, err, out)
	}
	return string(out)
}

// has looks at what was installed into the project's environment.
func (m *manager) has(want map[string]string) {
	m.t.Helper()
	c := exec.CommandContext(m.t.Context(), filepath.Join(m.folder, ".venv/bin/python"), "-c",
		"import importlib, json, sys; print(json.dumps({n: importlib.import_module(n).__version__ for n in sys.argv[1:]}))")
	for name := range maps.Keys(want) {
		c.Args = append(c.Args, name)
	}
	c.Env, c.Dir = environment(), m.t.TempDir()
	out, err := c.CombinedOutput()
	var got map[string]string
	if err != nil || json.Unmarshal(out, &got) != nil || !maps.Equal(got, want) {
		m.t.Errorf("%s installed %s (%v), want %v", m.program, out, err, want)
	}
}

// locked looks at a lock file: it has the digests of the upstream's files.
func (m *manager) locked(s *site, file string, filenames ...string) {
	m.t.Helper()
	lock, err := os.ReadFile(filepath.Join(m.folder, file))
	must(m.t, err)
	for _, filename := range filenames {
		content, ok := s.upstream.Index.Content(filename)
		if !ok || !strings.Contains(string(lock), digestOfBytes(content)) {
			m.t.Errorf("%s has not the digest of %s", file, filename)
		}
	}
}

// TestPoetry has Debian's poetry resolve and install a project, from the box alone:
// PyPI is switched off, no proxy is named, and the upstream is gone the second time.
func TestPoetry(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.serve()
	m := manage(t, "poetry", "1.3.2", "python3-poetry", b.index(), `
[tool.poetry]
name = "dairy"
version = "1.0"
description = "needs cheese"
authors = ["nobody"]

[tool.poetry.dependencies]
python = ">=3.7.1,<4"
cheddar = {version = "<2", extras = ["aged"]}

[[tool.poetry.source]]
name = "box"
url = "INDEX"
default = true

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
`)
	m.env = append(m.env, "POETRY_VIRTUALENVS_IN_PROJECT=true", "POETRY_VIRTUALENVS_OPTIONS_NO_PIP=true", "POETRY_VIRTUALENVS_OPTIONS_NO_SETUPTOOLS=true")
	m.run("lock", "-n")
	m.locked(s, "poetry.lock", "cheddar-1.2.0-py3-none-any.whl", "rennet-1.1-py2.py3-none-any.whl")
	m.run("install", "-n", "--no-root")
	m.has(dairyPlate)
	must(t, s.upstream.Kill())
	must(t, os.RemoveAll(filepath.Join(m.folder, ".venv")))
	must(t, os.RemoveAll(filepath.Join(m.home, "cache")))
	m.run("install", "-n", "--no-root")
	m.has(dairyPlate)
	b.quit()
	s.sound()
}

// TestPDM does so with Debian's pdm.
func TestPDM(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.serve()
	m := manage(t, "pdm", "2.2.1", "python3-pdm", b.index(), `
[project]
name = "dairy"
version = "1.0"
requires-python = ">=3.7.1"
dependencies = ["cheddar[aged]<2"]

[[tool.pdm.source]]
name = "pypi"
url = "INDEX"
verify_ssl = false
`)
	m.env = append(m.env, "PDM_CHECK_UPDATE=0", "PDM_USE_VENV=1")
	m.run("config", "check_update", "false")
	m.run("config", "pypi.url", b.index())
	m.run("venv", "create", systemPython)
	m.run("use", "-f", m.folder+"/.venv/bin/python")
	m.run("lock")
	m.locked(s, "pdm.lock", "cheddar-1.2.0-py3-none-any.whl", "rennet-1.1-py2.py3-none-any.whl")
	m.run("sync", "--no-self")
	m.has(dairyPlate)
	must(t, s.upstream.Kill())
	must(t, os.RemoveAll(filepath.Join(m.home, "cache")))
	m.run("venv", "create", "--force", systemPython)
	m.run("sync", "--no-self")
	m.has(dairyPlate)
	b.quit()
	s.sound()
}

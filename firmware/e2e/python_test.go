package e2e

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"cheeseboard/storage/pypi"
)

// python is one interpreter of version 3 that was found.
type python struct {
	Path      string `json:"path"`    // of the program
	Version   []int  `json:"version"` // 3, 12, 1
	Bundled   string `json:"bundled"` // folder of the wheels that it brings; "" without ensurepip
	Installed string `json:"pip"`     // folder of the pip package that it has; ""
	Pip       string `json:"pip_version"`
}

const describePython = `
import json, os, sys
about = {"path": os.path.realpath(sys.executable), "version": list(sys.version_info[:3])}
try:
    import ensurepip
    about["bundled"] = os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")
except ImportError:
    pass
try:
    import pip
    about["pip"], about["pip_version"] = os.path.dirname(pip.__file__), pip.__version__
except ImportError:
    pass
import venv
print(json.dumps(about))
`

// pip is one version of pip, unpacked, with a Python that it runs on.
type pip struct {
	version string
	folder  string // for PYTHONPATH: it has the package pip and little else
	python  python
}

// major is the first number of the version.
func (p pip) major() int {
	text, _, _ := strings.Cut(p.version, ".")
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0 // no pip has such a version
	}
	return n
}

// readsJSON tells whether this pip asks for JSON (PEP 691).
func (p pip) readsJSON() bool { return compareVersions(p.version, "22.2") >= 0 }

// tools is what the machine has to test with.
type tools struct {
	pythons []python          // newest first
	pips    []pip             // oldest first, one of each version
	wheels  map[string][]byte // the wheels that the Pythons bring, by filename
}

// machine looks once for what there is. It can be called by all tests.
var machine = sync.OnceValues(func() (tools, error) {
	var m tools
	m.pythons = findPythons()
	wheels := make(map[string]string)
	for _, folder := range bundles(m.pythons) {
		names, err := filepath.Glob(filepath.Join(folder, "*.whl"))
		if err != nil {
			return m, err
		}
		for _, name := range names {
			wheels[filepath.Base(name)] = name
		}
	}
	m.wheels = make(map[string][]byte)
	for filename, path := range wheels {
		content, err := os.ReadFile(path)
		if err != nil {
			return m, err
		}
		m.wheels[filename] = content
	}
	if len(m.pythons) == 0 {
		return m, nil
	}
	var err error
	m.pips, err = findPips(m)
	return m, err
})

func available(t *testing.T) tools {
	t.Helper()
	m, err := machine()
	must(t, err)
	if len(m.pips) == 0 {
		t.Skip("this machine has no Python 3 with pip, ensurepip and venv")
	}
	return m
}

// interpreter is what a Python is called; python3-config is none.
var interpreter = regexp.MustCompile(`/python3(\.[0-9]+)?$`)

// findPythons asks every program that may be a Python 3 what it is.
func findPythons() []python {
	patterns := []string{"/opt/python*/bin/python3", "/usr/local/bin/python3*", "/usr/bin/python3*"}
	if home, err := os.UserHomeDir(); err == nil {
		patterns = append(patterns, filepath.Join(home, ".pyenv/versions/*/bin/python3"))
	}
	if first, err := exec.LookPath("python3"); err == nil {
		patterns = append(patterns, first)
	}
	found := make(map[string]python)
	asked := make(map[string]bool)
	for _, pattern := range patterns {
		programs, err := filepath.Glob(pattern)
		if err != nil {
			continue // a folder in PATH with a bracket in its name
		}
		for _, program := range programs {
			real, err := filepath.EvalSymlinks(program)
			if err != nil || asked[real] || !interpreter.MatchString(program) {
				continue
			}
			asked[real] = true
			ask := exec.Command(program, "-I", "-c", describePython)
			ask.Env = environment()
			out, err := ask.Output()
			var p python
			if err == nil && json.Unmarshal(out, &p) == nil {
				found[p.Path] = p
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b python) int { return slices.Compare(b.Version, a.Version) })
}

// bundles are the folders where wheels may be, also those of Python 2.
func bundles(pythons []python) []string {
	folders := []string{"/usr/share/python-wheels"}
	for _, p := range pythons {
		if p.Bundled != "" {
			folders = append(folders, p.Bundled)
		}
	}
	if len(pythons) > 0 {
		// ~/.pyenv/versions/3.12.1/bin/python3.12 has its sisters three folders up.
		sisters := filepath.Join(filepath.Dir(filepath.Dir(filepath.Dir(pythons[0].Path))), "*/lib/python*/ensurepip/_bundled")
		if more, err := filepath.Glob(sisters); err == nil {
			folders = append(folders, more...)
		}
	}
	return folders
}

// findPips gathers each version of pip that there is: those that are installed,
// as they lie there, and those that are only bundled as a wheel, unpacked. One
// that no Python 3 brings runs on the oldest Python.
func findPips(m tools) ([]pip, error) {
	found := make(map[string]pip)
	for _, python := range slices.Backward(m.pythons) {
		if python.Installed == "" {
			continue
		}
		p := pip{version: python.Pip, folder: filepath.Join(workshop, "pip-"+python.Pip), python: python}
		if found[p.version].version == "" {
			if err := os.Mkdir(p.folder, 0o755); err != nil {
				return nil, err
			}
			if err := os.Symlink(python.Installed, filepath.Join(p.folder, "pip")); err != nil {
				return nil, err
			}
		}
		found[p.version] = p // the newest Python that has it counts
	}
	for filename, content := range m.wheels {
		project, rest, _ := strings.Cut(filename, "-")
		version, _, _ := strings.Cut(rest, "-")
		if project != "pip" || found[version].version != "" {
			continue
		}
		p := pip{version: version, folder: filepath.Join(workshop, filename), python: bringer(m.pythons, filename)}
		if err := unpack(content, p.folder); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", filename, err)
		}
		found[version] = p
	}
	return slices.SortedFunc(maps.Values(found), func(a, b pip) int { return compareVersions(a.version, b.version) }), nil
}

// bringer is the newest Python that bundles a wheel, or the oldest of all.
func bringer(pythons []python, filename string) python {
	for _, p := range pythons {
		if p.Bundled == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(p.Bundled, filename)); err == nil {
			return p
		}
	}
	return pythons[len(pythons)-1]
}

func compareVersions(a, b string) int {
	va, errA := pypi.ParseVersion(a)
	vb, errB := pypi.ParseVersion(b)
	if errA != nil || errB != nil {
		return cmp.Compare(a, b)
	}
	return va.Compare(vb)
}

// unpack writes a zip's files below a folder.
func unpack(content []byte, folder string) error {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	for _, entry := range archive.File {
		if strings.HasSuffix(entry.Name, "/") {
			continue
		}
		path := filepath.Join(folder, filepath.FromSlash(entry.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := unpackEntry(entry, path); err != nil {
			return err
		}
	}
	return nil
}

func unpackEntry(entry *zip.File, path string) (err error) {
	from, err := entry.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// venv makes a fresh virtual environment without pip and gives its Python.
func (p pip) venv(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "venv")
	c := exec.CommandContext(t.Context(), p.python.Path, "-m", "venv", "--without-pip", folder)
	c.Env = environment()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("make a venv: %v\n%s", err, out)
	}
	return filepath.Join(folder, "bin", "python")
}

// command is this pip under a Python, with what every call has.
func (p pip) command(t *testing.T, python, index, verb string, args ...string) *exec.Cmd {
	t.Helper()
	common := []string{"-m", "pip", "--disable-pip-version-check", "--no-input", verb, "--no-cache-dir", "--index-url", index}
	c := exec.CommandContext(t.Context(), python, append(common, args...)...)
	c.Env = environment("PYTHONPATH="+p.folder, "HOME="+t.TempDir())
	c.Dir = t.TempDir()
	return c
}

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"cheeseboard/firmware/app"
)

// errPython says what to install.
var errPython = errors.New("the demo needs Python 3 with venv and pip: install it (on Debian and Raspberry Pi OS: apt install python3 python3-venv), and see that python3 is in the PATH")

// python is the interpreter that the demo's clients run on.
type python struct {
	path    string
	version string // "3.11"
}

// findPython looks for an interpreter that can make virtual environments.
func findPython(ctx context.Context) (python, error) {
	path, err := exec.LookPath("python3")
	if err != nil {
		return python{}, fmt.Errorf("%w (%w)", errPython, err)
	}
	out, err := run(ctx, os.TempDir(), path, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])")
	if err != nil {
		return python{}, fmt.Errorf("%w (%w)", errPython, err)
	}
	return python{path, strings.TrimSpace(out)}, nil
}

// install serves the box on loopback and has the real pip install from it, into
// a virtual environment that is thrown away.
func (s *show) install(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	requests := &counter{next: s.box.Handler()}
	front := &http.Server{Handler: requests, ReadHeaderTimeout: grace}
	s.front = front
	s.serving.Go(func() { _ = front.Serve(listener) }) // until close shuts it down

	venv := filepath.Join(s.folder, "venv")
	if _, err := run(ctx, s.folder, s.python.path, "-m", "venv", venv); err != nil {
		return fmt.Errorf("%w (%w)", errPython, err)
	}
	inside := filepath.Join(venv, "bin", "python")
	version, err := run(ctx, s.folder, inside, "-m", "pip", "--version")
	if err != nil {
		return err
	}
	begun := time.Now()
	address := "http://" + listener.Addr().String() + "/simple/"
	if _, err := run(ctx, s.folder, inside, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input",
		"install", "--no-cache-dir", "--only-binary", ":all:", "--index-url", address, selection); err != nil {
		return err
	}
	took := time.Since(begun)
	m := &s.measured
	if err := m.look(ctx, s.folder, inside); err != nil {
		return err
	}
	m.requests, m.failed = int(requests.all.Load()), int(requests.failed.Load())
	m.deadRequests = len(s.server.Requests()) - m.before
	s.out.say("pip", "%s installed %s from the box: %d packages in %s, %d requests, %d failed", second(version), selection, len(m.installed), seconds(took), m.requests, m.failed)
	s.out.say("index", "received %d requests since it was switched off", m.deadRequests)
	s.out.say("python", "import %s works, version %s", largeModule, m.imported)
	return nil
}

// look imports the large module in the virtual environment, and lists what was
// installed there.
func (m *measured) look(ctx context.Context, folder, python string) error {
	script := "import importlib.metadata, json, " + largeModule + "\n" +
		"names = [d.metadata['Name'] for d in importlib.metadata.distributions()]\n" +
		"print(json.dumps({'version': " + largeModule + ".__version__, 'names': names}))\n"
	out, err := run(ctx, folder, python, "-c", script)
	if err != nil {
		return err
	}
	var seen struct {
		Version string   `json:"version"`
		Names   []string `json:"names"`
	}
	if err := json.Unmarshal([]byte(out), &seen); err != nil {
		return fmt.Errorf("read what was installed: %w", err)
	}
	m.imported = seen.Version
	// These were in the environment before.
	m.installed = slices.DeleteFunc(seen.Names, func(n string) bool { return n == "pip" || n == "setuptools" || n == "wheel" })
	return nil
}

// second is the second word: the version in "pip 25.1 from …".
func second(s string) string {
	if words := strings.Fields(s); len(words) > 1 {
		return words[1]
	}
	return "?"
}

// verify has the store prove itself.
func (s *show) verify(ctx context.Context) error {
	m := &s.measured
	var hashed int64
	err := s.box.Verify(ctx, app.VerifyOptions{}, func(e app.Event) {
		if v := e.Verified; v != nil {
			m.verified, m.blobs, m.faults, hashed = v.Completed, v.Blobs, v.Findings, v.Bytes
		}
	})
	if err != nil && !errors.Is(err, app.ErrFindings) { // findings are counted
		return err
	}
	s.out.say("verify", "%d blobs, %s hashed, %d faults", m.blobs, size(hashed), m.faults)
	return nil
}

// run runs a program in a group of its own, so that whatever it starts ends with
// it, and gives what it wrote to its standard output.
func run(ctx context.Context, folder, name string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Env = folder, environment(os.Environ(), folder)
	c.Stdout, c.Stderr = &out, &errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = grace
	if err := c.Run(); err != nil {
		said := strings.TrimSpace(out.String() + errs.String())
		return "", fmt.Errorf("run %s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, said[max(0, len(said)-2000):])
	}
	return out.String(), nil
}

// environment is what programs see: nothing that would send pip elsewhere, and
// temporary files where they are removed.
func environment(environ []string, folder string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		key, _, _ := strings.Cut(strings.ToUpper(entry), "=")
		return strings.HasPrefix(key, "PIP_") || strings.HasPrefix(key, "UV_") || strings.HasPrefix(key, "PYTHON") ||
			strings.HasSuffix(key, "_PROXY") || key == "VIRTUAL_ENV"
	})
	return append(env, "PIP_CONFIG_FILE="+os.DevNull, "TMPDIR="+folder)
}

// counter counts the requests that pass through it.
type counter struct {
	next        http.Handler
	all, failed atomic.Int64
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.all.Add(1)
	c.next.ServeHTTP(&counted{w, c}, r)
}

// counted is an answer whose status is looked at.
type counted struct {
	http.ResponseWriter
	counter *counter
}

func (c *counted) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		c.counter.failed.Add(1)
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

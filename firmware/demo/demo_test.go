package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// numbers finds a line by its form, and the figures in it.
func numbers(t *testing.T, text, form string) []float64 {
	t.Helper()
	found := regexp.MustCompile("(?m)^" + form + "$").FindStringSubmatch(text)
	if found == nil {
		t.Errorf("no line of the form %s", form)
		return make([]float64, strings.Count(form, "("))
	}
	var out []float64
	for _, s := range found[1:] {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Errorf("%s: %v", found[0], err)
		}
		out = append(out, n)
	}
	return out
}

// folderOf is the folder that the first line names.
func folderOf(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(`^demo +all on this machine, in (/\S+), which`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no folder is named in %q", text)
	}
	return found[1]
}

// nothingLeft checks that a folder is gone, and whatever ran in it.
func nothingLeft(t *testing.T, folder string) {
	t.Helper()
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", folder, err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		// Those that cannot be read have ended, or are others'.
		if line, err := os.ReadFile(p); err == nil && strings.Contains(string(line), folder) {
			t.Errorf("still running: %q", line)
		}
	}
}

func TestRun(t *testing.T) {
	// What a user's environment may hold: none of it may send anything elsewhere.
	for name, value := range map[string]string{
		"PIP_INDEX_URL": "http://127.0.0.1:1/simple/", "PIP_FIND_LINKS": "/nowhere", "PIP_NO_BINARY": ":all:",
		"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	var out bytes.Buffer
	err := Run(t.Context(), &out)
	text := out.String()
	t.Log("\n" + text)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, "\n"); n > 15 || strings.ContainsAny(text, "\x1b\r") {
		t.Errorf("%d lines, or not plain", n)
	}
	at := numbers(t, text, `resumed +opened again, it went on at byte (\d+); (\d+) bytes, under way when it was stopped, were sent twice`)
	if at[0] == 0 || at[1] > cutEvery {
		t.Errorf("resumed: %v", at)
	}
	line := numbers(t, text, `line +cut (\d+) times; (\d+) connections for the large file; (\d+) bytes received for (\d+) kept, which is ([\d.]+) for each`)
	// Each connection but the last was cut; one more was broken off by the stop.
	if line[0] < leastCuts || line[1] < line[0]+1 || line[1] > line[0]+2 || line[2] < line[3] || line[3] < 4<<20 || line[4] >= 1.1 {
		t.Errorf("line: %v", line)
	}
	pip := numbers(t, text, `pip +[\d.]+\S* installed \S+ from the box: (\d+) packages in ([\d.]+) s, (\d+) requests, (\d+) failed`)
	if pip[0] < 2 || pip[2] < pip[0] || pip[3] != 0 {
		t.Errorf("pip: %v", pip)
	}
	mirrored := numbers(t, text, `mirrored (\d+) files for .*, in ([\d.]+) s`)
	if mirrored[0] < pip[0] {
		t.Errorf("%v files mirrored for %v packages", mirrored[0], pip[0])
	}
	if dead := numbers(t, text, `index +received (\d+) requests since it was switched off`); dead[0] != 0 {
		t.Errorf("the dead index: %v", dead)
	}
	if verify := numbers(t, text, `verify +(\d+) blobs, .* hashed, (\d+) faults`); verify[0] < mirrored[0] || verify[1] != 0 {
		t.Errorf("verify: %v", verify)
	}
	if done := numbers(t, text, `done +in ([\d.]+) s; (\d+) claims were checked, .*`); int(done[1]) != len((&measured{}).claims()) {
		t.Errorf("done: %v", done)
	}
	nothingLeft(t, folderOf(t, text))
}

// stopper ends a context when a text is written.
type stopper struct {
	bytes.Buffer
	text string
	stop func()
}

func (s *stopper) Write(b []byte) (int, error) {
	if strings.Contains(string(b), s.text) {
		s.stop()
	}
	return s.Buffer.Write(b)
}

// TestStop stops the demo before the download, and before the virtual
// environment is made: nothing may be left of it.
func TestStop(t *testing.T) {
	for _, text := range []string{"its line carries", "switched off; the box"} {
		t.Run(text, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := &stopper{text: text, stop: cancel}
			err := Run(ctx, out)
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped before its end") {
				t.Errorf("error %v", err)
			}
			if strings.Contains(out.String(), "done") {
				t.Errorf("it says that it is done:\n%s", out)
			}
			nothingLeft(t, folderOf(t, out.String()))
		})
	}
}

// TestStopEndsPrograms stops a program that has started another one.
func TestStopEndsPrograms(t *testing.T) {
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ready := filepath.Join(folder, "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	// The inner one holds standard output: run waits until it has ended too.
	script := "import signal, subprocess, sys\n" +
		"if len(sys.argv) == 1:\n" +
		"    subprocess.run([sys.executable, sys.argv[0], " + strconv.Quote(ready) + "])\n" +
		"open(sys.argv[1], 'w').close()\n" +
		"while True: signal.pause()\n"
	path := filepath.Join(folder, "outer.py")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, folder, "python3", path)
		ended <- err
	}()
	running := make(chan error, 1)
	go func() {
		f, err := os.Open(ready) // waits for the inner one
		if err == nil {
			err = f.Close()
		}
		running <- err
	}()
	select {
	case err := <-running:
		if err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error although it was stopped")
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if line, err := os.ReadFile(p); err == nil && strings.Contains(string(line), path) {
			t.Errorf("still running: %q", line)
		}
	}
}

func TestWithoutPython(t *testing.T) {
	empty := t.TempDir()
	without := t.TempDir()
	script := "#!/bin/sh\necho \"No module named 'ensurepip'\" >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(without, "python3"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"no python": empty, "no venv": without} {
		t.Setenv("PATH", path)
		var out bytes.Buffer
		err := Run(t.Context(), &out)
		if err == nil || !strings.Contains(err.Error(), "apt install python3 python3-venv") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "no venv" && (err == nil || !strings.Contains(err.Error(), "ensurepip")) {
			t.Errorf("%s: the reason is missing: %v", name, err)
		}
		if out.Len() > 0 {
			t.Errorf("%s: something was begun: %s", name, out.String())
		}
	}
}

// TestClaims makes each figure wrong by itself: exactly the claims that rest on
// it must fall.
func TestClaims(t *testing.T) {
	good := func() *measured {
		m := &measured{
			stopped: true, files: 8, indexOff: true, requests: 20, installed: []string{"cheeseplate", largeModule},
			imported: largeVersion, verified: true, blobs: 16,
		}
		for i := range 30 {
			m.answers = append(m.answers, answer{int64(i) * cutEvery, cutEvery, i < 29})
		}
		m.largeSize = 30 * cutEvery
		m.partial, m.wentOnAt = 10*cutEvery, 10*cutEvery
		m.received, m.kept = m.largeSize+200, m.largeSize+100
		return m
	}
	failing := func(m *measured) string {
		var out []string
		for _, c := range m.claims() {
			if !c.holds {
				out = append(out, c.text)
			}
		}
		return strings.Join(out, "; ")
	}
	if got := failing(good()); got != "" {
		t.Fatalf("a good run fails: %s", got)
	}
	for want, spoil := range map[string]func(*measured){
		"the line was cut dozens of times":                                                   func(m *measured) { m.answers = m.answers[10:] },
		"the box was stopped in mid-download":                                                func(m *measured) { m.stopped = false },
		"the box was stopped in mid-download; it went on where it had stopped":               func(m *measured) { m.partial = 0 },
		"it went on where it had stopped":                                                    func(m *measured) { m.wentOnAt = 0 },
		"no byte crossed the line twice but those under way at the stop":                     func(m *measured) { m.answers[20].start = 5 * cutEvery },
		"the large file is whole":                                                            func(m *measured) { m.answers[29].sent-- },
		"the line carried less than a tenth more than what is kept":                          func(m *measured) { m.received *= 2 },
		"the index was off":                                                                  func(m *measured) { m.indexOff = false },
		"pip installed the selection from the box":                                           func(m *measured) { m.installed = []string{"cheeseplate"} },
		"pip installed the selection from the box; the box answered each request of pip's":   func(m *measured) { m.installed, m.requests = nil, 0 },
		"the box answered each request of pip's":                                             func(m *measured) { m.failed = 1 },
		"the index received no request after it was switched off":                            func(m *measured) { m.deadRequests = 1 },
		"what was installed can be imported":                                                 func(m *measured) { m.imported = "" },
		"verify found the store sound":                                                       func(m *measured) { m.faults = 1 },
		"the large file is whole; the line carried less than a tenth more than what is kept": func(m *measured) { m.largeSize *= 2 },
	} {
		m := good()
		spoil(m)
		if got := failing(m); got != want {
			t.Errorf("fell: %q, want %q", got, want)
		}
	}
}

func TestAnswersOf(t *testing.T) {
	got, err := answersOf(upstreamtest.Requests{
		{Status: 200, Body: cutEvery},
		{Status: 206, Range: "bytes=65536-", Body: 1000}, // stopped
		{Status: 206, Range: "bytes=66000-", Body: cutEvery},
		{Status: 206, Range: "bytes=131536-", Body: 7},
	})
	if err != nil || len(got) != 4 || cuts(got) != 2 || resent(got) != 536 || ends(got) != 131543 {
		t.Errorf("%+v, %v: %d cuts, %d bytes twice", got, err, cuts(got), resent(got))
	}
	if _, err := answersOf(upstreamtest.Requests{{Status: 206, Range: "bytes=-5"}}); err == nil {
		t.Error("a range without a beginning is taken")
	}
}

// failing takes so many lines and then no more.
type failing struct{ lines int }

func (f *failing) Write(b []byte) (int, error) {
	if f.lines--; f.lines < 0 {
		return 0, os.ErrClosed
	}
	return len(b), nil
}

func TestLinesKeepTheFirstError(t *testing.T) {
	out := &lines{w: &failing{lines: 1}}
	out.say("one", "%d", 1)
	if out.err != nil {
		t.Fatal(out.err)
	}
	out.say("two", "")
	out.w = &bytes.Buffer{}
	out.say("three", "")
	if !errors.Is(out.err, os.ErrClosed) {
		t.Errorf("error %v", out.err)
	}
}

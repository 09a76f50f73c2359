package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// The statuses with which the program ends.
const (
	notDone   = 1
	usedWrong = 2
)

// complains fails the test unless a command ended with the status, and with a
// last word on standard error that has all the fragments.
func complains(t *testing.T, o outcome, status int, fragments ...string) {
	t.Helper()
	if o.status != status {
		t.Errorf("status %d, want %d", o.status, status)
	}
	_, sentence, said := strings.Cut("\n"+o.stderr, "\ncheeseboard: ")
	if !said {
		t.Errorf("no sentence on standard error: %q", o.stderr)
	}
	for _, fragment := range fragments {
		if !strings.Contains(sentence, fragment) {
			t.Errorf("the sentence lacks %q: %s", fragment, sentence)
		}
	}
}

// inventory is what lies in a folder: path → size, mode and time of change. What
// is only about who has the folder open is left out.
func inventory(t *testing.T, folder string) map[string]string {
	t.Helper()
	list := make(map[string]string)
	must(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if name := entry.Name(); name == "lock" || name == "control.sock" || entry.IsDir() {
			return nil
		}
		list[path] = fmt.Sprintf("%d bytes, %v, %v", info.Size(), info.Mode(), info.ModTime())
		return nil
	}))
	return list
}

// untouched fails the test unless what do does leaves a folder as it is.
func untouched(t *testing.T, folder string, do func()) {
	t.Helper()
	before := inventory(t, folder)
	do()
	if after := inventory(t, folder); !maps.Equal(before, after) {
		t.Errorf("%s was %v, and is now %v", folder, before, after)
	}
}

// stocked is a site that holds a few files.
func stocked(t *testing.T) *site {
	t.Helper()
	s := newSite(t, nil, selection)
	s.succeed("sync")
	return s
}

// every is all commands that open the data folder.
var every = []string{"serve", "sync", "verify", "status"}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	file := filepath.Join(t.TempDir(), "box.toml")
	must(t, os.WriteFile(file, []byte("[serve]\nlisten = \"127.0.0.1:0\"\n\n[sync]\nintervall = \"6h\"\nconnections = \"many\"\nplatforms = [\"linux-pentium\"]\n"), 0o644))
	untouched(t, s.data, func() {
		for _, verb := range append(every, "config") {
			complains(t, s.run(verb, "--config", file), notDone,
				file+":5:1: sync.intervall: unknown key", "did you mean sync.interval?",
				file+":6:15: sync.connections", "expected a whole number",
				file+":7:", "linux-pentium")
		}
	})
	for _, wrong := range []struct {
		setting   string
		fragments []string
	}{
		{"sync.interval=6 hours", []string{"sync.interval", `"6 hours"`, "expected a duration"}},
		{"storage.reserve=lots", []string{"storage.reserve", `"lots"`, "expected a size"}},
		{"serve.listen=nowhere", []string{"serve.listen", `"nowhere"`}},
		{"upstream.url=ftp://example.org/", []string{"upstream.url", "http"}},
		{"no.such=key", []string{"no.such", "unknown key"}},
		{"sync.interval", []string{"key=value"}},
	} {
		complains(t, s.run("serve", "--set", wrong.setting), notDone, wrong.fragments...)
	}
	s.sound()
}

func TestNoConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	missing := filepath.Join(t.TempDir(), "missing.toml")
	c := command(t, s.args("serve")...)
	c.Env = environment("CHEESEBOARD_CONFIG=" + missing)
	complains(t, finish(t, c), notDone, missing, "no such file")

	o := s.run("serve", "--config", missing)
	complains(t, o, notDone, missing, "no such file")
	advice := regexp.MustCompile(`write one with "cheeseboard ([^"]+)"`).FindStringSubmatch(o.stderr)
	if advice == nil {
		t.Fatalf("it does not say how to write a configuration: %s", o.stderr)
	}
	if o := finish(t, command(t, strings.Fields(advice[1])...)); o.status != 0 {
		t.Errorf("what it says to do ends with status %d: %s", o.status, o.stderr)
	}
	s.succeed("config", "--config", missing)
	if _, err := os.Stat(s.data); !os.IsNotExist(err) {
		t.Errorf("a data folder was made without a configuration (%v)", err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, wrong := range []struct {
		words     []string
		fragments []string
	}{
		{[]string{"frobnicate"}, []string{`no command "frobnicate"`, "cheeseboard --help"}},
		{[]string{"stauts"}, []string{`no command "stauts"`, "did you mean status?", "cheeseboard --help"}},
		{[]string{"--frobnicate"}, []string{"--frobnicate", "cheeseboard --help"}},
		{[]string{"sync", "--repair"}, []string{"--repair", "cheeseboard sync --help"}},
		{[]string{"sync", "numpy"}, []string{`"numpy"`, "cheeseboard sync --help"}},
		{[]string{"verify", "--data"}, []string{"--data", "cheeseboard verify --help"}},
	} {
		complains(t, finish(t, command(t, wrong.words...)), usedWrong, wrong.fragments...)
	}
}

func TestNewerFormat(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	path := filepath.Join(s.data, "FORMAT")
	ours, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte("cheeseboard data 1000\nid FROMTHEFUTURE\n"), 0o644))
	untouched(t, s.data, func() {
		for _, verb := range every {
			complains(t, s.run(verb), notDone, "format 1000", "newer cheeseboard", "--data")
		}
	})
	must(t, os.WriteFile(path, []byte("My holiday pictures\n"), 0o644))
	untouched(t, s.data, func() {
		complains(t, s.run("serve"), notDone, s.data, "FORMAT")
	})
	must(t, os.WriteFile(path, ours, 0o644))
	s.sound()
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	complains(t, s.run("serve", "--listen", l.Addr().String()), notDone, l.Addr().String(), "in use", "--listen")
	must(t, l.Close())
	s.sound()
}

// TestInUse has two processes want one data folder.
func TestInUse(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	b := s.serve()
	complains(t, s.run("serve", "--listen", "127.0.0.1:0"), notDone,
		fmt.Sprintf("process %d", b.command.Process.Pid), "uses this data folder", "--data")
	b.quit()

	// A sync that runs by itself cannot be asked by others, as a box can.
	s.upstream.SetBandwidth(64 << 10)
	sync := launch(t, exec.Command(program(), s.args("sync", "--set", `sync.projects=["stilton"]`)...))
	arrived(t, s, stilton, 64<<10)
	for _, verb := range every {
		complains(t, s.run(verb), notDone, fmt.Sprintf("process %d", sync.command.Process.Pid), "--data")
	}
	s.upstream.SetBandwidth(0)
	<-sync.ended
	if status := sync.command.ProcessState.ExitCode(); status != 0 {
		t.Errorf("the sync that had the folder ended with status %d", status)
	}
	s.sound()
}

// arrived waits until the upstream has sent so much of a file.
func arrived(t *testing.T, s *site, filename string, bytes int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, s.upstream.Wait(ctx, func(q upstreamtest.Requests) bool {
		return q.On(upstreamtest.OnFile(filename)).Body() >= bytes
	}))
}

// TestReadOnly gives the program a folder that it may not write to.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	modes := make(map[string]fs.FileMode)
	must(t, filepath.WalkDir(s.data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		modes[path] = info.Mode().Perm()
		return err
	}))
	restore := func() {
		for path, mode := range modes {
			must(t, os.Chmod(path, mode))
		}
	}
	t.Cleanup(restore) // or the folder could not be removed
	for path, mode := range modes {
		must(t, os.Chmod(path, mode&^0o222))
	}
	untouched(t, s.data, func() {
		for _, verb := range every {
			c := command(t, s.args(verb)...)
			if os.Getuid() == 0 {
				unprivileged(t, c)
			}
			complains(t, finish(t, c), notDone, s.data, "may not write", "--data")
		}
	})
	restore()
	s.sound()
}

// unprivileged takes from a command what lets root ignore the modes of files.
func unprivileged(t *testing.T, c *exec.Cmd) {
	t.Helper()
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("root can write everywhere, and there is no setpriv to change that")
	}
	c.Args = append([]string{setpriv, "--bounding-set=-dac_override,-dac_read_search", c.Path}, c.Args[1:]...)
	c.Path = setpriv
}

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// patience is how long a step may take before a test gives it up. It is no
// measure of anything: a loaded machine may need much of it.
const patience = 90 * time.Second

// mebi is 1 MiB.
const mebi = 1 << 20

// promptly is how long the program may take to end after it was asked to: longer than a
// busy machine needs, and not as long as it waits for an upstream that is silent.
const promptly = 20 * time.Second

// site is one data folder and the upstream that it mirrors.
type site struct {
	t        *testing.T
	data     string
	upstream *upstreamtest.Server
	settings []string // "key=value", for every command
}

// newSite makes a site that mirrors an index; nil is the sample.
func newSite(t *testing.T, index *upstreamtest.Index, settings ...string) *site {
	t.Helper()
	if index == nil {
		index = upstreamtest.SampleIndex(1)
	}
	return &site{t: t, data: filepath.Join(t.TempDir(), "data"), upstream: startUpstream(t, index), settings: settings}
}

func startUpstream(t *testing.T, index *upstreamtest.Index) *upstreamtest.Server {
	t.Helper()
	server := upstreamtest.NewServer(index)
	must(t, server.Start())
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close upstream: %v", err)
		}
	})
	return server
}

// args are the arguments of a command for this site.
func (s *site) args(words ...string) []string {
	args := []string{words[0], "--data", s.data, "--set", "upstream.url=" + s.upstream.IndexURL()}
	for _, setting := range s.settings {
		args = append(args, "--set", setting)
	}
	return append(args, words[1:]...) // the last setting of a key counts
}

// outcome is how a command ended.
type outcome struct {
	status         int // negative: killed by a signal
	stdout, stderr string
	took           time.Duration
}

// run runs a command for the site to its end.
func (s *site) run(words ...string) outcome {
	s.t.Helper()
	return finish(s.t, command(s.t, s.args(words...)...))
}

// succeed runs a command that must end with status 0.
func (s *site) succeed(words ...string) outcome {
	s.t.Helper()
	o := s.run(words...)
	if o.status != 0 {
		s.t.Fatalf("cheeseboard %v: status %d\n%s%s", words, o.status, o.stdout, o.stderr)
	}
	return o
}

// sound fails the test if verify finds anything.
func (s *site) sound() {
	s.t.Helper()
	o := s.succeed("verify", "--restart")
	if !strings.Contains(o.stdout, " 0 faults") || !strings.Contains(o.stdout, "(complete)") {
		s.t.Errorf("verify says: %s", o.stdout)
	}
}

// command is the program with its arguments, not yet started.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, program(), args...)
	c.Env = environment()
	c.Dir = t.TempDir() // no cheeseboard.toml is here
	return c
}

// finish runs a command and looks whether it died of a bug.
func finish(t *testing.T, c *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	begun := time.Now()
	err := c.Run()
	o := outcome{status: c.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String(), took: time.Since(begun)}
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("run %v: %v", c.Args, err)
	}
	intact(t, c, o.stderr)
	return o
}

// intact fails the test if a program's complaints are those of a bug, or if it
// logged an error other than that the disk takes nothing.
func intact(t *testing.T, c *exec.Cmd, stderr string) {
	t.Helper()
	for line := range strings.Lines(stderr) {
		bug := strings.Contains(line, "level=ERROR") && !strings.Contains(line, "disk is full") && !strings.Contains(line, "can only be read")
		for _, sign := range []string{"DATA RACE", "panic:", "fatal error:", "goroutine ", "unexpected fault address"} {
			bug = bug || strings.Contains(line, sign)
		}
		if bug {
			t.Errorf("%v:\n%s", c.Args, stderr)
			return
		}
	}
}

// box is a cheeseboard that goes on until it is stopped.
type box struct {
	t       *testing.T // nil in scripts
	command *exec.Cmd
	url     string // http://127.0.0.1:12345, once it is ready
	stdout  announcements
	stderr  announcements
	ended   chan struct{} // closed when the program has ended
}

// serve starts the program and waits until it can be reached.
func (s *site) serve(words ...string) *box {
	s.t.Helper()
	args := s.args(append([]string{"serve", "--listen", "127.0.0.1:0"}, words...)...)
	b := launch(s.t, exec.Command(program(), args...))
	must(s.t, b.ready())
	return b
}

// launch starts a command that the end of the test ends.
func launch(t *testing.T, c *exec.Cmd) *box {
	t.Helper()
	c.Env, c.Dir = environment(), t.TempDir()
	b, err := start(c)
	must(t, err)
	b.t = t
	t.Cleanup(func() {
		b.kill()
		intact(t, c, b.stderr.String())
		if t.Failed() {
			t.Logf("%v said:\n%s%s", c.Args, b.stdout.String(), b.stderr.String())
		}
	})
	return b
}

func start(c *exec.Cmd) (*box, error) {
	b := &box{command: c, ended: make(chan struct{})}
	c.Stdout, c.Stderr = &b.stdout, &b.stderr
	if err := c.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.Wait() // how it ended is read from ProcessState
		close(b.ended)
	}()
	return b, nil
}

func (b *box) kill() {
	_ = b.command.Process.Kill() // it may have ended long ago
	<-b.ended
}

var announcedIndex = regexp.MustCompile(`index: (http://\S+)/simple/\n`)

// ready waits until the box has said where its index is.
func (b *box) ready() error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		said, more := b.stdout.next()
		if m := announcedIndex.FindStringSubmatch(said); m != nil {
			b.url = m[1]
			return nil
		}
		select {
		case <-more:
		case <-b.ended:
			return fmt.Errorf("the box has ended:\n%s", b.stderr.String())
		case <-timer.C:
			return errors.New("the box does not say where its index is")
		}
	}
}

func (b *box) index() string { return b.url + "/simple/" }

// signal ends the program by a signal, and gives how long that took and its
// status; that is negative where the signal killed it.
func (b *box) signal(s os.Signal) (took time.Duration, status int, err error) {
	begun := time.Now()
	if err := b.command.Process.Signal(s); err != nil {
		return 0, 0, err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-b.ended:
		return time.Since(begun), b.command.ProcessState.ExitCode(), nil
	case <-timer.C:
		return 0, 0, fmt.Errorf("the program does not end after %v", s)
	}
}

// quit stops a box, which must end well and in time.
func (b *box) quit() {
	b.t.Helper()
	took, status, err := b.signal(syscall.SIGTERM)
	if err != nil || status != 0 || took > promptly {
		b.t.Errorf("after SIGTERM the box ended with status %d in %v (%v)", status, took, err)
	}
}

// announcements is what a program has written so far.
type announcements struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (a *announcements) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.more != nil {
		close(a.more)
		a.more = nil
	}
	return a.text.Write(p)
}

func (a *announcements) String() string {
	said, _ := a.next()
	return said
}

// next gives what was written, and a channel that is closed when there is more.
func (a *announcements) next() (said string, more <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.more == nil {
		a.more = make(chan struct{})
	}
	return a.text.String(), a.more
}

// must ends the test for an error of what the test itself needs.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package console

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the recorded session anew")

// terminal is the other end of a serial port: the master of a pty.
type terminal struct {
	t    *testing.T
	file *os.File
	path string // of the port
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("there are no pseudo terminals here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "ptmx") // with the runtime's poller: it can wait for a while
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() }) // it may have been pulled out
	return &terminal{t, file, fmt.Sprintf("/dev/pts/%d", number)}
}

// until reads until the end of what was said is as wanted.
func (p *terminal) until(end string) string {
	p.t.Helper()
	var said []byte
	buffer := make([]byte, 4096)
	if err := p.file.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	for !bytes.HasSuffix(said, []byte(end)) {
		n, err := p.file.Read(buffer)
		said = append(said, buffer[:n]...)
		if err != nil && !errors.Is(err, syscall.EIO) { // EIO: nobody has the port open yet
			p.t.Fatalf("%v, after %q", err, said)
		}
	}
	return string(said)
}

func (p *terminal) write(text string) {
	p.t.Helper()
	if _, err := p.file.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

// diary tells when the log says something.
type diary struct {
	slog.Handler
	mu    sync.Mutex
	said  []string
	heard chan struct{}
}

func newDiary() *diary { return &diary{Handler: slog.DiscardHandler, heard: make(chan struct{}, 100)} }

func (d *diary) Enabled(context.Context, slog.Level) bool { return true }

func (d *diary) Handle(_ context.Context, r slog.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	d.said = append(d.said, text)
	select {
	case d.heard <- struct{}{}:
	default:
	}
	return nil
}

func (d *diary) count(text string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.said {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (d *diary) await(t *testing.T, text string, times int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for d.count(text) < times {
		select {
		case <-d.heard:
		case <-deadline:
			t.Fatalf("the log does not say %q %d times: %q", text, times, d.said)
		}
	}
}

// runConsole holds a console at ports until the test ends, or end.
func runConsole(t *testing.T, d Deps, ports ...string) (log *diary, end func()) {
	log = newDiary()
	d.Log, d.Look = slog.New(log), 20*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { New(d, ports).Run(ctx) })
	end = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(end)
	return log, end
}

// TestRecordedSession is what a person and a machine see at a real port, byte for byte.
func TestRecordedSession(t *testing.T) {
	p, b := newTerminal(t), newBox()
	log, end := runConsole(t, b.deps(), p.path)
	log.await(t, "a console is at", 1)
	var said strings.Builder
	for _, step := range [][2]string{
		{"\r", "> "}, {"status\r", "> "}, {"2\r\n", "> "}, {"wishes\r", "> "}, {"logs\r", "> "},
		{"sync\r", "PIN: "}, {"wrong\r", "> "}, {"sync\r", "PIN: "}, {"open-sesame-1\r", "> "},
		{"clock 2026-11-23 14:05\r", "> "}, {"clokc\r", "> "},
		{"json\r", "}\n"}, {`{"do":"status"}` + "\n", "}\n"}, {`{"do":"wishes"}` + "\n", "}\n"}, {`{"do":"off"}` + "\n", "}\n"},
		{`{"do":"off","pin":"open-sesame-1"}` + "\n", "}\n"}, {`{"do":"menu"}` + "\n", "> "}, {"logout\r", "> "}, {"off\r", "PIN: "},
	} {
		p.write(step[0])
		said.WriteString(p.until(step[1]))
	}
	got := strings.ReplaceAll(said.String(), "\r\n", "\n")
	golden := filepath.Join("testdata", "session.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it is otherwise than in %s (go test -update writes it anew):\n%s", golden, got)
	}
	end() // its goroutine has changed the box
	if b.synced != 1 || b.off != 1 || b.set.IsZero() {
		t.Errorf("%+v", b)
	}
}

// TestPortsComeAndGo: a port is used when it appears, again after it was pulled out,
// and one without a driver harms no other.
func TestPortsComeAndGo(t *testing.T) {
	dir := t.TempDir()
	path, noise := filepath.Join(dir, "serial0"), filepath.Join(dir, "no-port")
	if err := os.WriteFile(noise, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	log, end := runConsole(t, newBox().deps(), path, path+"-alias", noise)
	log.await(t, "cannot be opened", 1)
	for round := 1; round <= 3; round++ {
		p := newTerminal(t)
		for _, name := range []string{path, path + "-alias"} {
			if err := os.Symlink(p.path, name); err != nil {
				t.Fatal(err)
			}
		}
		log.await(t, "a console is at", round)
		p.write("status\r")
		if said := p.until("> "); !strings.Contains(said, "14 files") {
			t.Errorf("%q", said)
		}
		for _, name := range []string{path, path + "-alias"} {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.file.Close(); err != nil {
			t.Fatal(err)
		}
		log.await(t, "a serial port is gone", round)
	}
	end()
	if n := log.count("a console is at"); n != 3 {
		t.Errorf("%d sessions at 3 ports", n)
	}
	if n := log.count("cannot be opened"); n != 1 {
		t.Errorf("the log tells %d times of what cannot be opened", n)
	}
}

// TestNoPort: one line in the log, and no more.
func TestNoPort(t *testing.T) {
	dir := t.TempDir()
	d := newBox().deps()
	d.Open = func(string) (Port, error) { t.Error("something was opened"); return nil, errors.ErrUnsupported }
	log, end := runConsole(t, d, filepath.Join(dir, "serial0"), filepath.Join(dir, "ttyGS0"))
	log.await(t, "there is no serial port", 1)
	<-time.After(200 * time.Millisecond) // ten looks
	end()
	if len(log.said) != 1 {
		t.Errorf("%q", log.said)
	}
}

// TestUnread: at a port that nobody reads answers are dropped, and its writer waits in
// the kernel. Another port of the same console is not slower for that than one of a
// console of its own, and the console ends in time.
func TestUnread(t *testing.T) {
	unread, beside, alone := newTerminal(t), newTerminal(t), newTerminal(t)
	answered := make(chan struct{}, 1)
	d := newBox().deps()
	d.Logs = func() []string { answered <- struct{}{}; return nil }
	log, end := runConsole(t, d, unread.path, beside.path)
	other, _ := runConsole(t, newBox().deps(), alone.path)
	log.await(t, "a console is at", 2)
	other.await(t, "a console is at", 1)
	for range 300 { // the list has half a kilobyte: more than outbox and pty hold
		unread.write("help\r")
	}
	unread.write("logs\r")
	<-answered // so all before has been dealt with
	ask := func(p *terminal) time.Duration {
		begun := time.Now()
		p.write("status\r")
		p.until("> ")
		return time.Since(begun)
	}
	var took [2][]time.Duration
	for range 61 { // in turns: what else this machine does meets both
		took[0] = append(took[0], ask(alone))
		took[1] = append(took[1], ask(beside))
	}
	for _, times := range took {
		slices.Sort(times)
	}
	by, without := took[1][30], took[0][30]
	t.Logf("an answer takes %v, and %v beside a port that nobody reads", without, by)
	if by > without+10*time.Millisecond {
		t.Errorf("an answer takes %v, and %v beside a port that nobody reads", without, by)
	}
	end()
	if n := log.count("nobody read what the console said"); n != 1 {
		t.Errorf("nothing was dropped: %q", log.said)
	}
}

// TestStuckDriver: a driver that never lets go of a write does not keep the console.
func TestStuckDriver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ttyGS0")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stuck := &stuckPort{input: make(chan string, 1), writing: make(chan struct{}), forever: make(chan struct{})}
	defer close(stuck.forever)
	stuck.input <- "help\r"
	d := newBox().deps()
	d.Open = func(string) (Port, error) { return stuck, nil }
	log, end := runConsole(t, d, path)
	<-stuck.writing
	end()
	if log.count("does not let go") != 1 || stuck.closed {
		t.Errorf("%q, closed: %t", log.said, stuck.closed)
	}
}

// stuckPort is a port whose writes do not return until forever is closed; the first
// closes writing.
type stuckPort struct {
	input   chan string
	once    sync.Once
	writing chan struct{}
	forever chan struct{}
	closed  bool
}

func (p *stuckPort) Read(b []byte) (int, error) {
	select {
	case s := <-p.input:
		return copy(b, s), nil
	case <-time.After(10 * time.Millisecond):
		return 0, nil
	}
}
func (p *stuckPort) Write(b []byte) (int, error) {
	p.once.Do(func() { close(p.writing) })
	<-p.forever
	return len(b), nil
}
func (p *stuckPort) Flush() error { return nil }
func (p *stuckPort) Close() error { p.closed = true; return nil }

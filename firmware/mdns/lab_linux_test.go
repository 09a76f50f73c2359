package mdns_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cheeseboard/firmware/mdns"
)

// patience is how long a test waits for what is to come; what it holds is told apart.
const patience = time.Minute

// responderVariable has this program be a responder instead of a test: it is the label
// that is wanted, the identity, and the label that was kept.
const responderVariable = "CHEESEBOARD_TEST_RESPONDER"

func TestMain(m *testing.M) {
	if what := os.Getenv(responderVariable); what != "" {
		beResponder(what)
		return
	}
	os.Exit(m.Run())
}

// beResponder runs until the standard input ends, and prints what becomes of its name.
func beResponder(what string) {
	part := strings.Split(what, "|")
	ctx, cancel := testContext()
	r := mdns.New(mdns.Options{
		Name: part[0], ID: part[1], Kept: part[2], Service: "_http._tcp", Port: 8080,
		Text: []string{"path=/", "simple=/simple/", "id=" + part[1]},
		Keep: func(label string) { fmt.Println("keep", label) },
	})
	var printing sync.WaitGroup
	printing.Go(func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin) // until it ends
	})
	printing.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for told := ""; ctx.Err() == nil; <-ticker.C {
			if s := r.State(); s.Name != told {
				told = s.Name
				fmt.Println("name", s.Name)
			}
		}
	})
	if err := r.Run(ctx); err != nil {
		fmt.Println("error", err)
	}
	cancel()
}

// host is a machine of its own: a namespace of networks and one of mounts.
type host struct {
	t   *testing.T
	pid int
}

// need skips a test where the machine or the user cannot have what it needs; CI installs
// the tools (scripts/test).
func need(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces are for root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v", err)
		}
	}
}

func newHost(t *testing.T) *host {
	t.Helper()
	c := exec.Command("sleep", "infinity")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Skipf("no network namespace can be made: %v", err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
	})
	h := &host{t, c.Process.Pid}
	h.run("ip", "link", "set", "lo", "up")
	return h
}

// command is one that runs on the host.
func (h *host) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", strconv.Itoa(h.pid), "-n", "-m", "--"}, args...)...)
}

func (h *host) run(args ...string) {
	h.t.Helper()
	if out, err := h.command(args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// cable connects two hosts, whose addresses on it are given.
func cable(name string, a *host, aAddress string, b *host, bAddress string) {
	a.run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", strconv.Itoa(b.pid))
	for h, address := range map[*host]string{a: aAddress, b: bAddress} {
		h.run("ip", "address", "add", address, "dev", name)
		h.run("ip", "link", "set", name, "up")
	}
}

// running is a program whose output is read line by line.
type running struct {
	t    *testing.T
	name string
	end  func()

	mu   sync.Mutex
	said []string
	more chan struct{}
}

// start starts a program; it is ended with the test, or by end: by closing its input
// where it has one, else by a signal.
func start(t *testing.T, c *exec.Cmd, input bool) *running {
	t.Helper()
	r := &running{t: t, name: strings.Join(c.Args, " "), more: make(chan struct{})}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = w, w
	stop := func() error { return c.Process.Signal(syscall.SIGTERM) }
	if input {
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stop = in.Close
	}
	if err := errors.Join(c.Start(), w.Close()); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { r.read(out) })
	r.end = sync.OnceFunc(func() {
		_ = stop() // it may have ended
		_ = c.Wait()
		reading.Wait()
	})
	t.Cleanup(r.end)
	return r
}

func (r *running) read(from io.ReadCloser) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		r.mu.Lock()
		r.said = append(r.said, lines.Text())
		close(r.more)
		r.more = make(chan struct{})
		r.mu.Unlock()
	}
	_ = from.Close()
}

// await waits for a line with all these texts in it, and gives it; only lines after the
// first `after` ones count.
func (r *running) await(after int, texts ...string) string {
	r.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		r.mu.Lock()
		said, more := r.said[min(after, len(r.said)):], r.more
		r.mu.Unlock()
		for _, line := range said {
			if holds(line, texts) {
				return line
			}
		}
		select {
		case <-more:
		case <-timer.C:
			r.t.Fatalf("%s has not said %q, but %q", r.name, texts, r.all())
		}
	}
}

func holds(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}
	return true
}

func (r *running) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.said...)
}

// responder starts ours on a host.
func (h *host) responder(label, id, kept string) *running {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	c := h.command(self)
	c.Env = append(os.Environ(), responderVariable+"="+label+"|"+id+"|"+kept)
	return start(h.t, c, true)
}

// avahi is the real one, with a bus of its own.
type avahi struct {
	*host
	daemon *running
	bus    string
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
`

const avahiConfig = `[server]
host-name=%s
use-ipv4=yes
use-ipv6=yes
allow-interfaces=%s
[publish]
publish-workstation=no
publish-hinfo=no
[rlimits]
`

// startAvahi starts it on a host. It comes back when the daemon says that its name is
// settled.
func startAvahi(h *host, name, link string) *avahi {
	h.t.Helper()
	folder := h.t.TempDir()
	a := &avahi{host: h, bus: "unix:path=" + filepath.Join(folder, "bus")}
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			h.t.Fatal(err)
		}
		return path
	}
	h.run("mkdir", "-p", "/run/avahi-daemon")
	h.run("mount", "-t", "tmpfs", "tmpfs", "/run/avahi-daemon")
	bus := start(h.t, h.command("dbus-daemon", "--nofork", "--print-address", "--config-file="+write("bus.conf", fmt.Sprintf(busConfig, filepath.Join(folder, "bus")))), false)
	bus.await(0, "unix:path=")
	c := h.command("avahi-daemon", "--no-drop-root", "--no-chroot", "--no-proc-title", "--debug", "-f", write("avahi.conf", fmt.Sprintf(avahiConfig, name, link)))
	c.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+a.bus)
	a.daemon = start(h.t, c, false)
	a.daemon.await(0, "Server startup complete")
	return a
}

// client is one of avahi's programs.
func (a *avahi) client(args ...string) *exec.Cmd {
	c := a.command(args...)
	c.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+a.bus)
	return c
}

// resolve asks for the IPv4 address of a name until it is the one that is wanted, and
// gives how long that took.
func (a *avahi) resolve(name, want string) time.Duration {
	a.t.Helper()
	begun := time.Now()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		out, err := a.client("avahi-resolve", "-4", "-n", name).CombinedOutput()
		if bytes.Contains(out, []byte(want+"\n")) {
			return time.Since(begun)
		}
		if time.Since(begun) > patience {
			a.t.Fatalf("%s is not %s: %s %v", name, want, out, err)
		}
		<-ticker.C
	}
}

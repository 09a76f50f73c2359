package guest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Machine is what a test needs in a guest. The zero value is a machine with one
// processor, 256 MB and a console.
type Machine struct {
	Modules []string          // of the kernel, by name; loaded in this order, with what they need
	Files   map[string]string // path in the guest to path here; programs keep their mode
	Devices []string          // arguments for qemu; "{dir}" is a folder of this machine's own
	Memory  int               // MB; 0: 256
	// Ports are those of the machine that can be reached from here, see Guest.Address. A
	// machine with ports has a network, in which this one is 10.0.2.2.
	Ports []int
	// OwnTime has the machine's clock go by what it computes, not by ours: however busy
	// we are, nothing is late in it, and while it waits its time flies.
	OwnTime bool
}

// Guest is a machine that runs a scene.
type Guest struct {
	Dir string // holds the sockets of its devices
	QMP *QMP

	t       *testing.T
	ports   map[int]int // port of the guest -> port here
	process *exec.Cmd
	console *bytes.Buffer // what is no report
	mu      sync.Mutex    // of console
	reports chan Report
	ended   chan struct{}
}

// Report is a line that a scene sends.
type Report struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value,omitempty"`
}

// Boot starts a machine whose first process is this test program, playing a scene. It
// is stopped when the test ends. Where there is no qemu, or no kernel can be had, the
// test is skipped.
func Boot(t *testing.T, scene string, m Machine) *Guest {
	t.Helper()
	ctx := t.Context()
	for _, program := range []string{"qemu-system-x86_64", "cpio", "depmod", "xz", "dpkg-deb", "apt-get"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("a guest cannot be run here: %v (Debian: apt-get install --no-install-recommends qemu-system-x86 cpio kmod xz-utils)", err)
		}
	}
	kernel, err := LabKernel(ctx, "")
	if err != nil {
		t.Skipf("a guest cannot be run here: %v", err)
	}
	// Not t.TempDir: the path of a socket may have 107 bytes.
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	initramfs := filepath.Join(dir, "initramfs")
	if err := m.pack(ctx, kernel, initramfs); err != nil {
		t.Fatal(err)
	}
	g := &Guest{Dir: dir, t: t, console: &bytes.Buffer{}, reports: make(chan Report, 4096), ended: make(chan struct{})}
	memory := m.Memory
	if memory == 0 {
		memory = 256
	}
	args := []string{
		"-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", "1", "-m", fmt.Sprint(memory), "-no-reboot",
		"-display", "none", "-kernel", kernel.Image, "-initrd", initramfs,
		"-append", "console=ttyS0 quiet panic=-1 scene=" + scene,
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-qmp", "unix:" + filepath.Join(dir, "qmp") + ",server=on,wait=off",
	}
	if m.OwnTime {
		args = append(args, "-icount", "shift=2,sleep=off", "-rtc", "clock=vm")
	}
	args = append(args, m.network()...)
	for _, device := range m.Devices {
		args = append(args, strings.ReplaceAll(device, "{dir}", dir))
	}
	g.process = exec.CommandContext(context.WithoutCancel(ctx), "qemu-system-x86_64", args...)
	console, err := g.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	g.process.Stderr = g
	if err := g.process.Start(); err != nil {
		t.Fatal(err)
	}
	listened := make(chan struct{})
	go func() { defer close(listened); g.listen(console) }()
	go func() {
		defer close(g.ended)
		<-listened
		_ = g.process.Wait() // it was killed, or the guest has said how it ended
	}()
	t.Cleanup(g.stop)
	if g.QMP, err = dialQMP(ctx, filepath.Join(dir, "qmp")); err != nil {
		t.Fatal(err)
	}
	if len(m.Ports) > 0 {
		if g.ports, err = g.QMP.askPorts(); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// network is that of a machine with ports.
func (m Machine) network() []string {
	if len(m.Ports) == 0 {
		return []string{"-nic", "none"}
	}
	return []string{"-netdev", forward(m.Ports), "-device", "virtio-net-pci,netdev=lan,romfile="}
}

// Address is where a port of the guest can be reached from here, as host:port.
func (g *Guest) Address(port int) string { return fmt.Sprintf("127.0.0.1:%d", g.ports[port]) }

// stop ends the machine, if it has not ended, and shows what it said if the test failed.
func (g *Guest) stop() {
	_ = g.process.Process.Kill() // it may have ended
	for range g.reports {        // until the console is closed
	}
	<-g.ended
	if g.t.Failed() || testing.Verbose() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.t.Logf("the guest's console:\n%s", g.console)
	}
}

// Write takes what is no report, from the console and from qemu.
func (g *Guest) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.console.Write(b)
}

// listen sorts what comes over the console.
func (g *Guest) listen(console io.Reader) {
	defer close(g.reports)
	lines := bufio.NewScanner(console)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, text, found := bytes.Cut(lines.Bytes(), []byte(reportMark))
		var r Report
		if found && json.Unmarshal(text, &r) == nil {
			g.reports <- r
			continue
		}
		_, _ = fmt.Fprintf(g, "%s\n", bytes.TrimRight(lines.Bytes(), "\r")) // a buffer takes it all
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		_, _ = fmt.Fprintf(g, "reading the console: %v\n", err)
	}
}

// Next waits for the next report of a name, and decodes its value into v, if that is
// not nil. Reports of other names are passed over. A report "failed" fails the test.
func (g *Guest) Next(name string, patience time.Duration, v any) {
	g.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case r, ok := <-g.reports:
			if !ok {
				g.t.Fatalf("the guest ended before it reported %q", name)
			}
			if r.Name == "failed" {
				g.t.Fatalf("in the guest: %s", r.Value)
			}
			if r.Name != name {
				continue
			}
			if v != nil {
				if err := json.Unmarshal(r.Value, v); err != nil {
					g.t.Fatalf("the report %s %s: %v", name, r.Value, err)
				}
			}
			return
		case <-timeout.C:
			g.t.Fatalf("the guest did not report %q within %s", name, patience)
		}
	}
}

// Dial connects to a socket that a device listens on.
func (g *Guest) Dial(name string) net.Conn {
	g.t.Helper()
	c, err := net.Dial("unix", filepath.Join(g.Dir, name))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() }) // the guest may have ended
	return c
}

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestConfinedConsole: a box that has confined itself answers at its serial port, which
// it opens after that.
func TestConfinedConsole(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds the program a second time")
	}
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("there are no pseudo terminals here: %v", err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { _ = master.Close() }) // it was only for the test
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	path := boardProgram(t)
	s := newSite(t, nil, fmt.Sprintf("console.ports=/dev/pts/%d", number))
	c := exec.Command(path, s.args("serve", "--listen", "127.0.0.1:0")...)
	c.Env, c.Dir = environment(), t.TempDir()
	b, err := start(c)
	must(t, err)
	b.t = t
	t.Cleanup(b.kill)
	must(t, b.ready())

	var said []byte
	buffer, deadline := make([]byte, 4096), time.Now().Add(time.Minute)
	for !bytes.HasSuffix(said, []byte("\n> ")) {
		if time.Now().After(deadline) {
			t.Fatalf("the console says %q, and the log %s", said, b.stderr.String())
		}
		// Until the port is opened, what is typed there waits, or is lost.
		_, _ = master.WriteString("status\r")
		must(t, master.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
		for n := 1; n > 0 && !bytes.HasSuffix(said, []byte("\n> ")); {
			n, _ = master.Read(buffer)
			said = append(said, buffer[:n]...)
		}
	}
	if !strings.Contains(string(said), "projects are here.") {
		t.Errorf("%q", said)
	}
	if log := b.stderr.String(); !strings.Contains(log, "is confined") {
		t.Skip("the kernel does not confine: " + log)
	}
	b.quit()
}

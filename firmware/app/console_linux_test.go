package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cheeseboard/firmware/app"
)

// terminal is the other end of a serial port of the box: the master of a pty.
type terminal struct {
	t    *testing.T
	file *os.File
	path string
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("there are no pseudo terminals here: %v", err)
	}
	file := os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { _ = file.Close() }) // it was only for the test
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &terminal{t, file, fmt.Sprintf("/dev/pts/%d", number)}
}

// ask types a line and gives what is said until the end is as wanted.
func (p *terminal) ask(line, end string) string {
	p.t.Helper()
	if _, err := p.file.WriteString(line + "\r"); err != nil {
		p.t.Fatal(err)
	}
	if err := p.file.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	var said []byte
	buffer := make([]byte, 4096)
	for !bytes.HasSuffix(said, []byte(end)) {
		n, err := p.file.Read(buffer)
		said = append(said, buffer[:n]...)
		if err != nil && !errors.Is(err, syscall.EIO) {
			p.t.Fatalf("%v, after %q", err, said)
		}
	}
	return string(said)
}

// TestConsole talks to a box at a serial port: what anybody may see, what needs the
// passphrase, how the wrong one is slowed down, and how the box is shut down.
func TestConsole(t *testing.T) {
	server, names := many(t, 1)
	p := newTerminal(t)
	c := boxConfig(server, t.TempDir(), names)
	c.Console.Ports, c.Serve.Name = []string{"/dev/no-such-port", p.path}, "box.example"
	s := serveBox(t, c, nil)
	s.diary.await(t, "a console is at a serial port")
	pin, _ := s.FirstPassphrase()
	for line, want := range map[string][]string{
		"status": {"projects are here.", "The clock is right by "}, "address": {"http://127.0.0.1:"},
		"wishes": {"There are none."}, "logs": {"INFO", "a console is at a serial port"}, "": {"Type a word"},
	} {
		said := p.ask(line, "> ")
		for _, text := range want {
			if !strings.Contains(said, text) {
				t.Errorf("%s: %q", line, said)
			}
		}
	}
	p.ask("sync", "PIN: ")
	if said := p.ask("wrong", "> "); !strings.Contains(said, "not the PIN") {
		t.Errorf("%q", said)
	}
	p.ask("sync", "PIN: ")
	if said := p.ask(pin, "> "); !strings.Contains(said, "It begins") || strings.Contains(said, pin) {
		t.Errorf("%q", said)
	}
	p.ask("pin", "New PIN: ")
	p.ask("another-one-77", "Once more: ")
	if said := p.ask("another-one-77", "> "); !strings.Contains(said, "new PIN holds") {
		t.Errorf("%q", said)
	}
	p.ask("json", "}\n")
	object := func(line string) (o struct {
		OK     bool
		Error  string
		Status app.ConsoleStatus
	}) {
		if err := json.Unmarshal([]byte(p.ask(line, "}\n")), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := object(`{"do":"status"}`); !o.OK || o.Status.Health == "" || o.Status.Version == "" || o.Status.Clock == "" {
		t.Errorf("%+v", o)
	}
	// "" makes one where the administrator asks for it, who is then told: not here.
	if o := object(`{"do":"pin","pin":"another-one-77"}`); o.OK || o.Error == "" {
		t.Errorf("an empty PIN: %+v", o)
	}
	slowed := false
	for range 6 { // some are free
		slowed = slowed || strings.Contains(object(`{"do":"off","pin":"guess"}`).Error, "too many wrong")
	}
	if !slowed {
		t.Error("guessing is not slowed down")
	}
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for o := object(`{"do":"off","pin":"another-one-77"}`); !o.OK; o = object(`{"do":"off","pin":"another-one-77"}`) {
		if !strings.Contains(o.Error, "too many wrong") {
			t.Fatalf("%+v", o)
		}
		<-look.C
	}
	s.diary.await(t, "stopping")
}

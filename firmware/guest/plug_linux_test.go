package guest_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
)

// playConsole runs a box that looks for a serial port which is not there yet.
func playConsole(s *guest.Stage) error {
	b, err := startBox("console.ports=/dev/ttyUSB0", "confine.process=false", "clock.verify=never")
	if err != nil {
		return err
	}
	s.Report("serving", nil)
	return <-b.ended
}

// TestSerial talks to the program over a serial port of USB that is plugged in, pulled,
// and plugged in again.
func TestSerial(t *testing.T) {
	wanted(t)
	g := guest.Boot(t, "console", guest.Machine{
		Modules: []string{"xhci-pci", "ftdi_sio"}, Files: buildProgram(t), Memory: 512,
		Devices: []string{"-device", "qemu-xhci", "-chardev", "socket,id=port,path={dir}/port,server=on,wait=off"},
	})
	g.Next("serving", 10*time.Minute, nil)
	plug := func(in bool) {
		t.Helper()
		var err error
		if in {
			err = g.QMP.Do("device_add", map[string]any{"driver": "usb-serial", "id": "serial", "chardev": "port"}, nil)
		} else {
			err = g.QMP.Do("device_del", map[string]any{"id": "serial"}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	plug(true)
	far := g.Dial("port")
	talk(t, far, "status", "upstream")
	plug(false)
	waitFor(t, g, "DEVICE_DELETED")
	plug(true)
	talk(t, far, "address", "http://")
	talk(t, far, "json", `{"ok":true`)
	talk(t, far, `{"do":"status"}`, `"health":"ok"`)
}

// talk says a line until an answer has a word in it, and gives what came.
func talk(t *testing.T, far net.Conn, line, want string) {
	t.Helper()
	var came bytes.Buffer
	buffer := make([]byte, 4096)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		if _, err := fmt.Fprintf(far, "%s\r\n", line); err != nil {
			t.Fatal(err)
		}
		for again := time.Now().Add(5 * time.Second); time.Now().Before(again); {
			if err := far.SetReadDeadline(again); err != nil {
				t.Fatal(err)
			}
			n, err := far.Read(buffer)
			came.Write(buffer[:n])
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			if strings.Contains(came.String(), want) {
				t.Logf("%s:\n%s", line, came.String())
				return
			}
		}
	}
	t.Fatalf("%s gives no %q:\n%s", line, want, came.String())
}

// waitFor waits for an event of qemu.
func waitFor(t *testing.T, g *guest.Guest, name string) {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		select {
		case e, ok := <-g.QMP.Events:
			if !ok {
				t.Fatalf("the guest ended before %s", name)
			}
			if e.Name == name {
				return
			}
		case <-timeout:
			t.Fatalf("there is no %s", name)
		}
	}
}

// playStick runs a box that mounts sticks, and tells what is mounted.
func playStick(s *guest.Stage) error {
	b, err := startBox("stick.folder=/run/sticks", "confine.process=false", "clock.verify=never")
	if err != nil {
		return err
	}
	s.Report("serving", nil)
	for range 2 {
		mounted, err := mountOf("/run/sticks", true)
		if err != nil {
			return err
		}
		s.Report("mounted", mounted)
		if _, err := mountOf("/run/sticks", false); err != nil {
			return err
		}
		s.Report("gone", nil)
	}
	return b.end()
}

// mountOf waits until something is mounted below a folder, or nothing is any more.
func mountOf(folder string, there bool) (line string, err error) {
	for range 1200 {
		raw, err := os.ReadFile("/proc/mounts")
		if err != nil {
			return "", err
		}
		line = ""
		for l := range strings.Lines(string(raw)) {
			if strings.Contains(l, " "+folder+"/") {
				line = strings.TrimSpace(l)
			}
		}
		if (line != "") == there {
			return line, nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return "", fmt.Errorf("after two minutes %s has %q mounted", folder, line)
}

// TestStick plugs a stick in and pulls it out, twice.
func TestStick(t *testing.T) {
	wanted(t)
	image := filepath.Join(t.TempDir(), "stick")
	if err := os.WriteFile(image, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mkfs.vfat", "-n", "CHEESE", image).CombinedOutput(); err != nil {
		t.Skipf("a stick cannot be made here: %v: %s (Debian: apt-get install dosfstools)", err, out)
	}
	g := guest.Boot(t, "stick", guest.Machine{
		Modules: []string{"xhci-pci", "usb-storage", "sd_mod", "vfat", "nls_cp437", "nls_iso8859-1", "nls_ascii", "nls_utf8"}, Files: buildProgram(t), Memory: 512,
		Devices: []string{"-device", "qemu-xhci", "-blockdev", "driver=raw,node-name=stick,file.driver=file,file.filename=" + image},
	})
	g.Next("serving", 10*time.Minute, nil)
	for range 2 {
		err := g.QMP.Do("device_add", map[string]any{"driver": "usb-storage", "id": "plugged", "drive": "stick"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var line string
		g.Next("mounted", 5*time.Minute, &line)
		for _, option := range []string{"vfat", "nosuid", "nodev", "noexec"} {
			if !strings.Contains(line, option) {
				t.Errorf("it is mounted without %s: %s", option, line)
			}
		}
		t.Log(line)
		if err := g.QMP.Do("device_del", map[string]any{"id": "plugged"}, nil); err != nil {
			t.Fatal(err)
		}
		waitFor(t, g, "DEVICE_DELETED")
		g.Next("gone", 5*time.Minute, nil)
	}
	g.Next("ended", 5*time.Minute, nil)
}

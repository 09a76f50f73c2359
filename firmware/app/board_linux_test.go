package app

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cheeseboard/board/led"
)

const childVariable = "CHEESEBOARD_TEST_PANEL"

// TestConfinedPanel: a process that is confined still sets its light, which is a link
// in the class and lies elsewhere, gives it to the kernel at the end, and runs the
// program that switches the machine off; nothing else beside it can be written or run.
// It needs a program without cgo, as boards have: the tests on 32 bit are.
func TestConfinedPanel(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		confinedPanel(t, os.Getenv(childVariable))
		return
	}
	root := t.TempDir()
	device := filepath.Join(root, "devices", "platform", "leds", "ACT")
	class := filepath.Join(root, "class", "leds")
	for _, folder := range []string{device, class} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../devices/platform/leds/ACT", filepath.Join(class, "ACT")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"brightness": "9\n", "max_brightness": "1\n", "trigger": "none [mmc0] timer\n", "delay_on": "", "delay_off": ""} {
		if err := os.WriteFile(filepath.Join(device, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	child := exec.Command(os.Args[0], "-test.run=^TestConfinedPanel$", "-test.v")
	child.Env = append(os.Environ(), childVariable+"="+root)
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("an emulator of another processor runs this test, and starts no program like it")
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skipf("%s", out)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// confinedPanel is the child.
func confinedPanel(t *testing.T, root string) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	c := panelConfig(root, filepath.Join(root, "class", "leds", "ACT"))
	off := filepath.Join(c.Data, "off")
	c.Button.PowerOff = []string{"touch", off}
	p := OpenPanel(c, log)
	box, err := Open(c, log)
	if err != nil {
		t.Fatal(err)
	}
	box.Install(p, func() {})
	if err := box.Confine(); err != nil {
		t.Fatal(err)
	}
	if box.confined == nil {
		t.Skipf("it cannot be confined here: %s", said.String())
	}
	if err := os.WriteFile(filepath.Join(root, "secret"), nil, 0o644); err == nil {
		t.Error("it can write beside its data folder: nothing is proved")
	}
	if err := exec.Command("sh", "-c", "true").Run(); err == nil {
		t.Error("it can run any program: nothing is proved")
	}
	for _, probe := range box.Health.Verdict().Probes {
		if strings.Contains(probe.Summary, "permission") {
			t.Errorf("%s: %s", probe.Name, probe.Summary)
		}
	}
	if r := box.vitals.Measure(); r.Load.Why() != "" || r.MemoryTotal.Why() != "" || r.ReadOnly.Why() != "" {
		t.Errorf("confined, it does not see the machine: %+v", r)
	}
	if err := errors.Join(p.kernel.Set(led.Off), p.kernel.Set(led.Blue)); err != nil {
		t.Errorf("confined, it cannot set its light: %v", err)
	}
	p.switchOffLater()
	if err := errors.Join(box.Close(), p.Close(nil)); err != nil {
		t.Error(err)
	}
	if strings.Contains(said.String(), "cannot be set") || strings.Contains(said.String(), "does not go on") {
		t.Errorf("%s", said.String())
	}
	if _, err := os.Stat(off); err != nil {
		t.Errorf("the program was not run: %v", err)
	}
	for name, want := range map[string]string{"trigger": "timer", "delay_on": "200", "delay_off": "200"} {
		raw, err := os.ReadFile(filepath.Join(root, "class", "leds", "ACT", name))
		if line, _, _ := strings.Cut(string(raw), "\n"); err != nil || line != want {
			t.Errorf("%s is %q, want %s (%v)", name, line, want, err)
		}
	}
}

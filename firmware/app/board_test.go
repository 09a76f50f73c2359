package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/board/button"
	"cheeseboard/board/led"
	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/httpd/metrics"
)

// fakeLight makes the folder of a light, and gives what its file holds.
func fakeLight(t *testing.T) (folder string, file func(name string) string) {
	t.Helper()
	folder = t.TempDir()
	for name, content := range map[string]string{"brightness": "0\n", "max_brightness": "1\n", "trigger": "none [mmc0] timer\n", "delay_on": "", "delay_off": ""} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder, func(name string) string {
		raw, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(raw), "\n")
		return line
	}
}

func panelConfig(folder, light string) config.Config {
	c := config.Default()
	c.Data, c.Serve.Listen = filepath.Join(folder, "data"), "127.0.0.1:0"
	c.LED.Device, c.Button.Line = light, ""
	c.Sync.Interval = config.Duration(24 * time.Hour)
	c.Upstream.URL = "http://127.0.0.1:1/simple/" // nobody is there
	c.Clock.Verify = config.VerifyNever
	return c
}

// TestPanel: the light says to wait while the box starts and stops, how it is while it
// serves, and in the end that it is safe to unplug; the button ends it cleanly.
func TestPanel(t *testing.T) {
	folder, file := fakeLight(t)
	c := panelConfig(t.TempDir(), folder)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	p := OpenPanel(c, log)
	var mu sync.Mutex
	var said []string
	p.Say = func(text string) { mu.Lock(); defer mu.Unlock(); said = append(said, text) }
	if s := p.state(); s != led.Wait || file("trigger") != "none" {
		t.Errorf("at the start it says %s, and the kernel's rhythm is %s", s, file("trigger"))
	}
	box, err := Open(c, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	box.Install(p, end)
	served := make(chan struct{})
	var serveErr error
	var running sync.WaitGroup
	running.Go(func() { serveErr = box.Serve(ctx, func(net.Addr) { close(served) }) })
	<-served
	do := &presses{box, p, end}
	for p.state() == led.Wait { // until it has been told
		<-time.After(time.Millisecond)
	}
	if s := p.state(); slices.Contains([]led.State{led.CannotServe, led.Identify, led.Wait, led.Safe}, s) {
		t.Errorf("while it serves it says %s", s)
	}
	box.moving.Add(1)
	if s := p.state(); s != led.Wait {
		t.Errorf("while it moves it says %s", s)
	}
	box.moving.Add(-1)
	do.Pressed(button.Once)
	if s := p.state(); s != led.Identify || !slices.ContainsFunc(box.recent.all(), func(line string) bool { return strings.Contains(line, "here I am: ") }) {
		t.Errorf("asked which box it is, it says %s, and %q", s, box.recent.all())
	}
	before, err := box.Store.Value(passphraseKey)
	if err != nil {
		t.Fatal(err)
	}
	do.Pressed(button.Hold15)
	after, err := box.Store.Value(passphraseKey)
	if err != nil || string(after) == string(before) || len(said) != 1 || !strings.Contains(said[0], "new passphrase ") {
		t.Errorf("the passphrase was not reset: %v %q", err, said)
	}
	for _, probe := range box.Health.Verdict().Probes {
		if probe.Name == "card" && probe.Severity == health.OK && strings.HasPrefix(probe.Summary, "not measured") {
			t.Errorf("what is not measured is well: %+v", probe)
		}
	}
	families, err := box.metrics()
	if err != nil {
		t.Fatal(err)
	}
	text, err := metrics.Append(nil, families)
	if err != nil || !strings.Contains(string(text), "\ncheeseboard_memory_total_bytes ") || !strings.Contains(string(text), "\ncheeseboard_data_read_only 0\n") {
		t.Errorf("the metrics do not tell of the machine: %v", err)
	}
	do.Marked(1)
	do.Pressed(button.Twice)
	do.Pressed(button.Hold5)
	running.Wait()
	if s := p.state(); s != led.Identify && s != led.Wait {
		t.Errorf("when it has stopped it says %s", s)
	}
	if err := errors.Join(serveErr, box.Close()); err != nil {
		t.Fatal(err)
	}
	do.Pressed(button.Twice) // too late for anything
	do.Pressed(button.Hold15)
	if err := p.Close(nil); err != nil || file("brightness") != "0" || file("trigger") != "none" {
		t.Errorf("safe to unplug: %v, brightness %s, rhythm %s", err, file("brightness"), file("trigger"))
	}
}

// TestPanelEnds: a box that failed leaves the light on; one that switches the machine
// off has the kernel say to wait, and runs the program.
func TestPanelEnds(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	folder, file := fakeLight(t)
	p := OpenPanel(panelConfig(t.TempDir(), folder), log)
	if err := p.Close(errors.New("the disk is gone")); err != nil || file("brightness") != "1" {
		t.Errorf("after an error: %v, brightness %s", err, file("brightness"))
	}

	folder, file = fakeLight(t)
	c := panelConfig(t.TempDir(), folder)
	done := filepath.Join(t.TempDir(), "off")
	c.Button.PowerOff = []string{"touch", done}
	p = OpenPanel(c, log)
	if programs := p.programs(); len(programs) < 2 || filepath.Base(programs[0]) != "touch" {
		t.Errorf("a confined box may run %v", programs)
	}
	p.powerOff = true
	if err := p.Close(nil); err != nil || file("trigger") != "timer" || file("delay_on") != "200" {
		t.Errorf("switched off: %v, rhythm %s %s", err, file("trigger"), file("delay_on"))
	}
	if _, err := os.Stat(done); err != nil {
		t.Errorf("the program was not run: %v", err)
	}
}

// TestNoPanel: where nothing is there, it is said in one line, and nothing runs for it.
func TestNoPanel(t *testing.T) {
	var lines strings.Builder
	log := slog.New(slog.NewTextHandler(&lines, nil))
	c := panelConfig(t.TempDir(), filepath.Join(t.TempDir(), "none"))
	c.LED.Lines = []string{"NOBODYS-LINE"}
	c.Button.Line = "gpiochip999:1"
	p := OpenPanel(c, log)
	if p.light != nil || p.line != nil {
		t.Fatal("something was found")
	}
	p.running.Wait() // both are over at once, for nothing runs
	p.drawing.Wait()
	box, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	box.log = log
	box.Install(p, func() {})
	if err := errors.Join(box.Close(), p.Close(nil)); err != nil {
		t.Error(err)
	}
	said := strings.TrimSpace(lines.String())
	if strings.Contains(said, "\n") || !strings.Contains(said, "light=") || !strings.Contains(said, "button=") || !strings.Contains(said, "NOBODYS-LINE") {
		t.Errorf("it says %s", said)
	}
}

// TestDemoLight: each state is named and played, in the order of the legend, and then
// the kernel has its light back.
func TestDemoLight(t *testing.T) {
	folder, file := fakeLight(t)
	c := panelConfig(t.TempDir(), folder)
	log := slog.New(slog.DiscardHandler)
	var named []string
	if err := DemoLight(t.Context(), c, log, time.Millisecond, func(s LightState) { named = append(named, s.State) }); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, row := range Legend() {
		want = append(want, row.State)
		if len(row.Timeline) == 0 || row.Meaning == "" || row.Rhythm == "" {
			t.Errorf("%+v", row)
		}
	}
	if !slices.Equal(named, want) || len(named) != 9 {
		t.Errorf("named are %v, want %v", named, want)
	}
	if file("brightness") != "0" || file("trigger") != "mmc0" {
		t.Errorf("in the end it is %s, and the kernel's rhythm %s", file("brightness"), file("trigger"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	named = nil
	if err := DemoLight(ctx, c, log, time.Hour, func(s LightState) { named = append(named, s.State); cancel() }); err != nil || len(named) != 1 {
		t.Errorf("who interrupts it sees %v (%v)", named, err)
	}
	c.LED.Device = filepath.Join(t.TempDir(), "none")
	if err := DemoLight(t.Context(), c, log, time.Hour, nil); !errors.Is(err, led.ErrNone) || !strings.Contains(err.Error(), "led.device") {
		t.Errorf("without a light: %v", err)
	}
	c.LED.Device = ""
	if err := DemoLight(t.Context(), c, log, time.Hour, nil); err == nil {
		t.Error("a light that is not wanted is played on")
	}
}

package button

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
)

// hand is a line that a test moves, in the time of a bubble.
type hand struct {
	mu    sync.Mutex
	low   bool
	edges chan struct{}
	waits int
	wait  func(time.Duration) bool // nil: as a driver should
	pulls []gpio.Pull
	odd   map[gpio.Pull]bool // pulls that the driver does not know
}

func newHand() *hand { return &hand{edges: make(chan struct{}, 16)} }

func (h *hand) In(p gpio.Pull, e gpio.Edge) error {
	h.pulls = append(h.pulls, p)
	if h.odd[p] || e != gpio.BothEdges {
		return errors.New("not supported")
	}
	return nil
}

func (h *hand) Read() gpio.Level {
	h.mu.Lock()
	defer h.mu.Unlock()
	return gpio.Level(!h.low)
}

func (h *hand) WaitForEdge(timeout time.Duration) bool {
	h.mu.Lock()
	h.waits++
	wait := h.wait
	h.mu.Unlock()
	if timeout <= 0 || timeout > longest {
		panic("it waits for " + timeout.String())
	}
	if wait != nil {
		return wait(timeout)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-h.edges:
		return true
	case <-timer.C:
		return false
	}
}

// set moves the line, and tells of it as the kernel does: of 16 changes at most.
func (h *hand) set(low bool) {
	h.mu.Lock()
	h.low = low
	h.mu.Unlock()
	select {
	case h.edges <- struct{}{}:
	default:
	}
}

// press holds the button for a while, with contacts that bounce for 10 ms.
func (h *hand) press(d time.Duration) {
	for _, low := range []bool{true, false} {
		for range 5 {
			h.set(low)
			time.Sleep(time.Millisecond)
			h.set(!low)
			time.Sleep(time.Millisecond)
		}
		h.set(low)
		if low {
			time.Sleep(d)
		}
	}
}

// diary writes down what is done.
type diary struct {
	mu  sync.Mutex
	did []string
}

func (d *diary) note(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.did = append(d.did, s)
}

func (d *diary) Pressed(p Press) { d.note(p.String()) }
func (d *diary) Marked(n int)    { d.note("mark " + string(rune('0'+n))) }

// watched runs Watch while do is at work, and gives what was done.
func watched(t *testing.T, h *hand, do func()) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	d := &diary{}
	running.Go(func() { Watch(ctx, h, d, slog.New(slog.DiscardHandler)) })
	synctest.Wait()
	do()
	cancel()
	running.Wait()
	return strings.Join(d.did, ", ")
}

func TestWatch(t *testing.T) {
	for _, c := range []struct {
		held []time.Duration
		want string
	}{
		{[]time.Duration{200 * time.Millisecond}, "one short press"},
		{[]time.Duration{150 * time.Millisecond, 150 * time.Millisecond}, "two short presses"},
		{[]time.Duration{7 * time.Second}, "mark 1, held for 5 s"},
		{[]time.Duration{20 * time.Second}, "mark 1, mark 2, held for 15 s"},
		{[]time.Duration{40 * time.Second}, "mark 1, mark 2, mark 3"},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHand()
			got := watched(t, h, func() {
				for _, d := range c.held {
					h.press(d)
					time.Sleep(250 * time.Millisecond)
				}
				time.Sleep(3 * time.Second)
			})
			if got != c.want {
				t.Errorf("%v: %s, want %s", c.held, got, c.want)
			}
		})
	}
}

// TestStuck: a button that is held when the program starts does nothing until it has
// been let go.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHand()
		h.low = true
		got := watched(t, h, func() {
			time.Sleep(20 * time.Second)
			h.set(false)
			time.Sleep(time.Second)
			h.press(200 * time.Millisecond)
			time.Sleep(time.Second)
		})
		if got != "one short press" {
			t.Errorf("%s", got)
		}
	})
}

// TestNeverSpins: whatever a driver's WaitForEdge does, the line is not looked at more
// than some hundred times in a second, and hardly at all while nothing happens.
func TestNeverSpins(t *testing.T) {
	for name, c := range map[string]struct {
		wait func(time.Duration) bool
		most int // waits in a minute
	}{
		"as it should be":          {nil, 70},
		"it does not wait":         {func(time.Duration) bool { return false }, 25 * 60},
		"it tells of edges always": {func(time.Duration) bool { return true }, 250 * 60},
		"it comes back too early":  {func(d time.Duration) bool { time.Sleep(d / 3); return false }, 4 * 60},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHand()
			h.wait = c.wait
			got := watched(t, h, func() { time.Sleep(time.Minute) })
			if h.waits > c.most || h.waits < 30 || got != "" {
				t.Errorf("%s: %d waits in a minute, and %q", name, h.waits, got)
			}
		})
	}
	// One that does not wait can be used all the same.
	synctest.Test(t, func(t *testing.T) {
		h := newHand()
		h.wait = func(time.Duration) bool { return false }
		got := watched(t, h, func() {
			h.press(6 * time.Second)
			time.Sleep(2 * time.Second)
		})
		if got != "mark 1, held for 5 s" {
			t.Errorf("%s", got)
		}
	})
}

func TestPrepare(t *testing.T) {
	h := newHand()
	if err := Prepare(h); err != nil || len(h.pulls) != 1 || h.pulls[0] != gpio.PullUp {
		t.Errorf("%v %v", h.pulls, err)
	}
	h = newHand()
	h.odd = map[gpio.Pull]bool{gpio.PullUp: true}
	if err := Prepare(h); err != nil || len(h.pulls) != 2 {
		t.Errorf("a driver without pulls: %v %v", h.pulls, err)
	}
	h.odd[gpio.PullNoChange] = true
	if err := Prepare(h); err == nil {
		t.Error("a line that cannot be read is a button")
	}
}

// told ends a test when something was done.
type told struct{ presses chan Press }

func (d told) Pressed(p Press) { d.presses <- p }
func (told) Marked(int)        {}

// TestPin goes through periph's own test line, in real time.
func TestPin(t *testing.T) {
	pin := &gpiotest.Pin{N: "GPIO3", Num: 3, EdgesChan: make(chan gpio.Level)}
	if err := Prepare(pin); err != nil {
		t.Fatal(err)
	}
	if pin.P != gpio.PullUp {
		t.Errorf("the line is pulled %s", pin.P)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	d := told{make(chan Press, 1)}
	running.Go(func() { Watch(ctx, pin, d, slog.New(slog.DiscardHandler)) })
	for _, level := range []gpio.Level{gpio.Low, gpio.High, gpio.Low} {
		pin.EdgesChan <- level
	}
	<-time.After(2 * Settle) // what a person cannot be faster than
	pin.EdgesChan <- gpio.High
	// On a machine that is held up meanwhile the press may become a long one, which is
	// none: then there is nothing to be seen here. And what bounces may become two.
	select {
	case p := <-d.presses:
		if p != Once && p != Twice {
			t.Errorf("%s", p)
		}
	case <-time.After(10 * time.Second):
		t.Log("the machine was too slow for a short press")
	}
	cancel()
	running.Wait()
}

func TestOfBoard(t *testing.T) {
	for _, c := range []struct{ model, bus, want, says string }{
		{"", "", "", "no Raspberry Pi"},
		{"Radxa ROCK 3A\x00", "", "", "no Raspberry Pi"},
		{"Raspberry Pi 4 Model B Rev 1.4\x00", "", "GPIO3", ""},
		{"Raspberry Pi 4 Model B Rev 1.4\x00", "i2c-20", "GPIO3", ""},
		{"Raspberry Pi 4 Model B Rev 1.4\x00", "i2c-0", "GPIO3", ""}, // of the display
		{"Raspberry Pi 5 Model B Rev 1.0\x00", "i2c-1", "", "belongs to I2C"},
		{"Raspberry Pi Model B Rev 1\x00", "i2c-0", "", "belongs to I2C"},
	} {
		root := t.TempDir()
		if c.model != "" {
			if err := os.MkdirAll(filepath.Join(root, "proc/device-tree"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "proc/device-tree/model"), []byte(c.model), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if c.bus != "" {
			if err := os.MkdirAll(filepath.Join(root, "sys/bus/i2c/devices", c.bus), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		got, err := OfBoard(root)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, ErrNone) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %q %v", c, got, err)
		}
	}
}

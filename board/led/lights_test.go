package led

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"
)

// fakeClass makes a folder as /sys/class/leds, whose entries are links.
func fakeClass(t *testing.T, most string, names ...string) string {
	t.Helper()
	root := t.TempDir()
	class := filepath.Join(root, "class", "leds")
	for _, name := range names {
		device := filepath.Join(root, "devices", "platform", "leds", name)
		for _, folder := range []string{device, class} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		put(t, filepath.Join(device, "brightness"), "0\n")
		put(t, filepath.Join(device, "max_brightness"), most)
		put(t, filepath.Join(device, "trigger"), "none rc-feedback [mmc0] timer heartbeat\n")
		put(t, filepath.Join(device, "delay_on"), "")
		put(t, filepath.Join(device, "delay_off"), "")
		if err := os.Symlink("../../devices/platform/leds/"+name, filepath.Join(class, name)); err != nil {
			t.Fatal(err)
		}
	}
	return class
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// first is the first word of a file: a plain file keeps what stood behind.
func first(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return line
}

func TestOnBoard(t *testing.T) {
	for _, c := range []struct {
		name, wanted, most string
		there              []string
		invert             bool
		on, off, folder    string
	}{
		{"new boards", "auto", "1\n", []string{"ACT", "PWR", "led0"}, false, "1", "0", "ACT"},
		{"older boards", "auto", "255\n", []string{"led0", "led1"}, false, "255", "0", "led0"},
		{"inverted", "auto", "1\n", []string{"ACT"}, true, "0", "1", "ACT"},
		{"by name", "blue:status", "7\n", []string{"ACT", "blue:status"}, false, "7", "0", "blue:status"},
		{"nonsense as the most", "ACT", "bright\x00\xff", []string{"ACT"}, false, "1", "0", "ACT"},
		{"none as the most", "ACT", "0\n", []string{"ACT"}, false, "1", "0", "ACT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			class := fakeClass(t, c.most, c.there...)
			l, err := openIn(class, c.wanted, c.invert)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(l.Folder()) != c.folder || strings.Contains(l.Folder(), "class") {
				t.Errorf("it is in %s", l.Folder())
			}
			if got := first(t, l.Folder(), "trigger"); got != "none" {
				t.Errorf("the kernel keeps its rhythm: %s", got)
			}
			for range 2 {
				for _, colour := range []Colour{Blue, Amber, White} {
					if err := l.Set(colour); err != nil || first(t, l.Folder(), "brightness") != c.on {
						t.Errorf("on: %s %v", first(t, l.Folder(), "brightness"), err)
					}
				}
				if err := l.Set(Off); err != nil || first(t, l.Folder(), "brightness") != c.off {
					t.Errorf("off: %s %v", first(t, l.Folder(), "brightness"), err)
				}
			}
			if err := errors.Join(l.HandOver(), l.Close()); err != nil {
				t.Error(err)
			}
			if got := first(t, l.Folder(), "trigger") + first(t, l.Folder(), "delay_on") + first(t, l.Folder(), "delay_off"); got != "timer200200" {
				t.Errorf("the kernel was given %s", got)
			}
			if err := l.Restore(); err != nil || first(t, l.Folder(), "trigger") != "mmc0" {
				t.Errorf("restored: %s %v", first(t, l.Folder(), "trigger"), err)
			}
		})
	}
}

func TestOnBoardNot(t *testing.T) {
	empty := t.TempDir()
	if _, err := openIn(empty, "auto", false); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "ACT or led0") {
		t.Errorf("no light: %v", err)
	}
	if _, err := openIn(filepath.Join(empty, "nothing"), "auto", false); !errors.Is(err, ErrNone) {
		t.Errorf("no folder: %v", err)
	}
	class := fakeClass(t, "1\n", "PWR", "led1", "input3::capslock")
	if _, err := openIn(class, "auto", false); !errors.Is(err, ErrNone) {
		t.Errorf("lights of others are taken: %v", err)
	}
	class = fakeClass(t, "1\n", "ACT")
	if err := os.Remove(filepath.Join(class, "ACT", "brightness")); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(class, "auto", false); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("a light without brightness: %v", err)
	}
	// A light that was in nobody's rhythm is given back to none.
	class = fakeClass(t, "1\n", "ACT")
	put(t, filepath.Join(class, "ACT", "trigger"), "[none] mmc0\n")
	l, err := openIn(class, filepath.Join(class, "ACT"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Restore(), l.Close()); err != nil || first(t, l.Folder(), "trigger") != "none" {
		t.Errorf("%v %s", err, first(t, l.Folder(), "trigger"))
	}
}

func TestWired(t *testing.T) {
	for _, c := range []struct {
		lines  int
		invert bool
		want   map[Colour]string // H and L, in the order of the lines
	}{
		{1, false, map[Colour]string{Off: "L", Blue: "H", Amber: "H", White: "H"}},
		{1, true, map[Colour]string{Off: "H", Blue: "L", Amber: "L", White: "L"}},
		{2, false, map[Colour]string{Off: "LL", Blue: "HL", Amber: "HH", White: "HL"}},
		{3, false, map[Colour]string{Off: "LLL", Blue: "LLH", Amber: "HHL", White: "HHH"}},
		{3, true, map[Colour]string{Off: "HHH", Blue: "HHL", Amber: "LLH", White: "LLL"}},
	} {
		var pins []*gpiotest.Pin
		var outs []gpio.PinOut
		for i := range c.lines {
			pins = append(pins, &gpiotest.Pin{N: "LINE", Num: i, L: gpio.High})
			outs = append(outs, pins[i])
		}
		w, err := NewWired(outs, c.invert)
		if err != nil {
			t.Fatal(err)
		}
		levels := func() (s string) {
			for _, p := range pins {
				s += p.Read().String()[:1]
			}
			return s
		}
		if levels() != c.want[Off] {
			t.Errorf("%d lines begin %s", c.lines, levels())
		}
		for colour, want := range c.want {
			if err := w.Set(colour); err != nil || levels() != want {
				t.Errorf("%d lines, %s: %s %v, want %s", c.lines, colour, levels(), err, want)
			}
		}
	}
	for _, n := range []int{0, 4} {
		if _, err := NewWired(make([]gpio.PinOut, n), false); err == nil {
			t.Errorf("%d lines are a light", n)
		}
	}
}

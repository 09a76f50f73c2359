package lines

import (
	"errors"
	"testing"

	"periph.io/x/conn/v3/gpio/gpioreg"
	"periph.io/x/conn/v3/gpio/gpiotest"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name     string
		chip     string
		offset   int
		numbered bool
		good     bool
	}{
		{"GPIO17", "", 0, false, true},
		{"gpiochip0:17", "gpiochip0", 17, true, true},
		{"4:0", "gpiochip4", 0, true, true},
		{"gpiochip0:", "", 0, true, false},
		{":3", "", 0, true, false},
		{"gpiochip0:-1", "", 0, true, false},
		{"gpiochip0:99999999999", "", 0, true, false},
		{"gpiochip0:1:2", "", 0, true, false},
	} {
		chip, offset, numbered, err := split(c.name)
		if (err == nil) != c.good || chip != c.chip || offset != c.offset || numbered != c.numbered {
			t.Errorf("%s: %q %d %t %v", c.name, chip, offset, numbered, err)
		}
	}
}

// TestFind: what is not there is ErrNone, by name and by number, with chips and
// without.
func TestFind(t *testing.T) {
	for _, name := range []string{"NOBODYS-LINE", "gpiochip999:3", "0:65535"} {
		if line, err := Find(name); !errors.Is(err, ErrNone) || line != nil {
			t.Errorf("%s: %v %v", name, line, err)
		}
	}
	if !Any() {
		return // the rest needs drivers, which are not loaded here
	}
	pin := &gpiotest.Pin{N: "CHEESEBOARD-TEST", Num: 1}
	if err := gpioreg.Register(pin); err != nil {
		t.Fatal(err)
	}
	if line, err := Find("CHEESEBOARD-TEST"); err != nil || line.Name() != pin.N {
		t.Errorf("%v %v", line, err)
	}
}

// Package lines finds GPIO lines, by what the board calls them or by chip and number.
// It uses the kernel's character devices, and the older sysfs where there are none, and
// no other of periph's drivers: some write to the memory of chips that they only
// believe to know.
package lines

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpioreg"
	"periph.io/x/host/v3/gpioioctl"
	_ "periph.io/x/host/v3/sysfs" // lines of kernels without the character devices
)

// ErrNone: there is no such line on this machine.
var ErrNone = errors.New("there is no GPIO line")

// Any tells whether the machine shows any lines at all. It costs next to nothing.
func Any() bool {
	for _, pattern := range []string{"/dev/gpiochip*", "/sys/class/gpio/gpiochip*"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// Find gives a line by its name, as GPIO17, or as chip:offset, as gpiochip0:17 or
// 0:17. ErrNone where there is none; the drivers are not even loaded then.
func Find(name string) (gpio.PinIO, error) {
	if !Any() {
		return nil, fmt.Errorf("%w %s: this machine has no lines, or no driver for them", ErrNone, name)
	}
	if _, err := driverreg.Init(); err != nil {
		return nil, fmt.Errorf("find the GPIO lines: %w", err)
	}
	chip, offset, numbered, err := split(name)
	if err != nil {
		return nil, err
	}
	if !numbered {
		if line := gpioreg.ByName(name); line != nil {
			return line, nil
		}
		return nil, fmt.Errorf("%w called %s; where lines have no names, say chip:number, as gpiochip0:17", ErrNone, name)
	}
	for _, c := range gpioioctl.Chips {
		if c.Name() != chip {
			continue
		}
		if offset >= c.LineCount() {
			return nil, fmt.Errorf("%w %s: the chip has %d", ErrNone, name, c.LineCount())
		}
		return c.ByNumber(offset), nil
	}
	return nil, fmt.Errorf("%w %s: there is no chip %s, or this user may not open it", ErrNone, name, chip)
}

// split reads chip:offset; numbered is false for a plain name.
func split(name string) (chip string, offset int, numbered bool, err error) {
	chip, number, numbered := strings.Cut(name, ":")
	if !numbered {
		return "", 0, false, nil
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || chip == "" {
		return "", 0, true, fmt.Errorf("read line %q: it must read like gpiochip0:17", name)
	}
	if _, err := strconv.ParseUint(chip, 10, 16); err == nil {
		chip = "gpiochip" + chip
	}
	return chip, int(n), true, nil
}

package led

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3/gpio"
)

// Wired are lights on lines of a header. One is lit in any colour. Of two the first is
// lit in any colour too, and the second beside it where somebody should look. Three
// are red, green and blue.
type Wired struct {
	lines  []gpio.PinOut
	invert bool
}

// NewWired makes a light of one to three lines; invert: a low line lights it. Errors
// name the line.
func NewWired(lines []gpio.PinOut, invert bool) (*Wired, error) {
	if len(lines) < 1 || len(lines) > 3 {
		return nil, fmt.Errorf("make a light of lines: there are %d, and it takes one to three", len(lines))
	}
	w := &Wired{lines, invert}
	return w, w.Set(Off)
}

// Set implements Light.
func (w *Wired) Set(c Colour) error {
	var errs []error
	for i, line := range w.lines {
		on := c != Off
		switch {
		case len(w.lines) == 3:
			on = c&(Red<<i) != 0
		case i == 1:
			on = c == Amber
		}
		if err := line.Out(gpio.Level(on != w.invert)); err != nil {
			errs = append(errs, fmt.Errorf("set line %s: %w", line.Name(), err))
		}
	}
	return errors.Join(errs...)
}

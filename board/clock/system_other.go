//go:build !linux

package clock

import (
	"errors"
	"time"
)

// kept supposes that the machine sees to its clock.
func kept() bool { return true }

// SetSystem sets the clock of the machine; not on this system.
func SetSystem(time.Time) error {
	return errors.New("set the clock: this system is not one whose clock can be set")
}

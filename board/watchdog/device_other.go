//go:build !linux

package watchdog

import (
	"fmt"
	"io/fs"
)

// OpenDevice finds no watchdog on this system.
func OpenDevice() (Device, error) { return nil, fmt.Errorf("/dev/watchdog: %w", fs.ErrNotExist) }

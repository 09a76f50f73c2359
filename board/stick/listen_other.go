//go:build !linux

package stick

import (
	"errors"
	"time"
)

var errNotHere = errors.New("USB sticks are not looked for on this system")

// Listen finds no source of events on this system.
func Listen() (Source, error) { return nil, errNotHere }

// Mount mounts nothing on this system.
func Mount(device, folder string) error { return errNotHere }

// Unmount unmounts nothing on this system.
func Unmount(folder string, patience time.Duration) error { return errNotHere }

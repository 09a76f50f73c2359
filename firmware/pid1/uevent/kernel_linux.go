package uevent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cheeseboard/board/stick"

	"golang.org/x/sys/unix"
)

// Insert gives the kernel a module, compressed or not. One that is there is no error, nor
// is a device that is not: some modules look for it themselves.
func Insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("load a module: %w", err)
	}
	flags := 0
	if filepath.Ext(path) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = unix.FinitModule(int(f.Fd()), "", flags)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("load a module: %w", err)
	}
	return errors.Join(err, f.Close())
}

// Follow loads the modules for the devices that are there and for those that come, until
// ctx ends. ready is closed when those that were there have theirs; added, called then and
// after each that comes, has to be quick.
func (m *Modules) Follow(ctx context.Context, ready chan<- struct{}, added func()) error {
	source, err := stick.Listen()
	if err != nil {
		close(ready)
		return err
	}
	err = m.All("/")
	added()
	close(ready)
	for err == nil {
		var e stick.Event
		e, err = source.Next(ctx)
		switch {
		case errors.Is(err, stick.ErrMissed):
			err = m.All("/")
			added()
		case err == nil && e.Action == "add":
			m.Device("/", e.Path)
			added()
		}
	}
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, source.Close())
}

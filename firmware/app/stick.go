package app

import (
	"context"
	"net"
	"sync"

	"cheeseboard/board/stick"
)

// startDevices starts what goes on at the serial ports, the watchdog, the modem and the
// sticks. All of it ends with ctx; stop ends Serve.
func (a *App) startDevices(ctx context.Context, stop func(), running *sync.WaitGroup, address net.Addr) {
	talk := a.newConsole(stop)
	running.Go(func() { talk.Run(ctx) })
	if a.config.Watchdog.Enabled {
		running.Go(func() { a.watch(ctx, address) })
	}
	if a.modem != nil {
		running.Go(func() { a.modem.Run(ctx) })
	}
	if name := a.config.Modem.Interface; name != "" {
		running.Go(func() { a.countModem(ctx, name) })
	}
	running.Go(func() { a.runImports(ctx) })
	if a.sticks = a.newSticks(); a.sticks != nil {
		running.Go(func() { a.watchSticks(ctx) })
	}
}

// newSticks makes what looks for USB sticks; nil where the settings want none, the init
// mounts them, or the kernel will not let this process mount any.
func (a *App) newSticks() *stick.Watcher {
	folder := a.config.Stick.Folder
	if folder == "" || a.machine != nil { // else our init mounts them there
		return nil
	}
	if a.confined != nil {
		a.log.Warn("USB sticks are not mounted: a confined process may not; set confine.process = false, or stick.folder to nothing")
		return nil
	}
	return stick.New(stick.Options{Folder: folder, Log: a.log})
}

// Sticks are the USB sticks of a box that serves; nil where they are left alone. It is
// for when Serve has called ready.
func (a *App) Sticks() *stick.Watcher { return a.sticks }

func (a *App) watchSticks(ctx context.Context) {
	if err := a.sticks.Run(ctx); err != nil {
		a.log.Error("USB sticks", "reason", err)
	}
}

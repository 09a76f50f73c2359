package app_test

import (
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/board/watchdog"
	"cheeseboard/firmware/app"
)

// dog is a watchdog that counts.
type dog struct {
	pets   atomic.Int32
	closed atomic.Bool
}

func (d *dog) Ping() error                     { d.pets.Add(1); return nil }
func (d *dog) Timeout() (time.Duration, error) { return 40 * time.Millisecond, nil }
func (d *dog) Close() error                    { d.closed.Store(true); return nil }

// TestWatchdog: a box that works pets the device, by a request to itself and a write to
// its store, and disarms it when it is stopped.
func TestWatchdog(t *testing.T) {
	server, _ := many(t, 1)
	c := boxConfig(server, t.TempDir(), nil)
	c.Watchdog.Enabled = true
	d := &dog{}
	s := serveBox(t, c, func(a *app.App) { a.Watchdog = func() (watchdog.Device, error) { return d, nil } })
	s.diary.await(t, "the hardware watchdog is armed")
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for written := false; !written || d.pets.Load() < 3; <-look.C {
		raw, err := s.Store.Value("watchdog")
		if err != nil {
			t.Fatal(err)
		}
		written = raw != nil
	}
	s.end()
	if !d.closed.Load() {
		t.Error("it is still armed")
	}
}

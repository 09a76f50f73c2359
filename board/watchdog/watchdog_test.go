package watchdog

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a watchdog of 15 s, as on a Raspberry Pi.
type fake struct {
	mu     sync.Mutex
	pets   []time.Time
	closed bool
}

func (f *fake) Ping() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pets = append(f.pets, time.Now())
	return nil
}
func (f *fake) Timeout() (time.Duration, error) { return 15 * time.Second, nil }
func (f *fake) Close() error                    { f.closed = true; return nil }

// bitten is when the device would have restarted the machine; false: it would not.
func (f *fake) bitten(start, end time.Time) (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := start
	for _, at := range append(slices.Clone(f.pets), end) {
		if at.Sub(last) > 15*time.Second {
			return last.Add(15 * time.Second), true
		}
		last = at
	}
	return time.Time{}, false
}

// TestBites runs a box for an hour in which something happens after ten minutes.
func TestBites(t *testing.T) {
	const trouble, hour = 10 * time.Minute, time.Hour
	for _, c := range []struct {
		name  string
		store func(ctx context.Context, since time.Duration) error
		bites bool
	}{
		{"all well", func(context.Context, time.Duration) error { return nil }, false},
		{"slow but working", func(ctx context.Context, since time.Duration) error {
			if since > trouble {
				time.Sleep(3 * time.Minute)
			}
			return nil
		}, false},
		{"every other try fails", func(_ context.Context, since time.Duration) error {
			if int(since/DefaultEvery)%2 != 0 {
				return errors.New("no space left on device")
			}
			return nil
		}, false},
		{"the store hangs", func(ctx context.Context, since time.Duration) error {
			if since > trouble {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}, true},
		{"the store hangs and heeds nothing", func(ctx context.Context, since time.Duration) error {
			if since > trouble {
				time.Sleep(24 * time.Hour)
			}
			return nil
		}, true},
		{"the store fails", func(_ context.Context, since time.Duration) error {
			if since > trouble {
				return errors.New("input/output error")
			}
			return nil
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				device, start := &fake{}, time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() {
					ended <- Run(ctx, Options{
						Open: func() (Device, error) { return device, nil },
						Checks: []Check{
							{"request", func(context.Context) error { return nil }},
							{"store", func(ctx context.Context) error { return c.store(ctx, time.Since(start)) }},
						},
					})
				}()
				time.Sleep(hour)
				at, bites := device.bitten(start, time.Now())
				if bites != c.bites {
					t.Errorf("bitten: %t, at %v", bites, at.Sub(start))
				}
				if latest := trouble + DefaultPatience + DefaultEvery + 20*time.Second; bites && (at.Sub(start) < trouble+DefaultPatience || at.Sub(start) > latest) {
					t.Errorf("bitten after %v, trouble began after %v", at.Sub(start), trouble)
				}
				cancel()
				if err := <-ended; err != nil || !device.closed {
					t.Errorf("%v, disarmed: %t", err, device.closed)
				}
			})
		})
	}
}

// TestNoDevice: a machine without one is not kept waiting, and one that is somebody
// else's is an error that says what to do.
func TestNoDevice(t *testing.T) {
	missing := func() (Device, error) {
		return nil, &fs.PathError{Op: "open", Path: "/dev/watchdog", Err: fs.ErrNotExist}
	}
	check := Check{"never", func(context.Context) error { t.Error("it was tried"); return nil }}
	if err := Run(t.Context(), Options{Open: missing, Checks: []Check{check}}); err != nil {
		t.Error(err)
	}
	busy := errors.New("device or resource busy")
	if err := Run(t.Context(), Options{Open: func() (Device, error) { return nil, busy }, Checks: []Check{check}}); !errors.Is(err, busy) {
		t.Error(err)
	}
	if _, err := os.Stat("/dev/watchdog"); errors.Is(err, fs.ErrNotExist) {
		if d, err := OpenDevice(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, %v", d, err)
		}
	}
}

// file is a device that is a plain file: what the kernel would have been told is read
// back.
type file struct{ *os.File }

func (f file) Ping() error                     { _, err := f.Write([]byte{0}); return err }
func (f file) Timeout() (time.Duration, error) { return 0, errors.New("inappropriate ioctl") }
func (f file) Close() error                    { _, err := f.Write([]byte("V")); return errors.Join(err, f.File.Close()) }

// TestDisarmed: the last thing that a device hears at a clean stop is the letter that
// disarms it.
func TestDisarmed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "watchdog")
	ctx, cancel := context.WithCancel(t.Context())
	tried := make(chan struct{}, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			Open: func() (Device, error) { f, err := os.Create(path); return file{f}, err },
			Checks: []Check{{"request", func(context.Context) error {
				tried <- struct{}{}
				return nil
			}}}, Log: slog.New(slog.DiscardHandler),
		})
	}()
	<-tried
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if heard, err := os.ReadFile(path); err != nil || len(heard) < 2 || heard[0] != 0 || heard[len(heard)-1] != 'V' {
		t.Errorf("%q, %v", heard, err)
	}
}

// Package board_test measures what the parts of the board cost together.
package board_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"cheeseboard/board/button"
	"cheeseboard/board/led"
	"cheeseboard/board/vitals"
)

// nobody presses the button.
type nobody struct{ t testing.TB }

func (n nobody) Pressed(p button.Press) { n.t.Errorf("nobody pressed, and yet: %s", p) }
func (n nobody) Marked(int)             {}

// spent is the time that this process has used processors for.
func spent(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// idle runs light, button and vitals for a while in which nothing happens, and gives
// what that cost of one processor.
func idle(t testing.TB, lasts time.Duration) float64 {
	folder := t.TempDir()
	for name, content := range map[string]string{"brightness": "0\n", "max_brightness": "1\n", "trigger": "[none]\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	light, err := led.OpenOnBoard(folder, false)
	if err != nil {
		t.Fatal(err)
	}
	pin := &gpiotest.Pin{N: "GPIO3", EdgesChan: make(chan gpio.Level)}
	if err := button.Prepare(pin); err != nil {
		t.Fatal(err)
	}
	monitor := vitals.NewMonitor("/", func() string { return "/" })
	player := led.NewPlayer(light, log)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	before, begun := spent(t), time.Now()
	var running sync.WaitGroup
	running.Go(func() { player.Run(ctx) })
	running.Go(func() { button.Watch(ctx, pin, nobody{t}, log) })
	running.Go(func() { monitor.Run(ctx) })
	running.Go(func() {
		ticker := time.NewTicker(2 * time.Second)
		defer ticker.Stop()
		for ctx.Err() == nil {
			player.Show(led.Healthy)
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	})
	running.Wait()
	if err := light.Close(); err != nil {
		t.Fatal(err)
	}
	return 100 * float64(spent(t)-before) / float64(time.Since(begun))
}

// TestIdle: light, button and vitals together cost less than half a percent of one
// processor while nothing happens. Over a few seconds only what is far beyond that is
// a fault, since then the first reading is much of it.
func TestIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for seconds")
	}
	lasts, most := 5*time.Second, 2.5
	if os.Getenv("CHEESEBOARD_TEST_LONG") != "" {
		lasts, most = time.Minute, 0.5
	}
	cost := idle(t, lasts)
	t.Logf("%.3f %% of one processor over %s", cost, lasts)
	if cost > most {
		t.Errorf("light, button and vitals cost %.3f %% of one processor over %s, more than %.1f %%", cost, lasts, most)
	}
}

// BenchmarkReading is what one look at the machine costs.
func BenchmarkReading(b *testing.B) {
	monitor := vitals.NewMonitor("/", func() string { return "/" })
	b.ReportAllocs()
	for b.Loop() {
		monitor.Measure()
	}
}

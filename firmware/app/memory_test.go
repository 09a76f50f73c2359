package app

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// TestRest holds that memory is given back once after a busy time, and not while
// much is going on, nor again and again.
func TestRest(t *testing.T) {
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go (&App{}).rest(ctx)
		tick := func(garbage int) (given uint32) {
			before := forced()
			busy := make([]byte, garbage)
			runtime.KeepAlive(busy)
			time.Sleep(restAfter)
			synctest.Wait()
			return forced() - before
		}
		for i, c := range []struct {
			garbage int
			given   uint32
		}{{8 << 20, 0}, {8 << 20, 0}, {0, 1}, {0, 0}, {0, 0}, {8 << 20, 0}, {0, 1}} {
			if given := tick(c.garbage); given != c.given {
				t.Errorf("after %d looks and %d bytes it was given back %d times, want %d", i+1, c.garbage, given, c.given)
			}
		}
	})
}

// TestTuneAfter holds that what is tuned is tuned whether or not the store opens.
func TestTuneAfter(t *testing.T) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("the environment tunes")
	}
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	refused := errors.New("refused")
	for _, want := range []error{nil, refused} {
		var during int
		err := TuneAfter(func() error {
			during = debug.SetGCPercent(-1)
			return want
		}, MemoryServing)
		if after := debug.SetGCPercent(100); !errors.Is(err, want) || during != -1 || after <= 0 || debug.SetMemoryLimit(-1) != MemoryServing {
			t.Errorf("while it opens %d, after that %d; %v", during, after, err)
		}
	}
}

package app

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestExtend: time is asked for while the box is opened or closed and the process works,
// not while it serves, not for one that hangs, and not without an end.
func TestExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var said []string
		var working atomic.Bool
		working.Store(true)
		var made time.Duration
		s := &Supervisor{since: time.Now(), effort: func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			if working.Load() {
				made += time.Second
			}
			return made
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.extend(ctx, func(line ...string) { mu.Lock(); said = append(said, line...); mu.Unlock() })
		}()
		after := func(d time.Duration) (out []string) {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			out, said = said, nil
			return out
		}
		const more = "EXTEND_TIMEOUT_USEC=30000000"
		if got := after(35 * time.Second); !slices.Equal(got, []string{more, more, more}) {
			t.Errorf("while it starts: %q", got)
		}
		working.Store(false)
		if got := after(time.Minute); len(got) > 0 {
			t.Errorf("while it hangs: %q", got)
		}
		working.Store(true)
		s.enter(true)
		if got := after(time.Hour); len(got) > 0 {
			t.Errorf("while it serves: %q", got)
		}
		s.enter(false)
		if got := after(10 * time.Second); !slices.Equal(got, []string{more}) {
			t.Errorf("while it stops: %q", got)
		}
		after(pauseBound)
		if got := after(time.Hour); len(got) > 0 {
			t.Errorf("after all patience: %d times", len(got))
		}
		cancel()
		<-ended
	})
}

// TestEffort: a process that works is seen to.
func TestEffort(t *testing.T) {
	before := effort()
	for n := 0; effort() == before; n++ {
		_ = make([]byte, n%4096)
	}
}

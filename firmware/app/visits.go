package app

import (
	"context"
	"sync"
	"time"
)

// quiet is how long after the last request for a file people are taken to be done
// with installing.
const quiet = 10 * time.Second

// visits knows whether people install: whether a file is being sent, or was asked
// for a moment ago. The zero value knows of none.
type visits struct {
	mu    sync.Mutex
	under int
	last  time.Time // when one ended
	fed   int       // of those under way, files that are arriving themselves
	still chan struct{}
}

// follow notes that a file is given out while it arrives; end that it was.
func (v *visits) follow() (end func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fed++
	return sync.OnceFunc(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.fed--; v.fed == 0 && v.still != nil {
			close(v.still)
			v.still = nil
		}
	})
}

// settle waits until no file is given out that is arriving itself, at most for d.
func (v *visits) settle(ctx context.Context, d time.Duration) {
	v.mu.Lock()
	if v.fed == 0 {
		v.mu.Unlock()
		return
	}
	if v.still == nil {
		v.still = make(chan struct{})
	}
	still := v.still
	v.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-still:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// begin notes a request for a file, and gives what is to be called at its end.
func (v *visits) begin() (end func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.under++
	return sync.OnceFunc(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.under--
		v.last = time.Now()
	})
}

// note notes a request for a file that was answered at once.
func (v *visits) note() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = time.Now()
}

// now tells whether people install.
func (v *visits) now() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.under > 0 || time.Since(v.last) < quiet
}

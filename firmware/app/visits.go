package app

import (
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

// now tells whether people install.
func (v *visits) now() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.under > 0 || time.Since(v.last) < quiet
}

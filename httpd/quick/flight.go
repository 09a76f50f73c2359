package quick

import "time"

// When an answer holds no more, all who want it come at once. One of them asks
// net/http; the others wait for a moment whether that brings an answer that can be
// kept.

const (
	// flightWait is how long others wait, counted from when the first one asked. What
	// is kept is rendered again in less. A handler may wait for the line itself, as
	// long as a client is to be kept waiting: then they must be with it in time.
	flightWait = 250 * time.Millisecond
	// flightLife is after what time another one is the first.
	flightLife = 3 * time.Second
)

// flight is a request that is with net/http.
type flight struct {
	key   string
	begun time.Time
	done  chan struct{} // closed when it is known what becomes of it
}

// fly begins a flight for a key, if none is under way; otherwise it gives the channel
// of the one that is to be waited for, and for how long.
func (t *table) fly(key []byte) (own *flight, other <-chan struct{}, wait time.Duration) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.flights[string(key)]; f != nil && now.Sub(f.begun) < flightLife {
		return nil, f.done, flightWait - now.Sub(f.begun)
	}
	f := &flight{string(key), now, make(chan struct{})}
	t.flights[f.key] = f
	return f, nil, 0
}

// land ends a flight; nil is none, and the second time it does nothing.
func (t *table) land(f *flight) {
	if f == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flights[f.key] == f {
		delete(t.flights, f.key)
	}
	select {
	case <-f.done:
	default:
		close(f.done)
	}
}

package app

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// gate lets requests through until it is shut, and lets those wait that come
// then: a folder must not be closed under a request. A server that is closed does
// not wait for its handlers either. The zero value is open.
type gate struct {
	mu     sync.Mutex
	shut   chan struct{} // closed when it opens again; nil: it is open
	down   bool          // for good
	inside map[*hold]bool
	empty  chan struct{} // closed when nobody is inside; nil: nobody waits for that

	// Those who are through in no time are counted without the lock, of which there may
	// be tens of thousands in a second.
	brief  atomic.Int64
	closed atomic.Bool // shut, or down
	era    atomic.Uint64
}

// hold is the stay of one request. Who needs the folder no more lets go.
type hold struct {
	gate *gate
	w    http.ResponseWriter
}

type holdKey struct{}

// enter waits until the gate is open; nil when it will not be, or ctx has ended.
func (g *gate) enter(ctx context.Context, w http.ResponseWriter) *hold {
	h := &hold{g, w} // not under the lock, for which all others wait
	for {
		g.mu.Lock()
		if g.down {
			g.mu.Unlock()
			return nil
		}
		wait := g.shut
		if wait == nil {
			if g.inside == nil {
				g.inside = make(map[*hold]bool)
			}
			g.inside[h] = true
			g.mu.Unlock()
			return h
		}
		g.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil
		}
	}
}

// release ends a stay; the second time it does nothing.
func (h *hold) release() {
	h.gate.mu.Lock()
	defer h.gate.mu.Unlock()
	delete(h.gate.inside, h)
	h.gate.left()
}

// left tells whoever waits for that when nobody is inside. g.mu is held.
func (g *gate) left() {
	if len(g.inside) == 0 && g.brief.Load() == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// Era grows each time the gate is shut: what stands behind it is then another.
func (g *gate) Era() uint64 { return g.era.Load() }

// TryEnter lets somebody in who is through in no time; false while the gate is shut.
func (g *gate) TryEnter() bool {
	g.brief.Add(1)
	if g.closed.Load() {
		g.Leave()
		return false
	}
	return true
}

// Leave ends the stay of one who was let in so. Who waits for the last one has closed
// the gate before he looks at their number.
func (g *gate) Leave() {
	if g.brief.Add(-1) == 0 && g.closed.Load() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.left()
	}
}

// letGo ends the stay of the request to which ctx belongs: what it still does, it
// does without the folder.
func letGo(ctx context.Context) {
	if h, ok := ctx.Value(holdKey{}).(*hold); ok {
		h.release()
	}
}

func (g *gate) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := g.enter(r.Context(), w)
		if h == nil {
			panic(http.ErrAbortHandler) // its connection is gone
		}
		defer h.release()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), holdKey{}, h)))
	})
}

// close shuts the gate: who comes now waits.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
	g.closed.Store(true)
	g.era.Add(1)
}

// open lets those in who wait.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
	g.closed.Store(g.down)
}

// drain waits until nobody is inside. Those whose clients do not take what they
// are sent within patience are broken off.
func (g *gate) drain(patience time.Duration) {
	g.mu.Lock()
	if len(g.inside) == 0 && g.brief.Load() == 0 {
		g.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	g.empty = empty
	g.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-empty:
			return
		case <-timer.C:
		}
		g.mu.Lock()
		for h := range g.inside {
			_ = http.NewResponseController(h.w).SetWriteDeadline(time.Unix(1, 0)) // who cannot be hurried is waited for
		}
		g.mu.Unlock()
		timer.Reset(time.Second) // a response that was between two writes has set it anew
	}
}

// end shuts the gate for good, and waits until nobody is inside.
func (g *gate) end() {
	g.mu.Lock()
	g.down = true
	g.closed.Store(true)
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
	g.mu.Unlock()
	g.drain(grace)
}

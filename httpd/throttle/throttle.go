// Package throttle slows down who guesses: failed tries are counted for each
// address, and for all together, and each makes the next one wait longer. It keeps
// a bounded number of addresses, and knows nothing of HTTP.
package throttle

import (
	"net/netip"
	"sync"
	"time"
)

// Options are the settings of a Throttle; a zero value is the default of each.
type Options struct {
	// Free is how many failures cost nothing; 0: 3.
	Free int
	// First is the wait after the first failure that costs, and doubles with each
	// further one up to Most; 0: 1 s and 5 min.
	First, Most time.Duration
	// Together is the rate of failures of all addresses, in a minute, beyond which
	// everybody waits; 0: 30.
	Together int
	// Now is the time; nil: time.Now.
	Now func() time.Time
}

// mostAddresses is how many are remembered: what does not fit is counted together.
const mostAddresses = 4096

// Throttle counts failures. It is safe for concurrent use.
type Throttle struct {
	o Options

	mu    sync.Mutex
	known map[netip.Prefix]*record
	// all leaks: one failure goes out of it each minute / Together.
	all   float64
	since time.Time
}

type record struct {
	failures int
	until    time.Time // tries are refused before
	last     time.Time
}

// New makes a Throttle that has seen nothing.
func New(o Options) *Throttle {
	if o.Free == 0 {
		o.Free = 3
	}
	if o.First == 0 {
		o.First = time.Second
	}
	if o.Most == 0 {
		o.Most = 5 * time.Minute
	}
	if o.Together == 0 {
		o.Together = 30
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Throttle{o: o, known: make(map[netip.Prefix]*record), since: o.Now()}
}

// subject is who is counted as one: an IPv4 address, or the network of an IPv6
// one, of which a host has as many addresses as it likes. What is no address is
// one subject.
func subject(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := at.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Wait tells how long a client has to wait before it may try again; 0: it may now.
// remote is as in http.Request.RemoteAddr.
func (t *Throttle) Wait(remote string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	t.leak(now)
	wait := time.Duration(0)
	if r := t.known[subject(remote)]; r != nil {
		wait = max(wait, r.until.Sub(now))
	}
	if over := t.all - float64(t.o.Together); over > 0 {
		wait = max(wait, time.Duration(over*float64(time.Minute)/float64(t.o.Together)))
	}
	return wait
}

// Failed counts a failure.
func (t *Throttle) Failed(remote string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	t.leak(now)
	t.all++
	who := subject(remote)
	r := t.known[who]
	if r == nil {
		t.forget(now)
		if len(t.known) >= mostAddresses {
			who = netip.Prefix{}
			r = t.known[who]
		}
		if r == nil {
			r = &record{}
			t.known[who] = r
		}
	}
	r.failures++
	r.last = now
	if over := r.failures - t.o.Free; over > 0 {
		r.until = now.Add(min(t.o.First<<min(over-1, 20), t.o.Most))
	}
}

// Passed forgets the failures of a client that has proved who it is.
func (t *Throttle) Passed(remote string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, subject(remote))
}

func (t *Throttle) leak(now time.Time) {
	if past := now.Sub(t.since); past > 0 {
		t.all = max(0, t.all-past.Minutes()*float64(t.o.Together))
	}
	t.since = now
}

// forget drops those who have not failed for longer than anybody waits.
func (t *Throttle) forget(now time.Time) {
	if len(t.known) < mostAddresses {
		return
	}
	for who, r := range t.known {
		if now.Sub(r.last) > 2*t.o.Most {
			delete(t.known, who)
		}
	}
}

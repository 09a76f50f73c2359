package mirror

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"cheeseboard/syncer/wire"
)

// How long a source is set back: for the first failure and at most, and for the
// first time that it sent wrong bytes and at most. Each further one doubles it.
const (
	firstSetback = 30 * time.Second
	mostSetback  = time.Hour
	firstLie     = 6 * time.Hour
	mostLie      = 7 * 24 * time.Hour
)

// Status is how a source of bytes is doing.
type Status struct {
	Address   string    `json:"address"`
	Mirror    bool      `json:"mirror"`            // false: the upstream's host of files
	Delivered int64     `json:"delivered"`         // bytes since the program started
	Failures  int       `json:"failures"`          // in a row
	Lies      int       `json:"lies"`              // how often its bytes were wrong
	Reason    string    `json:"reason,omitempty"`  // of the last failure
	Since     time.Time `json:"since,omitzero"`    // of the first one in a row
	NextTry   time.Time `json:"next_try,omitzero"` // set back until then; zero: it is not
}

// Health is how one source has done lately. It is safe for concurrent use.
type Health struct {
	name string
	now  func() time.Time
	log  *slog.Logger

	mu        sync.Mutex
	failures  int
	lies      int
	reason    string
	since     time.Time
	until     time.Time
	delivered int64
	last      time.Time // of delivered
}

// Ready tells whether the source is not set back.
func (h *Health) Ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready()
}

func (h *Health) ready() bool {
	left := h.until.Sub(h.now())
	return left <= 0 || left > mostLie+mostLie/4 // the clock was set back since
}

// Delivered notes bytes that came.
func (h *Health) Delivered(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivered += n
	h.last = h.now()
}

// Worked notes that the source gave all that was asked of it.
func (h *Health) Worked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ready() { // else it was set back meanwhile, for something else
		h.failures, h.reason, h.since, h.until = 0, "", time.Time{}, time.Time{}
	}
}

// Failed sets the source back for a while, or as long as it asked for itself. What
// we ended ourselves is no failure.
func (h *Health) Failed(err error) {
	var p *wire.Problem
	if !errors.As(err, &p) || p.Cause == wire.Canceled || p.Cause == wire.Budget {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ready() {
		return // requests that were under way together count as one
	}
	h.fail(err)
	h.until = h.now().Add(max(setback(h.failures, firstSetback, mostSetback), p.RetryAfter))
	h.log.Info("a source of files is set back", "source", h.name, "until", h.until.Format(time.RFC3339), "reason", err)
}

// Lied sets the source back for long: its bytes were not those that the index
// states.
func (h *Health) Lied(filename string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lies++
	h.fail(err)
	h.until = h.now().Add(setback(h.lies, firstLie, mostLie))
	h.log.Warn("a source sent wrong bytes and is set back", "source", h.name, "filename", filename, "until", h.until.Format(time.RFC3339), "reason", err)
}

// fail counts; h.mu is held.
func (h *Health) fail(err error) {
	if h.failures == 0 {
		h.since = h.now()
	}
	h.failures++
	h.reason = err.Error()
}

// setback doubles from first to most, with jitter of a quarter.
func setback(count int, first, most time.Duration) time.Duration {
	d := min(first<<min(count-1, 20), most)
	return d + time.Duration(rand.Int64N(int64(d)/4+1))
}

func (h *Health) lastDelivery() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func (h *Health) status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Status{Mirror: true, Delivered: h.delivered, Failures: h.failures, Lies: h.lies, Reason: h.reason, Since: h.since}
	if !h.ready() {
		s.NextTry = h.until
	}
	return s
}

// maxHosts bounds the hosts of files that are remembered.
const maxHosts = 64

// hosts is the health of the hosts that the upstream's pages name.
type hosts struct {
	now func() time.Time
	log *slog.Logger

	mu  sync.Mutex
	all map[string]*Health
}

// get gives the health of an address's host.
func (h *hosts) get(address string) *Health {
	name := HostOf(address)
	h.mu.Lock()
	defer h.mu.Unlock()
	if one := h.all[name]; one != nil {
		return one
	}
	if h.all == nil || len(h.all) >= maxHosts {
		h.all = make(map[string]*Health) // an index that names so many tells us nothing by them
	}
	one := &Health{name: "files host " + name, now: h.now, log: h.log}
	h.all[name] = one
	return one
}

// status tells of those in trouble.
func (h *hosts) status() []Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Status
	for name, one := range h.all {
		if s := one.status(); s.Failures > 0 || s.Lies > 0 {
			s.Address, s.Mirror = name, false
			out = append(out, s)
		}
	}
	return out
}

// HostOf is the host of an address, with its port where it is named.
func HostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

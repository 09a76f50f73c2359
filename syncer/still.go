package syncer

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"cheeseboard/storage/pypi"
)

// moment is a time that is read far more often than set.
type moment struct{ latest atomic.Pointer[time.Time] }

func (m *moment) set(t time.Time) { m.latest.Store(&t) }

// at gives the time; zero before the first.
func (m *moment) at() time.Time {
	if t := m.latest.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// sight tells at what moment something was read: while it is the same, nothing was
// stored since.
type sight struct{ version, notes uint64 }

func (e *Engine) seen() sight { return sight{e.cat.Version(), e.notes.changes.Load()} }

// storedPage is what the store said of a page when it was offered.
type storedPage struct {
	engine     *Engine
	name       pypi.Name
	generation uint64
	bad        []string
	private    bool
	young      int // of its files
	at         atomic.Pointer[sight]
}

func (e *Engine) storedAt(at sight, name pypi.Name, generation uint64, bad []string) *storedPage {
	s := &storedPage{engine: e, name: name, generation: generation, bad: bad, private: e.opts.Private(name)}
	s.at.Store(&at)
	if e.opts.Rules.Ages() {
		s.young, _ = e.spells.find(name, generation, e.moment(name))
	}
	return s
}

// same tells whether the store says so still, and as many files are held back for
// their age. Only where something was stored meanwhile, anything, it is read.
func (s *storedPage) same() bool {
	e := s.engine
	if e.opts.Rules.Ages() {
		if young, known := e.spells.find(s.name, s.generation, e.moment(s.name)); !known || young != s.young {
			return false
		}
	}
	now := e.seen()
	switch {
	case now.version == 0:
		return false
	case now == *s.at.Load():
		return true
	case e.opts.Private(s.name) != s.private:
		return false
	}
	generation, known, err := e.cat.Generation(s.name)
	if err != nil || !known || generation != s.generation {
		return false
	}
	n, err := e.notes.get(s.name)
	if err != nil || !s.private && !slices.Equal(n.badMetadata(), s.bad) {
		return false
	}
	s.at.Store(&now) // an older one would only have it read again
	return true
}

// stillOffered tells how to find out whether a page would be offered so again
// without anybody being asked; nil where it may not be. all: the line was up, and
// the page was confirmed by the upstream.
func (e *Engine) stillOffered(ctx context.Context, stored *storedPage, all bool) func() bool {
	switch {
	case hereOnly(ctx):
		return nil
	case !e.opts.Pull:
		return stored.same
	case all:
		e.mu.Lock()
		checked, is := e.checked[stored.name]
		e.mu.Unlock()
		if !is {
			return nil
		}
		until := checked.Add(e.opts.Fresh)
		return func() bool {
			now := e.now()
			return now.Before(until) && e.pulseHeld(now) && e.Line.Up() && stored.same()
		}
	case e.mirrors.Len() == 0 && !e.Line.Up():
		return func() bool { return !e.Line.Up() && stored.same() }
	}
	return nil // it goes by what a mirror says, or how long the upstream took to answer
}

// pulseAhead is how long before a sign of life ceases to count another is asked for,
// by somebody who need not wait for it.
const pulseAhead = time.Second

// pulseHeld tells whether the last sign of life counts still.
func (e *Engine) pulseHeld(now time.Time) bool {
	age := now.Sub(e.contact.at())
	if age >= pulseAfter-pulseAhead && e.ahead.CompareAndSwap(false, true) {
		e.mu.Lock()
		if p := e.pulse(); p == nil || !e.start(func() { <-p.done; e.ahead.Store(false) }) {
			e.ahead.Store(false)
		}
		e.mu.Unlock()
	}
	return age < pulseAfter
}

// pulse asks the upstream for a sign of life, or joins whoever is asking; nil when the
// engine is closed. e.mu is held.
func (e *Engine) pulse() *refresh {
	if e.pulsing != nil {
		return e.pulsing
	}
	p := &refresh{alive: make(chan struct{}), done: make(chan struct{})}
	started := e.start(func() {
		e.met(e.Prober.Ask(e.ctx))
		e.mu.Lock()
		e.pulsing = nil
		e.mu.Unlock()
		close(p.alive)
		close(p.done)
	})
	if !started {
		return nil
	}
	e.pulsing = p
	return p
}

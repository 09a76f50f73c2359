package simple

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cheeseboard/storage/pypi"
)

// Foreseer is an Index that can tell what it would give, without asking anybody.
type Foreseer interface {
	// Version changes with whatever may change pages, and costs nothing; 0: it cannot be
	// told.
	Version() uint64
	// Foresee gives what Page would give whoever asks next; false where Page would have
	// to ask the upstream first, or there is none.
	Foresee(name pypi.Name) (Page, bool)
}

// Pages that somebody waits for are rendered anew when they have changed, before the
// next one asks. Only few are worth that: what was asked for lately, and takes long.
const (
	// worthAhead is how long it takes to render what is worth it. A small page is not, on
	// any board.
	worthAhead = 2 * time.Millisecond
	// pageHot and listHot are for how long something is taken to be asked for again.
	pageHot = 10 * time.Minute
	listHot = 24 * time.Hour
	// mostHot is how many there are at most; who was not asked for longest goes.
	mostHot = 64
	// aheadTick is how often is looked whether something has changed; it is waited until
	// nothing has for one tick, but no longer than settleTime.
	aheadTick  = time.Second
	settleTime = 10 * time.Second
	// restFactor is how many times as long as a page took nothing is done: a quarter of
	// one processor is for this at most.
	restFactor = 3
)

// ahead renders what is asked for often.
type ahead struct {
	h     *Handler
	index Foreseer

	ctx  context.Context // ends with close
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running bool
	hot     map[cacheKey]*heat
}

// heat tells that something is asked for.
type heat struct {
	key   cacheKey
	tag   string      // of what was rendered
	asked atomic.Bool // since it was looked at last
	last  time.Time   // when it was asked for, to a tick
}

func newAhead(h *Handler) *ahead {
	a := &ahead{h: h, hot: make(map[cacheKey]*heat)}
	a.index, _ = h.index.(Foreseer)
	a.ctx, a.stop = context.WithCancel(context.Background())
	return a
}

func (a *ahead) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.stop()
	a.work.Wait()
}

// rendered notes that something was rendered for somebody who waited.
func (a *ahead) rendered(key cacheKey, tag string, took time.Duration) {
	if a.index == nil || tag == "" || took < worthAhead {
		return
	}
	a.note(key, tag)
}

// note has something rendered anew from now on when it changes.
func (a *ahead) note(key cacheKey, tag string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.index == nil || a.closed {
		return
	}
	now := time.Now()
	if e := a.hot[key]; e != nil {
		e.tag, e.last = tag, now
		return
	}
	if len(a.hot) >= mostHot {
		delete(a.hot, a.order()[len(a.hot)-1].key)
	}
	a.hot[key] = &heat{key: key, tag: tag, last: now}
	if !a.running {
		a.running = true
		a.work.Go(a.run)
	}
}

// order lists what is hot, what was asked for last at the front. a.mu is held.
func (a *ahead) order() []*heat {
	all := make([]*heat, 0, len(a.hot))
	for _, e := range a.hot {
		all = append(all, e)
	}
	slices.SortFunc(all, func(x, y *heat) int {
		return cmp.Or(y.last.Compare(x.last), cmp.Compare(x.key.name, y.key.name), cmp.Compare(x.key.coding, y.key.coding))
	})
	return all
}

// seen gives a Still that notes that what stands under a key is asked for.
func (a *ahead) seen(key cacheKey, still func() bool) func() bool {
	if a.index == nil || still == nil {
		return still
	}
	a.mu.Lock()
	e := a.hot[key]
	a.mu.Unlock()
	if e == nil {
		return still
	}
	e.asked.Store(true)
	return func() bool {
		if !e.asked.Load() { // a write for each request would cost the others
			e.asked.Store(true)
		}
		return still()
	}
}

// run looks after what is hot until nothing is.
func (a *ahead) run() {
	tick := time.NewTicker(aheadTick)
	defer tick.Stop()
	var s settling // what changed before it began is looked at, too
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-tick.C:
		}
		hot := a.look(time.Now())
		if hot == nil {
			return
		}
		version := a.index.Version()
		if !s.settled(version, time.Now()) {
			continue
		}
		later := false
		for _, e := range hot {
			begun := time.Now()
			wait := a.renew(e)
			later = later || wait
			if !a.rest(restFactor * time.Since(begun)) {
				return
			}
		}
		s.done, s.again = version, time.Time{}
		if later {
			s.again = time.Now().Add(listAgain / 10)
		}
	}
}

// look lists what is hot, and forgets what is so no more; nil, and the end of run,
// where nothing is.
func (a *ahead) look(now time.Time) []*heat {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, e := range a.hot {
		life := pageHot
		if key.name == "" {
			life = listHot
		}
		if e.asked.Swap(false) {
			e.last = now
		} else if now.Sub(e.last) > life {
			delete(a.hot, key)
		}
	}
	if len(a.hot) == 0 {
		a.running = false
		return nil
	}
	return a.order()
}

// rest waits; false when the end has come.
func (a *ahead) rest(d time.Duration) bool {
	if d <= 0 {
		return a.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-a.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// renew renders what has changed; it tells whether that is to be looked at again
// although nothing else changes.
func (a *ahead) renew(e *heat) (later bool) {
	if e.key.name == "" {
		return a.renewList(e)
	}
	page, ok := a.index.Foresee(e.key.name)
	if !ok || page.Tag == "" || !a.changed(e, page.Tag) {
		return false
	}
	form := pypi.FormHTML
	if e.key.json {
		form = pypi.FormJSON
	}
	body, err := a.h.body(e.key.name, page, variant{form: form, coding: e.key.coding})
	if err != nil {
		a.h.log.Debug("a page could not be rendered ahead", "project", e.key.name, "error", err) // who asks for it will say more
		return false
	}
	body.release()
	return false
}

// changed tells whether something has another tag by now, and notes it.
func (a *ahead) changed(e *heat, tag string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := e.tag
	e.tag = tag
	return was != tag
}

// renewList does so for the root list: a prepared one when it has come into its years.
func (a *ahead) renewList(e *heat) (later bool) {
	names, err := a.h.index.Names(a.ctx)
	if err != nil || names.Tag == "" {
		return false // who asks for it will say more
	}
	if large, again := a.h.lists.renew(e.key.json, names.Tag); large {
		return again
	}
	if !a.changed(e, names.Tag) {
		return false
	}
	form := pypi.FormHTML
	if e.key.json {
		form = pypi.FormJSON
	}
	out := &spill{limit: maxHeldList, start: func() error { return errHeadersOnly }}
	if err := a.h.writeList(a.ctx, out, variant{form: form, coding: e.key.coding}, names); err == nil && !out.started {
		a.h.cache.put(e.key, names.Tag, rendered{body: out.held, serial: names.LastSerial})
	}
	return false
}

// settling waits until changes are over.
type settling struct {
	done  uint64 // the version that was last acted on
	last  uint64
	again time.Time // when it is to be acted on even so; zero: it is not
	since time.Time // when the first change after done was seen; zero: none was
}

// settled tells whether it is time to act on a version.
func (s *settling) settled(version uint64, now time.Time) bool {
	switch {
	case version == 0:
		return false
	case version == s.done:
		if !s.again.IsZero() && now.After(s.again) {
			return true
		}
		s.since = time.Time{}
		return false
	case s.since.IsZero():
		s.since, s.last = now, version
		return false
	case version != s.last && now.Sub(s.since) < settleTime:
		s.last = version
		return false
	}
	s.since = time.Time{}
	return true
}

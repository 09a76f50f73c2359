// Package syncer brings an upstream index to the box over a line that breaks.
//
// The Engine owns every goroutine that talks to the upstream and the budget of
// the line. It follows project pages (refresh.go), carries out passes over the
// selection (pass.go, queue.go, follow.go), shares one download among all who want a file
// (download.go), and answers what LAN clients ask for (page.go, file.go).
// The decisions are in plan, the requests in upstream and fetch, the judgement
// of the line in link.
package syncer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/fetch"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/mirror"
	"cheeseboard/syncer/plan"
	"cheeseboard/syncer/policy"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"

	"golang.org/x/sync/singleflight"
)

// pullConnections are downloads for clients at once, beside those of a pass.
const pullConnections = 8

// Options are the settings of an Engine; a zero value is the default of each.
type Options struct {
	Selection    []pypi.Requirement
	Policy       plan.Policy
	Dependencies bool          // follow what the chosen files need
	Connections  int           // requests under way at once, at most; 0: 96
	Interval     time.Duration // between two passes; 0: 6 h
	Fresh        time.Duration // how long a page is served without asking; 0: 10 min
	Wait         time.Duration // how long a client waits for a sign of life; 0: 1.5 s
	Pull         bool          // bring in what clients ask for
	Roll         Roll          // keeps the names of all projects of the upstream; nil: they are not fetched
	Bulk         Bulk          // keeps the pages of all of them; nil: they are not fetched
	// Private tells which names are this box's own: no upstream and no mirror is
	// ever asked for them, and only what is here is given out. It must be quick.
	// nil: none is.
	Private      func(pypi.Name) bool
	RemovalGuard float64                  // fraction of what is here that one pass may remove
	Budget       *budget.Budget           // of the line; nil: no limit
	Mirrors      *mirror.Set              // who else has the bytes; nil: nobody
	Owns         Owner                    // which projects may come from this upstream; nil: all
	Foreign      func([]pypi.Requirement) // takes what the files of a pass need of other indexes; nil: nobody does
	Attestations Attestations             // keeps those of files; nil: they are not fetched
	Rules        *policy.Rules            // what is not given out, nor fetched; nil: everything is
	MaxPause     time.Duration            // longest pause within one download; 0: see fetch
	FirstRetry   time.Duration            // before a failed project or file is tried again; 0: 1 min
	Now          func() time.Time
	Log          *slog.Logger
	// Passed, where it is set, is called at the end of each pass that is to bring
	// files, with what it did and whether it went through. It must be quick.
	Passed func(Summary, error)
}

// Engine follows one upstream. Its methods may be called concurrently.
type Engine struct {
	opts  Options
	index *upstream.Index
	wire  *wire.Client
	files *fetch.Fetcher
	cat   Catalogue
	shelf Shelf
	notes *notebook

	mirrors *mirror.Set

	log *slog.Logger
	now func() time.Time

	Line   *link.Line
	Prober *link.Prober

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	refreshes map[pypi.Name]*refresh
	checked   map[pypi.Name]time.Time // when the upstream last confirmed a page
	downloads map[pypi.Digest]*download
	expected  map[pypi.Name]int64     // serials that the feed has told of pages
	followed  time.Time               // from when on the feed was followed without passing anything over
	absent    map[pypi.Name]time.Time // names that the upstream did not know, and when
	pass      *pass                   // the one that is under way; nil: none
	poke      chan struct{}
	slots     chan struct{} // downloads at once

	contact moment      // when the upstream last gave a sign of life
	pulsing *refresh    // a probe for one, under way
	ahead   atomic.Bool // one is asked for before it is needed

	attesting singleflight.Group // requests for attestations, by digest

	adopted   map[string][]pypi.Requirement // what the files of other indexes need, by index
	adoptions int                           // how often that changed

	spells spells // for how long pages stay as they are while files come of age

	mute <-chan struct{} // closed when mirrors have answered for whom a client waited in vain

	silent atomic.Bool // a client waited in vain for a sign of life, and none came since
}

// New makes an engine. It starts nothing: Run follows the schedule, Sync makes
// one pass, and the pull methods work from now on. Close ends them all.
func New(index *upstream.Index, client *wire.Client, cat Catalogue, shelf Shelf, notes Notes, opts Options) *Engine {
	defaultTo(&opts.Connections, 96)
	defaultTo(&opts.Interval, 6*time.Hour)
	defaultTo(&opts.Fresh, 10*time.Minute)
	defaultTo(&opts.Wait, 1500*time.Millisecond)
	defaultTo(&opts.FirstRetry, time.Minute)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Private == nil {
		opts.Private = func(pypi.Name) bool { return false }
	}
	if opts.Mirrors == nil {
		opts.Mirrors = mirror.None()
	}
	e := &Engine{
		opts: opts, index: index, wire: client, cat: cat, shelf: shelf, mirrors: opts.Mirrors,
		notes: &notebook{store: notes, index: index.Address()}, log: opts.Log, now: opts.Now,
		Line:      &link.Line{},
		Prober:    link.NewProber(index.Address(), client),
		refreshes: make(map[pypi.Name]*refresh),
		checked:   make(map[pypi.Name]time.Time),
		downloads: make(map[pypi.Digest]*download),
		absent:    make(map[pypi.Name]time.Time),
		poke:      make(chan struct{}, 1),
		slots:     make(chan struct{}, opts.Connections+pullConnections),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	client.Watch(e.timed)
	e.files = &fetch.Fetcher{
		Client: client, MaxPause: opts.MaxPause,
		Attempt: func(address string, offset int64, err error) {
			e.met(link.Of(index.Address(), address, err))
			e.log.Debug("download interrupted, going on", "url", address, "offset", offset, "reason", err)
		},
	}
	return e
}

func defaultTo[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

var errClosed = errors.New("cheeseboard is shutting down")

// Close ends every request and waits until all that was started has ended. What
// has arrived of files is kept.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.work.Wait()
	e.wire.CloseIdle()
}

// ours tells whether a request ended because of us: no failure of anybody's.
func ours(err error) bool {
	cause := wire.CauseOf(err)
	return cause == wire.Canceled || cause == wire.Budget
}

// admit asks the budget whether the line may be used for a class; its refusal
// comes as a *wire.Problem of cause Budget.
func (e *Engine) admit(c budget.Class) error {
	if e.opts.Budget == nil {
		return nil
	}
	refusal := e.opts.Budget.Admit(c)
	if refusal == nil {
		return nil
	}
	p := &wire.Problem{Cause: wire.Budget, Err: refusal}
	if !refusal.Until.IsZero() {
		p.RetryAfter = max(refusal.Until.Sub(e.now()), time.Second)
	}
	return p
}

// start runs fn in a goroutine of the engine's; false when it is closed. e.mu
// must be held.
func (e *Engine) start(fn func()) bool {
	if e.closed {
		return false
	}
	e.work.Go(fn)
	return true
}

// met tells the judge of the line what a request or a probe met, and notes a sign
// of life.
func (e *Engine) met(o link.Observation) {
	e.Line.Met(o)
	if o.Alive() {
		e.silent.Store(false)
		e.contact.set(e.now())
	}
}

// Run makes passes on schedule, probes a line that is down, and returns when ctx
// ends. Passes that fail are noted, not returned.
func (e *Engine) Run(ctx context.Context) error {
	var probing sync.WaitGroup
	probing.Go(func() { e.probe(ctx) })
	defer probing.Wait()
	for {
		if len(e.opts.Selection) > 0 || e.opts.Roll != nil || len(e.needed()) > 0 || e.anythingHere() {
			if e.turnOver(ctx) {
				continue
			}
		}
		timer := time.NewTimer(e.nextPass())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-e.poke:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// longestPass is how long a pass of Run's goes on, unless passes are farther apart.
// What failed at its beginning, what has changed since, and wishes must not wait for
// files that come for weeks.
const longestPass = 6 * time.Hour

// turnOver makes a pass, and tells whether its time was over before it was through: then
// the next is to begin at once. What is arriving goes on, and the next pass finds it.
func (e *Engine) turnOver(ctx context.Context) (again bool) {
	timed, cancel := context.WithTimeout(ctx, max(e.opts.Interval, longestPass))
	defer cancel()
	_, err := e.Sync(timed, SyncOptions{Fresh: e.opts.Interval / 2})
	switch again = timed.Err() != nil && ctx.Err() == nil; {
	case again:
		e.log.Info("the sync takes long; it looks for what is new, and goes on")
	case err != nil && ctx.Err() == nil:
		e.log.Warn("sync ended early", "reason", err)
	}
	return again
}

// Poke asks Run for a pass now.
func (e *Engine) Poke() {
	select {
	case e.poke <- struct{}{}:
	default: // asked for already
	}
}

func (e *Engine) anythingHere() bool {
	n, err := e.shelf.Count()
	return err == nil && n > 0
}

// nextPass is the time to the next regular pass, or to the first retry that is
// due before it.
func (e *Engine) nextPass() time.Duration {
	now := e.now()
	var refusal *wire.Problem
	if asProblem(e.admit(budget.Background), &refusal) && refusal.RetryAfter > 0 {
		return refusal.RetryAfter
	}
	next := now.Add(e.opts.Interval)
	err := e.notes.store.Listed(listRetry, func(_ pypi.Name, due time.Time) bool {
		// What is overdue has just had its turn, or nobody wants it.
		if due.After(now) && due.Before(next) {
			next = due
		}
		return true
	})
	if err != nil {
		e.log.Error("the next tries could not be read; the next pass comes at its regular time", "reason", err)
	}
	return max(next.Sub(now), time.Second)
}

// probe looks at a line that is in trouble whenever that is due, until ctx ends.
func (e *Engine) probe(ctx context.Context) {
	last := e.Line.Verdict()
	for {
		changed := e.Line.Changed()
		v := e.Line.Verdict()
		switch {
		case last.Up && !v.Up:
			e.log.Warn("the line is down", "state", v.State, "cause", v.Cause, "reason", v.Detail)
		case !last.Up && v.Up:
			e.log.Info("the line is back", "was down since", last.Since.Format(time.RFC3339), "state", last.State)
			e.hear()
			e.Poke()
		case !v.Up && v.State != last.State:
			e.log.Info("the line is down for another reason", "state", v.State, "cause", v.Cause, "reason", v.Detail)
		}
		last = v
		var due <-chan time.Time
		if !v.Probe.IsZero() {
			due = time.After(time.Until(v.Probe))
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-due:
			e.Prober.Round(ctx, v, e.met)
		}
	}
}

// closeQuietly closes what was only read.
func closeQuietly(c io.Closer) { _ = c.Close() }

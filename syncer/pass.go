package syncer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/wire"
)

// SyncOptions are the settings of one pass.
type SyncOptions struct {
	Fresh          time.Duration // pages confirmed within it are not asked for again
	Now            bool          // a person asked: what waits for its next try or for its time is tried too
	AcceptRemovals bool          // follow the upstream in whatever it removes
	Plan           bool          // only find out what it would bring: pages and metadata, no files, no removals
}

// Summary is what one pass did.
type Summary struct {
	Started  time.Time     `json:"started"`
	Took     time.Duration `json:"took_ns"`
	Projects int           `json:"projects"` // looked at
	Failed   int           `json:"failed"`   // of them, those with something that could not be had
	Files    int           `json:"files"`    // brought in, metadata not counted
	Bytes    int64         `json:"bytes"`    // of files and metadata brought in
	Received int64         `json:"received"` // bytes over the line, headers and pages included
	Removed  int           `json:"removed"`  // files removed since the upstream did so
	HeldBack int           `json:"held_back"`
	Complete bool          `json:"complete"`       // not interrupted
	Cost     *Cost         `json:"cost,omitempty"` // with SyncOptions.Plan: what it would bring
}

// Progress is how far the running pass is.
type Progress struct {
	Projects     int      `json:"projects"`
	ProjectsDone int      `json:"projects_done"`
	Files        int      `json:"files"`
	FilesDone    int      `json:"files_done"`
	Bytes        int64    `json:"bytes"` // of files, as far as their sizes are stated
	BytesDone    int64    `json:"bytes_done"`
	Current      []string `json:"current"` // what is being worked at

	Rate      float64       `json:"rate,omitempty"`         // bytes per second over the line lately; 0: not measured yet
	Remaining time.Duration `json:"remaining_ns,omitempty"` // at that rate, for the files that are known so far; 0: not known
}

// ErrPassing: a pass is under way already.
var ErrPassing = errors.New("a sync is under way already")

// ErrGuard: the upstream would remove more than the guard allows.
var ErrGuard = errors.New("the upstream would remove too much")

// want is what a pass wants of one project.
type want struct {
	requirements []pypi.Requirement
	texts        map[string]bool
	wished       bool // a client's wish, or what such a wish needs
	selected     bool // the selection, or what it needs: its files are pinned
	queued       bool
	busy         bool // a worker is at it
	looked       bool // its page was asked for in this pass
	failed       bool
	// pins are the digests that the last plan holds; nil where all that is here
	// is held as it should be.
	pins map[pypi.Digest]bool
	// awaited are the files that the last plan chose and that were not here.
	awaited []pypi.Digest
}

// metaJob is core metadata that is to be fetched, and then followed.
type metaJob struct {
	item    Item // the metadata
	url     string
	wheel   Item // that they are of
	targets []int
	held    bool // the wheel is here
	again   bool // they are fetched already, for another plan
	late    bool // there was no room for them at first
}

// arrival is what becomes of one file or of its metadata.
type arrival struct {
	queued bool
	landed bool // it is here
	untold bool // its metadata could not be had apart: it has to tell what it needs
}

type fileJob struct {
	item    Item
	url     string
	targets []int
	wished  bool // somebody asked for it: it goes before all others
	// wheels whose metadata could not be had apart tell their dependencies
	// when they are here
	readWheel bool
	late      bool // there was no room for it at first
}

// pass is one run over the selection. Pages and metadata go first, since they are
// small and tell what else is needed, then files, the smallest first (queue.go);
// as many at once as the line carries (turns.go). A project that fails keeps its
// own turn busy and nobody else.
type pass struct {
	*Engine
	ctx  context.Context
	opts SyncOptions
	over chan struct{} // closed at the end
	told news          // by the upstream, of its changes

	later map[pypi.Name]bool // pages that nobody vouches for, and that have their turn in another pass

	mu         sync.Mutex
	turn       *sync.Cond
	wants      map[pypi.Name]*want
	projects   []pypi.Name
	metas      []metaJob
	files      fileQueue // those that pass quickly
	large      fileQueue // the others
	arrivals   map[pypi.Digest]*arrival
	turns      turns
	rate       float64 // bytes per second that came in lately; 0: not measured yet
	fatal      error
	looked     bool // no page or metadata was waited for when a turn was last given
	deaf       bool // wishes that are made now are not for this pass
	deferred   map[pypi.Name]int
	scarce     scarcity
	unattested []Item                      // files that were here, without their attestations
	foreign    map[string]pypi.Requirement // what is needed of other indexes
	summary    Summary
	progress   Progress
	current    map[string]int64 // label → bytes, while it is worked at

	announced bool                  // what it will cost was told
	before    int64                 // bytes received when it began
	usual     float64               // bytes per second that the line carried lately; 0: not known
	arrived   map[pypi.Digest]int64 // bytes that were here of partials when it began
}

// Sync makes one pass over the selection and over all that is here: pages first,
// then the files that are wanted. One project's failure is noted and holds up no
// other. It returns an error when the pass as a whole could not be completed:
// ErrPassing, ErrGuard (everything but the removals was done), ErrFull (all that there
// was room for was done, unless not even pages had any), or a
// *wire.Problem of cause Canceled or Budget.
func (e *Engine) Sync(ctx context.Context, opts SyncOptions) (Summary, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &pass{
		Engine: e, ctx: ctx, opts: opts, over: make(chan struct{}), deaf: true,
		wants: make(map[pypi.Name]*want), arrivals: make(map[pypi.Digest]*arrival), turns: newTurns(e.opts.Connections),
		deferred: make(map[pypi.Name]int), foreign: make(map[string]pypi.Requirement), current: make(map[string]int64),
	}
	p.turn = sync.NewCond(&p.mu)
	e.mu.Lock()
	switch {
	case e.closed:
		e.mu.Unlock()
		return Summary{}, &wire.Problem{Cause: wire.Canceled, Err: errClosed}
	case e.pass != nil:
		e.mu.Unlock()
		return Summary{}, ErrPassing
	}
	e.pass = p
	e.work.Add(1) // Close waits for a pass too
	e.mu.Unlock()
	stop := context.AfterFunc(e.ctx, cancel)
	defer func() {
		stop()
		e.mu.Lock()
		e.pass = nil
		e.mu.Unlock()
		close(p.over)
		e.work.Done()
	}()
	sum, err := p.run()
	if e.opts.Passed != nil && !opts.Plan {
		e.opts.Passed(sum, err)
	}
	return sum, err
}

func (p *pass) run() (Summary, error) {
	received := p.wire.Received()
	p.summary.Started = p.now()
	begun := time.Now()
	if err := p.begin(); err != nil {
		return p.summary, err
	}
	told, err := p.readFeed()
	if err != nil {
		return p.summary, err
	}
	p.heed(told)
	p.learn()
	p.hearing(true)
	p.hear() // what was wished for since it began
	p.work()
	p.hearing(false)
	err = p.broken()
	switch {
	case p.opts.Plan:
		p.mu.Lock()
		cost := p.cost()
		p.summary.Cost = &cost
		p.mu.Unlock()
	case err == nil:
		err = errors.Join(p.removals(), p.settlePins(), p.granted())
		p.handOver()
		if p.scarce.full != nil {
			err = errors.Join(err, p.scarce.full)
			break // nothing more is brought that nobody needs
		}
		p.attestations()
		p.roll()
		p.allPages(told)
	}
	for _, w := range p.wants {
		if w.failed {
			p.summary.Failed++
		}
	}
	p.confirmations()
	p.summary.Projects = len(p.wants)
	p.summary.Received = p.wire.Received() - received
	p.summary.Took = time.Since(begun)
	p.summary.Complete = err == nil
	return p.summary, errors.Join(err, p.remember())
}

// hearing says whether wishes are heard that somebody makes now.
func (p *pass) hearing(now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = !now
}

// broken tells why the pass cannot go on; nil where it can.
func (p *pass) broken() error {
	switch {
	case p.fatal != nil:
		return p.fatal
	case p.stopped() != nil:
		return &wire.Problem{Cause: wire.Canceled, Err: p.stopped()}
	}
	return nil
}

// stopped tells whether the pass was ended from outside. The engine's end reaches
// the requests a moment before it reaches p.ctx.
func (p *pass) stopped() error { return cmp.Or(p.ctx.Err(), p.Engine.ctx.Err()) }

// remember notes what the pass did, and how far the feed has been followed: what
// failed is noted with each project and does not hold the rest up.
func (p *pass) remember() error {
	if p.opts.Plan {
		return nil // nothing was done that is worth telling of, and the feed is to be followed by a pass that does
	}
	through := p.through()
	if through {
		if err := p.overlooked(); err != nil {
			return err
		}
	}
	return p.notes.editOwn(func(n *ownNote) {
		if p.worthNoting() {
			n.Last, n.Rate = &p.summary, p.usualRate(n.Rate)
		}
		if through {
			n.Feed = &p.told.next
		}
	})
}

// through tells whether all pages were asked for of which the news told: then they need
// not tell of them again, also where files are still to come.
func (p *pass) through() bool {
	switch {
	case p.fatal == nil && p.stopped() == nil:
		return true
	case p.Engine.ctx.Err() != nil || errors.Is(p.ctx.Err(), context.Canceled):
		return false // the program is to end, and reads and writes no more than it must
	}
	return p.looked && len(p.projects)+len(p.metas) == 0
}

// class is for whom the pass is: a person who asked for it waits for it.
func (p *pass) class() budget.Class {
	if p.opts.Now {
		return budget.Person
	}
	return budget.Background
}

// worthNoting spares the card a write where a pass changed nothing.
func (p *pass) worthNoting() bool {
	s := p.summary
	return s.Files > 0 || s.Removed > 0 || s.HeldBack > 0 || s.Failed > 0 || !s.Complete || s.Received > 0
}

// begin puts the selection into the queue, and behind it what is here besides.
func (p *pass) begin() error {
	needed := p.needed()
	wishes, err := p.wishes()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range wishes {
		p.want(pypi.Requirement{Name: w.Project}, true)
	}
	for _, r := range slices.Concat(p.Engine.opts.Selection, needed) {
		p.want(r, false)
	}
	return p.cat.Stocked(func(name pypi.Name) bool {
		if p.wants[name] == nil {
			p.enqueue(name)
		}
		return true
	})
}

// failed notes that something of a project could not be had. A disk on which not even
// pages have room ends the pass: nothing else could be stored either.
func (p *pass) failed(name pypi.Name, err error) {
	if err == nil || wire.CauseOf(err) == wire.Canceled {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if wire.CauseOf(err) == wire.Budget {
		// The line is closed to the whole pass; it goes on when it is open.
		if p.fatal == nil {
			p.fatal = err
			p.turn.Broadcast()
		}
		return
	}
	if w := p.wants[name]; w != nil {
		w.failed = true
	}
	if errors.Is(err, ErrFull) && p.fatal == nil {
		p.fatal = err
		p.turn.Broadcast()
	}
}

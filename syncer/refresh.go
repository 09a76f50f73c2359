package syncer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/plan"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// refresh is one look at a project's page, shared by all who wait for it.
type refresh struct {
	alive   chan struct{} // closed when the upstream has answered at all
	done    chan struct{} // closed when it is over
	mode    removals
	err     error // after done
	removed int   // after done: files that the upstream removed and that were kept
}

// removals says what a refresh does with files that are here and that the
// upstream no longer lists.
type removals int

const (
	// Whoever asks, they are kept: an upstream that takes everything away, one
	// answer at a time, must not get past the guard, which counts in passes.
	forClient removals = iota
	forPass
	followAll // follow: the guard was asked before
)

// refresh asks the upstream for a page, or joins whoever is asking.
func (e *Engine) refresh(name pypi.Name, mode removals, class budget.Class) *refresh {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refreshing(name, mode, class)
}

// refreshing is refresh where e.mu is held.
func (e *Engine) refreshing(name pypi.Name, mode removals, class budget.Class) *refresh {
	if r := e.refreshes[name]; r != nil {
		return r
	}
	r := &refresh{alive: make(chan struct{}), done: make(chan struct{}), mode: mode}
	if e.opts.Private(name) {
		r.err = fmt.Errorf("ask for %s: %w", name, errPrivate)
		close(r.alive)
		close(r.done)
		return r
	}
	started := e.start(func() {
		alive := false
		r.removed, r.err = e.look(name, mode, class, func() { alive = true; close(r.alive) })
		e.mu.Lock()
		delete(e.refreshes, name)
		switch {
		case r.err == nil:
			e.checked[name] = e.now()
		case wire.CauseOf(r.err) == wire.Gone:
			e.remember(name)
		}
		e.mu.Unlock()
		if !alive {
			close(r.alive)
		}
		close(r.done)
	})
	if !started {
		r.err = &wire.Problem{Cause: wire.Canceled, Err: errClosed}
		close(r.alive)
		close(r.done)
		return r
	}
	e.refreshes[name] = r
	return r
}

// wait waits for a refresh.
func (r *refresh) wait(ctx context.Context) (removed int, err error) {
	select {
	case <-r.done:
		return r.removed, r.err
	case <-ctx.Done():
		return 0, &wire.Problem{Cause: wire.Canceled, Err: ctx.Err()}
	}
}

// follow asks for a page and follows it in what it removed. A refresh that a client
// began meanwhile would keep what was removed, so it is waited for and not joined.
func (e *Engine) follow(ctx context.Context, name pypi.Name, class budget.Class) error {
	for {
		r := e.refresh(name, followAll, class)
		_, err := r.wait(ctx)
		if r.mode == followAll || ctx.Err() != nil {
			return err
		}
	}
}

// confirmations forgets those that are too old to spare anybody a request.
func (e *Engine) confirmations() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, life := e.now(), max(e.opts.Fresh, e.opts.Interval)
	maps.DeleteFunc(e.checked, func(_ pypi.Name, at time.Time) bool { return now.Sub(at) > life })
	maps.DeleteFunc(e.absent, func(_ pypi.Name, at time.Time) bool { return now.Sub(at) > e.opts.Fresh })
}

// look asks for a page, stores what it says, and notes how it went.
func (e *Engine) look(name pypi.Name, mode removals, class budget.Class, alive func()) (removed int, err error) {
	n, err := e.notes.get(name)
	if err != nil {
		return 0, err
	}
	known, addressed, err := e.cat.Sound(name)
	if err != nil {
		// The record is damaged: the upstream's page replaces it.
		e.log.Error("stored page cannot be read, fetching it anew", "project", name, "reason", err)
		known = false
	}
	// Validators serve only as long as the page that they came with is here as
	// it came, and is not in doubt.
	var validators upstream.Validators
	if known && addressed && !n.doubtful() && n.Upstream == e.index.Address() {
		validators = n.Validators
	}
	if err := e.admit(class); err != nil {
		return 0, err
	}
	began, took := time.Now(), time.Duration(0)
	answered := func() { took = time.Since(began); alive() }
	answer, err := e.index.Project(budget.With(e.ctx, class), name, validators, answered)
	met := link.Of(e.index.Address(), e.index.Address(), err)
	met.Answered = took
	e.met(met)
	if ours(err) {
		return 0, err
	}
	switch {
	case wire.CauseOf(err) == wire.Gone && known && n.carried():
		// It never was the index's: nothing is followed in removing it.
		err = e.notes.edit(name, func(n *note) { n.asked(name, e.now(), e.followedSince()) })
	case wire.CauseOf(err) == wire.Gone:
		removed, err = e.gone(name, mode, err)
	case err == nil:
		removed, err = e.take(name, n, mode, answer)
	}
	if mode == forClient && !known && err != nil {
		return removed, err // a client's mistyped name is no trouble of ours
	}
	if noteErr := e.notePage(name, err); noteErr != nil {
		return removed, errors.Join(err, noteErr)
	}
	return removed, err
}

func (e *Engine) notePage(name pypi.Name, err error) error {
	return e.notes.edit(name, func(n *note) {
		if err == nil {
			n.Page = nil
			return
		}
		n.fail("", err, e.now(), e.opts.FirstRetry, e.opts.Interval)
	})
}

// behindFor is how long an upstream's older serial is put down to a cache. After
// that the index has been set back, and is followed.
const behindFor = 24 * time.Hour

// isBehind tells whether a page is older than the one that is stored, or than
// the feed has told, as serials of one upstream tell it.
func (e *Engine) isBehind(n note, name pypi.Name, stored, fresh int64) (expected int64, is bool) {
	if n.Upstream != "" && n.Upstream != e.index.Address() {
		stored, n.Expect = 0, 0
	}
	e.mu.Lock()
	expected = max(stored, e.expected[name], n.Expect)
	e.mu.Unlock()
	if fresh == 0 || fresh >= expected {
		return expected, false
	}
	return expected, n.Page == nil || e.now().Sub(n.Page.Since) < behindFor
}

// take stores a new page.
func (e *Engine) take(name pypi.Name, n note, mode removals, answer *upstream.Answer) (removed int, err error) {
	stored, _, err := e.cat.Serial(name)
	if err != nil {
		stored = 0 // look has said that it is damaged
	}
	fresh := stored
	if !answer.NotModified {
		fresh = answer.Project.LastSerial
	}
	if expected, behind := e.isBehind(n, name, stored, fresh); behind {
		// The feed tells it once: a restart must not make the old page pass.
		if err := e.notes.edit(name, func(n *note) { n.Expect = expected }); err != nil {
			return 0, err
		}
		return 0, &wire.Problem{Cause: wire.Lie, Err: fmt.Errorf("its page is of serial %d, but it is known to be at %d: a cache on the way is behind", fresh, expected)}
	}
	if answer.NotModified {
		return 0, e.notes.edit(name, func(n *note) { n.Expect = 0; n.asked(name, e.now(), e.followedSince()) })
	}
	old, _, err := e.cat.Project(name)
	if err != nil {
		old = nil // as above
	}
	held, err := e.cat.Held(name)
	if err != nil {
		return 0, err
	}
	if n.carried() {
		old, held = nil, nil // what the index says replaces what people have carried here
	}
	isHeld := func(d pypi.Digest) bool { _, ok := held[d]; return ok }
	change := plan.Reconcile(old, answer.Project, isHeld, mode == followAll)
	kept := 0
	if mode != followAll {
		kept = len(change.Removed)
	}
	err = e.notes.editWith(name, func(n *note) {
		n.Upstream, n.Validators, n.HeldBack, n.Expect = e.index.Address(), answer.Validators, kept, 0
		n.asked(name, e.now(), e.followedSince())
		n.Refused = slices.Concat(answer.Refused[:min(len(answer.Refused), 20)], change.Conflicts[:min(len(change.Conflicts), 20)])
		for filename := range n.Files {
			if stated := statedOf(change.Page, filename); stated.IsZero() || stated != statedOf(old, filename) {
				delete(n.Files, filename) // it failed with other bytes, or is not there any more
			}
		}
	}, func(note []byte, lists map[string]time.Time) error { return e.cat.PutProject(change.Page, note, lists) })
	if err != nil {
		return 0, err
	}
	if mode == followAll && len(change.Removed) > 0 {
		e.log.Info("followed the upstream in removing files", "project", name, "files", change.Removed)
	}
	return kept, nil
}

// statedOf is the digest that a page states of a file or, with ".metadata" behind
// its name, of its metadata; zero for none, and of no page.
func statedOf(p *pypi.Project, label string) (d pypi.Digest) {
	if p == nil {
		return d
	}
	filename, metadata := cutMetadata(label)
	for i := range p.Files {
		switch f := &p.Files[i]; {
		case f.Filename != filename:
		case metadata:
			d, _ = f.CoreMetadata.Hashes.SHA256()
		default:
			d, _ = f.Hashes.SHA256()
		}
	}
	return d
}

// gone follows the removal of a whole project.
func (e *Engine) gone(name pypi.Name, mode removals, cause error) (removed int, err error) {
	held, err := e.cat.Held(name)
	if err != nil {
		return 0, err
	}
	files := 0
	for _, item := range held {
		if !item.Metadata {
			files++
		}
	}
	if files > 0 && mode != followAll {
		return files, e.notes.edit(name, func(n *note) { n.HeldBack = files })
	}
	known, _, err := e.cat.Sound(name)
	if !known && err == nil {
		return 0, cause
	}
	if err := e.cat.DeleteProject(name); err != nil {
		return 0, err
	}
	e.log.Info("followed the upstream in removing a project", "project", name, "files", files)
	if err := e.notes.edit(name, func(n *note) { *n = note{} }); err != nil {
		return 0, err
	}
	return 0, cause
}

func asProblem(err error, p **wire.Problem) bool { return errors.As(err, p) }

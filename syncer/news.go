package syncer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/plan"
	"cheeseboard/syncer/upstream"
)

const (
	// overlap is how many serials before the last one the feed is read again:
	// rows can turn up late, behind rows with higher serials.
	overlap = 2000
	// feedAgain is how long an upstream that has no feed is not asked for one.
	feedAgain = 24 * time.Hour
	// feedPatience is how long a feed may fail before the root list is asked instead.
	feedPatience = 6 * time.Hour
)

// feedNote is how far the upstream has been followed.
type feedNote struct {
	Upstream    string `json:"upstream"`
	plan.Cursor        // of its change feed
	// Since is from when on the feed was followed without passing anything over:
	// for pages that were last asked for before that it says nothing.
	Since   time.Time `json:"since,omitzero"`
	None    time.Time `json:"none,omitzero"`    // when the upstream was found to have no feed
	Failing time.Time `json:"failing,omitzero"` // since when the feed has only failed
	Root    *rootNote `json:"root,omitempty"`
}

// rootNote is what is known of the upstream's root list as a feed.
type rootNote struct {
	Validators upstream.Validators `json:"validators"`     // of the list that was followed last
	Size       int64               `json:"size,omitempty"` // bytes that it cost, or more than which
	At         time.Time           `json:"at,omitzero"`    // when it was asked for last
	None       time.Time           `json:"none,omitzero"`  // when it was found to state no serials
}

// ownNote is what the engine remembers of itself.
type ownNote struct {
	Last *Summary  `json:"last,omitempty"`
	Rate float64   `json:"rate,omitempty"` // bytes per second that the line carried lately, headers included
	Feed *feedNote `json:"feed,omitempty"`
}

func (b *notebook) own() (ownNote, error) {
	var n ownNote
	raw, err := b.store.Note("")
	if err == nil && raw != nil && json.Unmarshal(raw, &n) != nil {
		n = ownNote{} // what cannot be read is learnt anew
	}
	return n, err
}

func (b *notebook) editOwn(change func(*ownNote)) error {
	defer b.claim("")()
	n, err := b.own()
	if err != nil {
		return err
	}
	before, err := json.Marshal(n)
	if err != nil {
		return err
	}
	change(&n)
	after, err := json.Marshal(n)
	if err != nil || bytes.Equal(before, after) {
		return err
	}
	return b.store.SetNote("", after, nil)
}

// news is what the upstream tells of its changes at the beginning of a pass.
type news struct {
	source source
	due    map[pypi.Name]int64 // what was told: the serials that these pages must have
	next   feedNote            // what is noted when the pass is through
}

// source is who told the news, and so what their silence about a page means.
type source int

const (
	nobody   source = iota // nothing
	feedRows               // that it has not changed since it was asked for
	rootList               // nothing: it vouches for those that it names
	sameList               // that it is as the list said which was followed before
)

// readFeed asks the upstream what has changed: its change feed, or else the
// serials in its root list, where these cost less than the pages that they save.
func (p *pass) readFeed() (news, error) {
	own, err := p.notes.own()
	if err != nil {
		return news{}, err
	}
	was := feedNote{Upstream: p.index.Address()}
	if own.Feed != nil && own.Feed.Upstream == was.Upstream {
		was = *own.Feed
	}
	if err := p.admit(p.class()); err != nil {
		return news{}, err
	}
	n := news{next: was}
	ctx, now := budget.With(p.ctx, p.class()), p.now()
	if !within(was.None, now, feedAgain) {
		err := p.followFeed(ctx, &n)
		switch {
		case errors.Is(err, upstream.ErrNoFeed):
			n.next.None, n.next.Failing = now, time.Time{}
		case err != nil && !ours(err):
			p.log.Info("the change feed could not be read to its end", "reason", err)
			if n.next.Failing.IsZero() || n.next.Failing.After(now) {
				n.next.Failing = now
			}
		case err == nil:
			n.next.None, n.next.Failing = time.Time{}, time.Time{}
		}
	}
	if failing := n.next.Failing; !n.next.None.IsZero() || !failing.IsZero() && now.Sub(failing) >= feedPatience {
		p.followRoot(ctx, &n)
	}
	// What was learnt of the upstream holds whether the pass gets through or not.
	return n, p.notes.editOwn(func(own *ownNote) {
		learnt := was
		learnt.None, learnt.Failing = n.next.None, n.next.Failing
		if root := n.next.Root; root != nil {
			learnt.Root = &rootNote{Size: root.Size, At: root.At, None: root.None}
			if was.Root != nil {
				learnt.Root.Validators = was.Root.Validators
			}
		}
		own.Feed = &learnt
	})
}

// within tells whether an event is less than d ago; a time to come is a clock's error.
func within(event, now time.Time, d time.Duration) bool {
	since := now.Sub(event)
	return !event.IsZero() && since >= 0 && since < d
}

// followFeed reads the change feed from where it was read last. Where its end is
// not reached, what came counts all the same.
func (p *pass) followFeed(ctx context.Context, n *news) error {
	feed := p.index.Feed()
	last, err := feed.LastSerial(ctx)
	if err != nil {
		return err
	}
	was := n.next.Cursor
	if was.Serial == 0 || plan.SetBack(was.Serial, last) {
		// Rows from before tell of what the pages say already, but for a page that a
		// cache holds back: the next reading begins before this end.
		n.next.Cursor, n.next.Since = plan.Cursor{}.Read(last, p.now()), p.now()
		return nil
	}
	changes, err := feed.Since(ctx, was.From(overlap), p.follows)
	n.due = plan.Told(changes.Projects)
	switch {
	case err != nil:
		if changes.Last > was.Serial {
			n.next.Cursor = was.Read(changes.Last, p.now())
		}
		return err
	case changes.More:
		p.log.Info("the change feed tells of very much; every page is asked for in its turn", "changes", changes.Rows)
		n.next.Cursor, n.next.Since = plan.Cursor{}.Read(last, p.now()), p.now()
		return nil
	}
	n.source, n.next.Cursor = feedRows, was.Read(max(changes.Last, was.Serial), p.now())
	return nil
}

// follows tells whether news of a project matter: it is wanted, or its page is
// here and could be wanted again.
func (p *pass) follows(name pypi.Name) bool {
	if p.Engine.opts.Private(name) {
		return false
	}
	if p.wants[name] != nil {
		return true
	}
	_, known, err := p.cat.Serial(name)
	return known && err == nil
}

// followRoot reads the serials of the root list, where it is worth it.
func (p *pass) followRoot(ctx context.Context, n *news) {
	var root rootNote
	if n.next.Root != nil {
		root = *n.next.Root
	}
	if within(root.None, p.now(), feedAgain) {
		return
	}
	if within(root.At, p.now(), p.opts.Fresh) {
		return
	}
	pages := len(p.unvouched(*n))
	if !p.opts.Now {
		pages = plan.PerPass(pages, p.Engine.opts.Interval)
	}
	worth := plan.ListWorth(pages)
	if worth == 0 || root.Size > worth {
		return
	}
	due := make(map[pypi.Name]int64)
	stated := 0
	got, err := p.index.Feed().Root(ctx, upstream.RootQuery{Validators: root.Validators, Most: worth}, func(e pypi.ListEntry) error {
		if e.Serial > 0 {
			if stated++; p.follows(e.Name) {
				due[e.Name] = e.Serial
			}
		}
		return nil
	})
	root.Size, root.At = max(root.Size, got.Bytes), p.now()
	switch {
	case err != nil:
		p.log.Info("the root list could not be read to its end", "reason", err, "bytes", got.Bytes)
	case got.NotModified:
		n.source = sameList
	case stated == 0:
		root = rootNote{None: p.now()}
	default:
		root = rootNote{Validators: got.Validators, Size: got.Bytes, At: p.now()}
	}
	if len(due) > 0 {
		// What came of a list that was cut is true as it stands.
		for name, serial := range n.due {
			due[name] = max(due[name], serial)
		}
		n.source, n.due = rootList, due
	}
	n.next.Root = &root
}

// heed makes the news those of the pass: which serials the pages must have that are
// asked for next, from when on the feed is followed, and which pages can wait.
func (p *pass) heed(told news) {
	p.later, _ = p.share(told)
	if root := told.next.Root; root != nil && told.source == rootList && len(p.later) > 0 {
		// That the list is still the same would say nothing of those that it lacks.
		root.Validators = upstream.Validators{}
	}
	p.told = told
	p.Engine.mu.Lock()
	defer p.Engine.mu.Unlock()
	p.expected, p.followed = told.due, told.next.Since
}

// overlooked sees to it that pages of which the news told, and that nobody wanted
// in this pass, are asked for when somebody does: the news will not tell again.
func (p *pass) overlooked() error {
	var errs []error
	for name, serial := range p.told.due {
		if p.wants[name] != nil || p.Engine.opts.Private(name) {
			continue
		}
		stored, known, err := p.cat.Serial(name)
		if err == nil && (!known || stored == serial) {
			continue
		}
		errs = append(errs, err, p.notes.edit(name, func(n *note) { n.Asked = time.Time{} }))
	}
	return errors.Join(errs...)
}

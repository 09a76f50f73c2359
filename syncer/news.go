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
	// sweepEvery is the longest that a page is believed on the feed's word alone:
	// not every change is told there (a project that is archived, for one).
	sweepEvery = 7 * 24 * time.Hour
)

// feedNote is how far the upstream's change feed has been read.
type feedNote struct {
	Upstream string    `json:"upstream"`
	Serial   int64     `json:"serial"`        // everything up to it has been looked at, or is noted as trouble
	None     time.Time `json:"none,omitzero"` // when the upstream was found to have no feed
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
	b.mu.Lock()
	defer b.mu.Unlock()
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

// news is what the feed says at the beginning of a pass.
type news struct {
	told bool                // the feed was read: what is not due has not changed
	due  map[pypi.Name]int64 // projects that changed, and the serial that their pages must have
	last int64               // up to where it has been followed when the pass is through; 0: no further than before
}

// readFeed asks the upstream what has changed. Where it cannot or will not say,
// every page is asked for.
func (p *pass) readFeed() (news, error) {
	own, err := p.notes.own()
	if err != nil {
		return news{}, err
	}
	was := own.Feed
	if was == nil || was.Upstream != p.index.Address() {
		was = &feedNote{Upstream: p.index.Address()}
	}
	if !was.None.IsZero() && p.now().Sub(was.None) < feedAgain && p.now().After(was.None) {
		return news{}, nil
	}
	if err := p.admit(p.class()); err != nil {
		return news{}, err
	}
	feed := p.index.Feed()
	ctx := budget.With(p.ctx, p.class())
	last, err := feed.LastSerial(ctx)
	if errors.Is(err, upstream.ErrNoFeed) {
		return news{}, p.notes.editOwn(func(n *ownNote) {
			n.Feed = &feedNote{Upstream: p.index.Address(), None: p.now()}
		})
	}
	if err != nil {
		p.log.Info("the change feed could not be read; every page is asked for", "reason", err)
		return news{}, nil
	}
	if was.Serial == 0 || plan.SetBack(was.Serial, last) {
		return news{last: last}, nil
	}
	return p.changes(ctx, feed, was.Serial, last)
}

// changes reads the feed from where it was read last.
func (p *pass) changes(ctx context.Context, feed *upstream.Feed, read, last int64) (news, error) {
	if read == last {
		return news{told: true, last: last}, nil
	}
	changes, err := feed.Since(ctx, plan.Window(read, overlap))
	if err != nil {
		p.log.Info("the change feed could not be read to its end; every page is asked for", "reason", err)
		return news{}, nil
	}
	if changes.More {
		// Every page is asked for, so the rest need not be read.
		p.log.Info("the change feed tells of very much; every page is asked for", "changes", changes.Rows)
		return news{last: last}, nil
	}
	return news{told: true, last: changes.Last, due: plan.Told(changes.Projects)}, nil
}

// expect notes which serials the pages must have that are asked for next.
func (p *pass) expect(told news) {
	p.Engine.mu.Lock()
	defer p.Engine.mu.Unlock()
	p.expected = told.due
}

// changedSince tells whether a page that was confirmed lately must be asked for all
// the same: the feed tells of a change, and will not tell of it again, for after
// this pass it is read from its end. Where the pass begins to follow the feed, it
// may have changed before that end as well.
func (p *pass) changedSince(name pypi.Name) bool {
	if !p.told.told {
		return p.told.last > 0
	}
	stored, _, err := p.cat.Serial(name)
	return err != nil || plan.Due(stored, p.told.due[name])
}

// unchanged tells whether the feed vouches for a stored page.
func (p *pass) unchanged(name pypi.Name, n note) bool {
	if !p.told.told || n.Page != nil || n.doubtful() || n.Upstream != p.index.Address() {
		return false
	}
	if since := p.now().Sub(n.Asked); since < 0 || since >= sweepEvery {
		return false
	}
	stored, known, err := p.cat.Serial(name)
	return err == nil && known && stored > 0 && !plan.Due(stored, p.told.due[name])
}

// confirm takes the feed's word for a page: clients need not ask for it either.
func (p *pass) confirm(name pypi.Name) {
	p.Engine.mu.Lock()
	defer p.Engine.mu.Unlock()
	p.checked[name] = p.now()
}

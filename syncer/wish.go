package syncer

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/wire"
)

// Wish is a project that a client asked for and could not have since the line
// was down. When the line is back, the pass fetches its newest releases with
// what they need, as if it were selected, but does not hold on to them.
type Wish struct {
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
}

const (
	// maxWishes bounds what clients can have remembered.
	maxWishes = 1000
	// wishAgain is how often a wish that is repeated is written down anew.
	wishAgain = time.Hour
	// wishLife is how long a wish is remembered that nobody repeats; then it is tried
	// once more. The clock that it was made by may have been far behind.
	wishLife = 30 * 24 * time.Hour
)

var errEnoughWishes = errors.New("enough wishes are remembered")

// wishFor remembers that a client could not have a project. It reports whether
// the wish stands.
func (e *Engine) wishFor(name pypi.Name) bool {
	if !e.opts.Pull {
		return false
	}
	now := e.now()
	n, err := e.notes.get(name)
	if err == nil && n.Wish != nil && now.Sub(n.Wish.Last) < wishAgain {
		return true
	}
	if err == nil && n.Wish == nil {
		err = e.roomForWish()
	}
	if err == nil {
		err = e.notes.edit(name, func(n *note) {
			if n.Wish == nil {
				n.Wish = &Wish{Since: now}
			}
			n.Wish.Last = now
		})
	}
	if err != nil {
		e.log.Warn("a wish could not be remembered", "project", name, "reason", err)
		return false
	}
	return true
}

// WishStatus is a wish for people.
type WishStatus struct {
	Project pypi.Name `json:"project"`
	Since   time.Time `json:"since"`
}

func (e *Engine) roomForWish() error {
	names, _, err := e.notes.listed(listWish)
	if err == nil && len(names) >= maxWishes {
		err = errEnoughWishes
	}
	return err
}

// wishes lists what is wished for, the oldest wish first.
func (e *Engine) wishes() ([]WishStatus, error) {
	out := []WishStatus{}
	names, _, err := e.notes.listed(listWish)
	for _, name := range names {
		n, noteErr := e.notes.peek(name)
		err = errors.Join(err, noteErr)
		if n.Wish != nil {
			out = append(out, WishStatus{Project: name, Since: n.Wish.Since})
		}
	}
	slices.SortFunc(out, func(a, b WishStatus) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Project, b.Project))
	})
	return out, err
}

// hear has a pass that is under way fetch what was wished for since it began: it may
// go on for hours.
func (e *Engine) hear() {
	e.mu.Lock()
	p := e.pass
	e.mu.Unlock()
	if p == nil {
		return // the next one asks
	}
	wishes, err := e.wishes()
	if err != nil {
		e.log.Warn("wishes could not be read; the next sync asks for them again", "reason", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deaf {
		return
	}
	for _, w := range wishes {
		p.want(pypi.Requirement{Name: w.Project}, true)
	}
}

// granted forgets the wishes of a pass that came true, or that the upstream says
// nobody can grant.
func (p *pass) granted() error {
	var errs []error
	for name, w := range p.wants {
		if w.wished && w.looked && !w.queued {
			errs = append(errs, p.notes.edit(name, func(n *note) {
				if !w.failed || n.Page != nil && n.Page.Cause == wire.Gone {
					n.Wish = nil
				}
			}))
		}
	}
	if p.Line.Up() {
		errs = append(errs, p.dropWishes())
	}
	return errors.Join(errs...)
}

// dropWishes forgets the wishes that nobody has repeated for long, after a pass in
// which they could have come true.
func (e *Engine) dropWishes() error {
	names, times, err := e.notes.listed(listWish)
	for i, name := range names {
		if e.now().Sub(times[i]) >= wishLife {
			err = errors.Join(err, e.notes.edit(name, func(n *note) { n.Wish = nil }))
		}
	}
	return err
}

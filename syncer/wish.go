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
	// wishLife is how long a wish is remembered that nobody repeats.
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
	names, times, err := e.notes.listed(listWish)
	for i, name := range names {
		if e.now().Sub(times[i]) >= wishLife {
			continue
		}
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

// granted forgets the wishes of a pass that came true, or that the upstream says
// nobody can grant.
func (p *pass) granted() error {
	var errs []error
	for name, w := range p.wants {
		if w.wished {
			errs = append(errs, p.notes.edit(name, func(n *note) {
				if !w.failed || n.Page != nil && n.Page.Cause == wire.Gone {
					n.Wish = nil
				}
			}))
		}
	}
	return errors.Join(errs...)
}

// dropWishes forgets the wishes that nobody has repeated for long.
func (e *Engine) dropWishes() error {
	names, times, err := e.notes.listed(listWish)
	for i, name := range names {
		if e.now().Sub(times[i]) >= wishLife {
			err = errors.Join(err, e.notes.edit(name, func(n *note) { n.Wish = nil }))
		}
	}
	return err
}

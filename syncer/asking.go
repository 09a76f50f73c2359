package syncer

import (
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
)

// asking is whether a pass asks for a page.
type asking int

const (
	askNow   asking = iota // it has changed, or it is not here, or in doubt
	askSome                // nobody vouches for it: the pass asks for a share of these
	askNever               // the upstream has said that it has not changed
)

// judge tells whether a page is to be asked for, by the news and by what is noted
// of it.
func (p *pass) judge(told news, name pypi.Name, n note) asking {
	stored, known, err := p.cat.Serial(name)
	expected, named := told.due[name]
	switch {
	case err != nil || !known || n.Page != nil || n.doubtful() || n.Upstream != p.index.Address():
		return askNow
	case plan.Due(stored, max(expected, n.Expect)):
		return askNow
	case stored == 0 || plan.Swept(name, n.Asked, p.now()):
		return askSome
	case told.source == rootList && named && expected != stored:
		return askNow // it is younger than the list, or one of the two was set back
	case told.source == rootList && named, told.source == sameList, told.source == feedRows && !n.Asked.Before(told.next.Since):
		return askNever
	}
	return askSome
}

// share counts the pages for which nobody vouches, and lists those of them that are
// not asked for in this pass.
func (p *pass) share(told news) (later map[pypi.Name]bool, pages int) {
	list := p.unvouched(told)
	if p.opts.Now || len(list) <= plan.FewPages {
		return nil, len(list)
	}
	later = make(map[pypi.Name]bool, len(list))
	for _, page := range list {
		later[page.Name] = true
	}
	for _, page := range plan.Share(list, p.now(), p.Engine.opts.Interval) {
		delete(later, page.Name)
	}
	return later, len(list)
}

func (p *pass) unvouched(told news) (pages []plan.Page) {
	for name := range p.wants {
		n, err := p.notes.peek(name)
		if err == nil && p.judge(told, name, n) == askSome {
			pages = append(pages, plan.Page{Name: name, Asked: n.Asked})
		}
	}
	return pages
}

// shouldLook tells whether the upstream is to be asked for a page in this pass.
func (p *pass) shouldLook(name pypi.Name) bool {
	if _, blocked := p.Blocked(name); blocked {
		if _, known, err := p.cat.Generation(name); err == nil && !known {
			return false // of what is here, removals are followed
		}
	}
	if p.Engine.opts.Private(name) {
		return false
	}
	n, err := p.notes.get(name)
	if err != nil {
		return true
	}
	verdict := p.judge(p.told, name, n)
	p.Engine.mu.Lock()
	checked, ok := p.checked[name]
	p.Engine.mu.Unlock()
	fresh := ok && p.now().Sub(checked) < p.opts.Fresh && !checked.Before(p.told.next.Since)
	switch {
	case verdict == askNever:
		p.confirm(name)
		return false
	case fresh && !p.hasNews(name):
		return false
	case verdict == askSome && p.later[name]:
		return false
	}
	return p.opts.Now || due(n.Page, p.now())
}

// hasNews tells whether the upstream told of a page that is not stored: it will not
// tell again.
func (p *pass) hasNews(name pypi.Name) bool {
	stored, _, err := p.cat.Serial(name)
	return err != nil || plan.Due(stored, p.told.due[name])
}

// confirm takes the upstream's word for a page: clients need not ask for it either.
func (p *pass) confirm(name pypi.Name) {
	p.Engine.mu.Lock()
	defer p.Engine.mu.Unlock()
	p.checked[name] = p.now()
}

// followedSince is from when on the feed was followed without a gap.
func (e *Engine) followedSince() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.followed
}

// askedGrain is how precisely it is written down when a page was asked for: enough
// to ask for each once a day, and no more often, to spare the card.
const askedGrain = 12 * time.Hour

// asked notes that the page was asked for. It is written down where that says
// something new: half a day later, after the page's moment of the week, or when
// the feed is followed from a later time on.
func (n *note) asked(name pypi.Name, now, followed time.Time) {
	age := now.Sub(n.Asked)
	if age < 0 || age >= askedGrain || n.Asked.Before(followed) || plan.Swept(name, n.Asked, now) {
		n.Asked = now
	}
}

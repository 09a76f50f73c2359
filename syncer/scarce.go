package syncer

import (
	"container/heap"
	"errors"
	"io/fs"

	"cheeseboard/storage/pypi"
)

// Where the disk has no room for a file, the pass goes on with what there is room for,
// and comes back to it in the end, when every page has told what is needed: then what
// the selection needs no more is given up first. Else the old releases, which are held
// until the pass is through, would keep the new ones out for ever.

// scarcity is what a pass knows of the room that is missing. The pass's lock guards it.
type scarcity struct {
	files   fileQueue     // for which there was no room: each has one more turn
	metas   []metaJob     // likewise
	lacks   map[bool]lack // what was refused since something gave way, by whether it is to be held
	late    bool          // the end has come, for which they wait
	settled bool          // projects that have all that they need have given up the rest
	given   bool          // and so have all others that wait for no file
	full    error         // of something for which there was no room in the end
}

// lack is the smallest file that was refused: what is not smaller need not be tried.
type lack struct {
	size int64
	err  error
}

// takeScarce takes what there was no room for, one after the other. p.mu is held.
func (p *pass) takeScarce() func() {
	s := &p.scarce
	if !s.late {
		s.late, s.lacks = true, nil // there may be room by now
	}
	if len(s.metas) > 0 {
		job := s.metas[0]
		s.metas = s.metas[1:]
		return func() { p.tell(job) }
	}
	if len(s.files) == 0 {
		return nil
	}
	job := heap.Pop(&s.files).(fileJob)
	return func() { p.file(job) }
}

// house brings an item in, if there may be room for it. late: it has had its first turn,
// and what is needed no more gives way.
func (p *pass) house(item Item, address string, late bool) error {
	if !late || !item.Pinned || p.opts.Plan {
		return p.attempt(item, address)
	}
	own := p.giveWay(item.Name)
	err := p.attempt(item, address)
	if full(err) && p.giveRest() {
		err = p.attempt(item, address)
	}
	p.takeBack(item.Name, own)
	return err
}

func (p *pass) attempt(item Item, address string) error {
	p.mu.Lock()
	l, lacks := p.scarce.lacks[item.Pinned]
	p.mu.Unlock()
	if lacks && item.Size >= l.size {
		return l.err // as for one that is no larger
	}
	return p.have(p.ctx, item, address, p.class())
}

// refused notes that there was no room for an item. It has one more turn, which later
// gives it with p.mu held; nil: it had that.
func (p *pass) refused(item Item, err error, later func(*scarcity)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.scarce
	if l, ok := s.lacks[item.Pinned]; !ok || item.Size >= 0 && item.Size < l.size {
		if s.lacks == nil {
			s.lacks = make(map[bool]lack)
		}
		s.lacks[item.Pinned] = lack{max(item.Size, 0), err}
	}
	if later != nil {
		later(s)
		p.turn.Signal()
		return
	}
	if w := p.wants[item.Name]; w != nil {
		w.failed = true
	}
	if s.full == nil {
		s.full = err
	}
}

// giveWay gives up what the selection holds and needs no more: of projects that have all
// that they need, and of the one that asks for more, which it tells.
func (p *pass) giveWay(name pypi.Name) (own []pypi.Digest) {
	p.mu.Lock()
	var settled map[pypi.Name]want
	if !p.scarce.settled {
		p.scarce.settled = true
		settled = p.surplus(func(w *want) bool { return !w.failed && len(w.requirements) > 0 })
	}
	var pins map[pypi.Digest]bool
	if w := p.wants[name]; w != nil {
		pins = w.pins
	}
	p.mu.Unlock()
	given := p.give(settled)
	if pins != nil {
		own = p.unpin(name, want{pins: pins}) // what it waits for is on its way
	}
	p.gave(given + len(own))
	return own
}

// giveRest gives up what the selection needs no more of all other projects that wait for
// nothing. It reports false where that is nothing.
func (p *pass) giveRest() bool {
	p.mu.Lock()
	if p.scarce.given {
		p.mu.Unlock()
		return false
	}
	rest := p.surplus(func(*want) bool { return true })
	p.mu.Unlock()
	n := p.give(rest)
	p.gave(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scarce.given = n == 0
	return n > 0
}

// takeBack holds what is left of what a project has given up for its own sake, while
// not all is here that it needs.
func (p *pass) takeBack(name pypi.Name, own []pypi.Digest) {
	if len(own) == 0 {
		return
	}
	p.mu.Lock()
	w := *p.wants[name]
	p.mu.Unlock()
	held, err := p.cat.Held(name)
	if err != nil || w.whole(held) {
		p.failed(name, err)
		return
	}
	for _, digest := range own {
		if _, here := held[digest]; !here {
			continue
		}
		if err := p.shelf.Pin(name, digest, true); !errors.Is(err, fs.ErrNotExist) {
			p.failed(name, err)
		}
	}
}

// surplus gives copies of what is wanted, where a plan says what is needed no more and
// nothing waits for room. p.mu is held.
func (p *pass) surplus(which func(*want) bool) map[pypi.Name]want {
	waits := make(map[pypi.Name]bool)
	for _, job := range p.scarce.files {
		waits[job.item.Name] = true
	}
	for _, job := range p.scarce.metas {
		waits[job.item.Name] = true
	}
	list := make(map[pypi.Name]want)
	for name, w := range p.wants {
		if w.pins != nil && !waits[name] && which(w) {
			list[name] = *w
		}
	}
	return list
}

// give has projects give up what they need no more, and counts it.
func (p *pass) give(projects map[pypi.Name]want) (n int) {
	for name, w := range projects {
		n += len(p.unpin(name, w))
	}
	return n
}

// gave notes that so many files may be evicted now: there may be room.
func (p *pass) gave(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > 0 {
		p.scarce.lacks = nil
	}
}

// unpin gives up what is held of a project and is not among its pins, and tells it;
// nothing while something is awaited, and nothing that nobody else could bring again.
func (p *pass) unpin(name pypi.Name, w want) (given []pypi.Digest) {
	if p.Engine.opts.Private(name) {
		return nil
	}
	n, err := p.notes.peek(name)
	if err != nil || n.carried() {
		p.failed(name, err)
		return nil
	}
	held, err := p.cat.Held(name)
	if err != nil || !w.whole(held) {
		p.failed(name, err)
		return nil
	}
	for digest, item := range held {
		if !item.Pinned || w.pins[digest] {
			continue
		}
		if err := p.shelf.Pin(name, digest, false); err != nil {
			p.failed(name, err)
			continue
		}
		given = append(given, digest)
	}
	return given
}

// full tells whether an error says that there is no room.
func full(err error) bool { return errors.Is(err, ErrFull) }

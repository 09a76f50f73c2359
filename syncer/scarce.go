package syncer

import (
	"container/heap"
	"errors"

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
		return func() {
			p.giveWay(job.item)
			p.tell(job)
		}
	}
	if len(s.files) == 0 {
		return nil
	}
	job := heap.Pop(&s.files).(fileJob)
	return func() {
		p.giveWay(job.item)
		p.file(job)
	}
}

// house brings an item in, if there may be room for it.
func (p *pass) house(item Item, address string) error {
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

// giveWay gives up what the selection holds and needs no more, as far as an item asks
// for it that it does need: of projects that have all that they need, and of the
// item's own; where that is nothing, of all that wait for no file.
func (p *pass) giveWay(item Item) {
	if !item.Pinned || p.opts.Plan {
		return
	}
	p.mu.Lock()
	s := &p.scarce
	waits := make(map[pypi.Name]bool)
	for _, job := range s.files {
		waits[job.item.Name] = true
	}
	for _, job := range s.metas {
		waits[job.item.Name] = true
	}
	pick := func(settled bool) map[pypi.Name]map[pypi.Digest]bool {
		list := make(map[pypi.Name]map[pypi.Digest]bool)
		for name, w := range p.wants {
			if w.pins != nil && !waits[name] && (!settled || !w.failed && len(w.requirements) > 0) {
				list[name] = w.pins
			}
		}
		return list
	}
	var some, all map[pypi.Name]map[pypi.Digest]bool
	if !s.settled {
		some = pick(true)
	}
	if !s.given {
		all = pick(false)
	}
	s.settled = true
	own := p.wants[item.Name]
	p.mu.Unlock()
	given := p.unpin(some)
	if own != nil && own.pins != nil {
		given += p.unpin(map[pypi.Name]map[pypi.Digest]bool{item.Name: own.pins})
	}
	if given == 0 && all != nil {
		given = p.unpin(all)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if all != nil && given == 0 {
		s.given = true
	}
	if given > 0 {
		s.lacks = nil
	}
}

// unpin gives up what is held of projects and is not among their pins, and counts it.
func (p *pass) unpin(projects map[pypi.Name]map[pypi.Digest]bool) (n int) {
	for name, pins := range projects {
		held, err := p.cat.Held(name)
		if err != nil {
			p.failed(name, err)
			continue
		}
		for digest, item := range held {
			if !item.Pinned || pins[digest] {
				continue
			}
			if err := p.shelf.Pin(name, digest, false); err != nil {
				p.failed(name, err)
				continue
			}
			n++
		}
	}
	return n
}

// full tells whether an error says that there is no room.
func full(err error) bool { return errors.Is(err, ErrFull) }

package syncer

import (
	"container/heap"
	"errors"
	"io"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
	"cheeseboard/syncer/wire"
)

// maxMetadata is the most bytes of core metadata that are read.
const maxMetadata = 4 << 20

// project looks at one project's page and queues what is wanted of it.
func (p *pass) project(name pypi.Name) {
	done := p.working(string(name))
	defer done()
	p.mu.Lock()
	w := p.wants[name]
	requirements := slices.Clone(w.requirements)
	pin, wished := w.selected, w.wished
	look := !w.looked
	w.looked = true
	if look {
		p.progress.ProjectsDone++ // of the pages; plans may be made more than once
	}
	p.mu.Unlock()
	if look && p.shouldLook(name) {
		removed, err := p.ask(name)
		if wire.CauseOf(err) == wire.Gone && !pin {
			err = p.forget(name)
		} else if err != nil && !ours(err) {
			err = errors.Join(err, p.blame(name, err))
		}
		p.failed(name, err)
		if removed > 0 {
			p.mu.Lock()
			p.deferred[name] = removed
			p.mu.Unlock()
		}
		if ours(err) {
			return
		}
	}
	n, err := p.notes.get(name)
	if err == nil && n.Page != nil {
		// Its failure was noted, now or in a pass before: a wish for it stands.
		err = errors.New("its page waits for its next try")
	}
	p.failed(name, err)
	page, known, err := p.cat.Project(name)
	if reason, blocked := p.Blocked(name); err == nil && !known && blocked {
		err = p.notes.edit(name, func(n *note) { n.Remarks = []string{reason} })
	}
	if err != nil || !known {
		p.failed(name, err)
		return
	}
	chosen := p.plan(page, requirements)
	wanted := func(filename string) bool {
		return slices.ContainsFunc(chosen.Choices, func(c plan.Choice) bool { return c.File.Filename == filename })
	}
	err = p.notes.edit(name, func(n *note) { n.Remarks = chosen.Notes; n.settle(wanted, p.now()) })
	if err != nil {
		p.failed(name, err)
	}
	p.failed(name, p.choose(page, chosen, pin, wished))
}

const (
	// pageTries is how often a page is asked for in one pass, where the failure
	// may be chance: what a project needs is known by its page only.
	pageTries = 3
	// pagePause is the longest pause between two of these tries. It keeps a
	// connection from others.
	pagePause = 5 * time.Second
)

// ask asks for a page, again where that may help at once.
func (p *pass) ask(name pypi.Name) (removed int, err error) {
	for try := 1; ; try++ {
		removed, err = p.refresh(name, forPass, p.class()).wait(p.ctx)
		var problem *wire.Problem
		if try == pageTries || !asProblem(err, &problem) || problem.RetryAfter > pagePause {
			return removed, err
		}
		switch problem.Cause {
		case wire.Busy, wire.Broken, wire.Cut:
		default:
			return removed, err
		}
		timer := time.NewTimer(max(problem.RetryAfter, time.Duration(try)*time.Second/2))
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
			return removed, err
		}
	}
}

// blame sees to it that a failure is noted: the look may have been a client's,
// which notes nothing of a project that is not known.
func (p *pass) blame(name pypi.Name, err error) error {
	return p.notes.edit(name, func(n *note) {
		if n.Page == nil {
			n.fail("", err, p.now(), p.Engine.opts.FirstRetry, p.Engine.opts.Interval)
		}
	})
}

// forget ends what was remembered of a project that is not there (any more) and
// that nobody selected: there is nothing to be said of it.
func (p *pass) forget(name pypi.Name) error {
	return p.notes.edit(name, func(n *note) {
		if n.HeldBack == 0 {
			*n = note{}
		}
	})
}

// choose queues the chosen files that are not here, brings their metadata, and
// pins them; what is pinned and not chosen is left for settlePins. What is only
// wished for is not pinned.
func (p *pass) choose(page *pypi.Project, chosen plan.Plan, pin, wished bool) error {
	held, err := p.cat.Held(page.Name)
	if err != nil {
		return err
	}
	n, err := p.notes.get(page.Name)
	if err != nil {
		return err
	}
	var errs []error
	pinned, settled := make(map[pypi.Digest]bool), true
	var awaited []pypi.Digest
	for i := range chosen.Choices {
		c := &chosen.Choices[i]
		item, ok := fileItem(page.Name, &c.File)
		if !ok {
			continue
		}
		pinned[item.Digest] = pin
		told := p.metadata(item, c, held, n, pin, pinned)
		settled = settled && held[item.Digest].Digest == item.Digest
		if here, ok := held[item.Digest]; ok {
			p.unattest(item, &c.File)
			if pin && !here.Pinned {
				errs = append(errs, p.shelf.Pin(page.Name, item.Digest, true))
			}
			if !told {
				p.readWheel(item, c.Targets)
			}
			continue
		}
		if p.Engine.opts.Private(page.Name) || n.carried() {
			continue // lost: who brought it here has to bring it again
		}
		awaited = append(awaited, item.Digest)
		item.Pinned = pin
		if !p.opts.Now && !due(n.Files[item.label()], p.now()) {
			p.failed(page.Name, errors.New("waiting for its next try"))
			continue
		}
		p.queue(fileJob{item: item, url: c.File.URL, targets: c.Targets, readWheel: !told, wished: wished})
	}
	for digest, item := range held {
		settled = settled && item.Pinned == pinned[digest]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.wants[page.Name]; !settled || w.pins != nil {
		w.pins, w.awaited = pinned, awaited
	}
	return errors.Join(errs...)
}

func (p *pass) queue(job fileJob) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.arrival(job.item.Digest)
	if a.queued {
		return
	}
	a.queued = true
	p.push(job)
	p.progress.Files++
	p.progress.Bytes += max(job.item.Size, 0)
}

// metadata sees to the core metadata of a chosen file, where it stands apart: what
// is here is followed, what is not is queued. It reports false where the wheel
// itself has to tell.
func (p *pass) metadata(wheel Item, c *plan.Choice, held map[pypi.Digest]Item, n note, pin bool, pinned map[pypi.Digest]bool) (told bool) {
	item, ok := metadataItem(wheel.Name, &c.File)
	if !ok {
		return false
	}
	pinned[item.Digest] = pin
	if here, ok := held[item.Digest]; ok {
		if pin && !here.Pinned {
			p.failed(wheel.Name, p.shelf.Pin(wheel.Name, item.Digest, true))
		}
		return p.readMetadata(item, c.Targets)
	}
	if p.Engine.opts.Private(wheel.Name) || n.carried() {
		return false
	}
	if !p.opts.Now && !due(n.Files[item.label()], p.now()) {
		p.failed(wheel.Name, errors.New("waiting for its next try"))
		return false
	}
	item.Pinned = pin
	_, here := held[wheel.Digest]
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.arrival(item.Digest)
	p.metas = append(p.metas, metaJob{item: item, url: c.File.URL + ".metadata", wheel: wheel, targets: c.Targets, held: here, again: a.queued})
	a.queued = true
	p.turn.Signal()
	return true
}

// tell fetches metadata, and wants what they say is needed.
func (p *pass) tell(job metaJob) {
	done := p.working(job.item.label())
	defer done()
	told := false
	switch err := p.house(job.item, job.url, job.late); {
	case full(err) && !job.late:
		job.late = true
		p.refused(job.item, err, func(s *scarcity) { s.metas = append(s.metas, job) })
		return
	case full(err):
		p.refused(job.item, err, nil)
	case err != nil:
		p.failed(job.item.Name, err)
	default:
		if !job.again {
			p.count(job.item)
		}
		told = p.readMetadata(job.item, job.targets)
	}
	if !told && (job.held || p.untold(job.wheel.Digest)) {
		p.readWheel(job.wheel, job.targets)
	}
}

// untold notes that a wheel has to tell itself what it needs, and reports whether
// it has come before.
func (p *pass) untold(wheel pypi.Digest) (landed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.arrival(wheel)
	a.untold = true
	return a.landed
}

// arrival is what is known of a file in this pass. p.mu is held.
func (p *pass) arrival(d pypi.Digest) *arrival {
	a := p.arrivals[d]
	if a == nil {
		a = new(arrival)
		p.arrivals[d] = a
	}
	return a
}

// readMetadata follows metadata that are here; false where they cannot be read.
func (p *pass) readMetadata(item Item, targets []int) bool {
	f, _, err := p.shelf.Open(item.Name, item.Digest)
	if err != nil {
		p.failed(item.Name, err)
		return false
	}
	defer closeQuietly(f)
	raw, err := io.ReadAll(io.LimitReader(f, maxMetadata))
	if err != nil {
		p.failed(item.Name, err)
		return false
	}
	return p.needs(item.Name, raw, targets)
}

// needs wants what core metadata says is needed; false where it cannot be read.
func (p *pass) needs(name pypi.Name, raw []byte, targets []int) bool {
	if !p.Engine.opts.Dependencies {
		return true
	}
	m, err := pypi.ParseCoreMetadata(raw)
	if err != nil {
		p.log.Warn("core metadata cannot be read; what it needs is not followed", "project", name, "reason", err)
		return false
	}
	list := make([]plan.Target, 0, len(targets))
	for _, t := range targets {
		list = append(list, p.Engine.opts.Policy.Targets[t])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var extras []string
	w := p.wants[name]
	for _, r := range w.requirements {
		extras = append(extras, r.Extras...)
	}
	for _, r := range plan.Dependencies(m, extras, list) {
		p.want(r, !w.selected)
	}
	return true
}

// file brings one file in.
func (p *pass) file(job fileJob) {
	done := p.working(job.item.label())
	defer done()
	err := p.house(job.item, job.url, job.late)
	if full(err) && !job.late {
		job.late = true
		p.refused(job.item, err, func(s *scarcity) { heap.Push(&s.files, job) })
		return
	}
	p.mu.Lock()
	p.progress.FilesDone++
	p.progress.BytesDone += max(job.item.Size, 0)
	p.mu.Unlock()
	switch {
	case full(err):
		p.refused(job.item, err, nil)
		return
	case errors.Is(err, ErrNotNamed):
		return // the page changed meanwhile: no failure
	case err != nil:
		p.failed(job.item.Name, err)
		return
	}
	p.count(job.item)
	p.mu.Lock()
	p.awaitAttestation(job.item)
	a := p.arrival(job.item.Digest)
	a.landed = true
	untold := a.untold
	p.mu.Unlock()
	if job.readWheel || untold {
		p.readWheel(job.item, job.targets)
	}
}

func (p *pass) count(item Item) {
	size := item.Size
	if f, here, err := p.shelf.Open(item.Name, item.Digest); err == nil {
		closeQuietly(f)
		size = here.Size
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !item.Metadata {
		p.summary.Files++
	}
	p.summary.Bytes += max(size, 0)
}

// working shows what is being worked at, until done is called.
func (p *pass) working(label string) (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current[label]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.current[label]--; p.current[label] <= 0 {
			delete(p.current, label)
		}
	}
}

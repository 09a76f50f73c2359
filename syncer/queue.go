package syncer

import (
	"container/heap"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
)

// fileQueue is a heap of files: what was asked for goes first, then what is small.
type fileQueue []fileJob

func (q fileQueue) Len() int      { return len(q) }
func (q fileQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *fileQueue) Push(x any)   { *q = append(*q, x.(fileJob)) }

func (q fileQueue) Less(i, j int) bool {
	if q[i].wished != q[j].wished {
		return q[i].wished
	}
	return q[i].item.Size < q[j].item.Size
}

func (q *fileQueue) Pop() any {
	last := len(*q) - 1
	job := (*q)[last]
	*q = (*q)[:last]
	return job
}

// want adds a requirement, a client's wish or the selection's; a project that
// was planned already is planned anew where it says something new. p.mu is held.
func (p *pass) want(r pypi.Requirement, wished bool) {
	w := p.wants[r.Name]
	text := plan.Text(r)
	if w != nil && w.texts[text] && (w.selected || wished) {
		return
	}
	w = p.enqueue(r.Name)
	w.wished = w.wished || wished
	w.selected = w.selected || !wished
	if w.texts[text] {
		return
	}
	w.texts[text] = true
	w.requirements = append(w.requirements, r)
}

func (p *pass) enqueue(name pypi.Name) *want {
	w := p.wants[name]
	if w == nil {
		w = &want{texts: make(map[string]bool)}
		p.wants[name] = w
		p.progress.Projects++
	}
	if !w.queued {
		w.queued = true
		if !w.busy {
			p.turnOf(name)
		}
	}
	return w
}

// turnOf puts a project into the queue. p.mu is held.
func (p *pass) turnOf(name pypi.Name) {
	p.projects = append(p.projects, name)
	p.turn.Signal()
}

// planned ends the work at one project, and begins it again where something new
// was said of it meanwhile: two plans of one project are never made at once, or
// the older could be the one that stays.
func (p *pass) planned(name pypi.Name) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.wants[name]
	w.busy = false
	if w.queued {
		p.turnOf(name)
	}
}

// next takes what is to be done next; nil when there is nothing more.
func (p *pass) next() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.ctx.Err() != nil || p.fatal != nil:
			return nil
		case p.active >= p.allowed:
			// The line carries no more.
		case len(p.projects) > 0:
			name := p.projects[0]
			p.projects = p.projects[1:]
			w := p.wants[name]
			w.queued, w.busy = false, true
			p.active++
			return func() {
				p.project(name)
				p.planned(name)
			}
		case len(p.files) > 0 && !p.opts.Plan:
			p.announce()
			job := heap.Pop(&p.files).(fileJob)
			p.active++
			return func() { p.file(job) }
		case p.active == 0:
			return nil
		}
		p.turn.Wait()
	}
}

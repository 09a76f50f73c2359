package syncer

import (
	"container/heap"
	"time"

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
	if !p.owns(r.Name) {
		p.foreign[plan.Text(r)] = r
		return
	}
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

// next takes what is to be done next, as soon as there is a turn for it; nil when
// there is nothing more, or the pass has ended.
func (p *pass) next() (job func(), k kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.ctx.Err() != nil || p.fatal != nil {
			return nil, k
		}
		p.looked = len(p.projects)+len(p.metas)+p.turns.active[looking] == 0
		if job, k = p.take(); job != nil {
			p.turns.active[k]++
			return job, k
		}
		if p.turns.idle() {
			return nil, k
		}
		p.turn.Wait()
	}
}

// take picks a job that has its turn; nil: none has. Pages and metadata go before
// files, except that on a line that carries many they leave half to these; what
// passes quickly goes before what does not. p.mu is held.
func (p *pass) take() (func(), kind) {
	looks := len(p.metas)+len(p.projects) > 0
	files := len(p.files) > 0 && !p.opts.Plan
	switch room := p.turns.room(); {
	case room && looks && !(files && p.turns.share()):
		return p.takeLook(), looking
	case room && files:
		return p.takeFile(&p.files), quick
	case !looks && !files && len(p.large) > 0 && !p.opts.Plan:
		if p.turns.roomForLarge() {
			return p.takeFile(&p.large), slow
		}
	case !looks && !files && p.turns.idle():
		return p.takeScarce(), slow
	}
	return nil, looking
}

func (p *pass) takeLook() func() {
	if len(p.metas) > 0 {
		job := p.metas[0]
		p.metas = p.metas[1:]
		return func() { p.tell(job) }
	}
	name := p.projects[0]
	p.projects = p.projects[1:]
	w := p.wants[name]
	w.queued, w.busy = false, true
	return func() {
		p.project(name)
		p.planned(name)
	}
}

func (p *pass) takeFile(q *fileQueue) func() {
	if len(p.projects)+len(p.metas)+p.turns.active[looking] == 0 {
		p.announce()
	}
	job := heap.Pop(q).(fileJob)
	return func() { p.file(job) }
}

const (
	// What the line brings in this time passes quickly; between these bounds.
	quickTime             = 2 * time.Second
	leastLarge, mostQuick = 1 << 20, 16 << 20
)

// push queues a file. One of unknown size is taken to be small, as most are. p.mu
// is held.
func (p *pass) push(job fileJob) {
	rate := max(p.rate, p.usual)
	if job.item.Size <= min(max(int64(rate*quickTime.Seconds()), leastLarge), mostQuick) {
		heap.Push(&p.files, job)
	} else {
		heap.Push(&p.large, job)
	}
	p.turn.Signal()
}

package syncer

import (
	"maps"
	"slices"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
)

// Where a box has several indexes, each with an engine, a project belongs to one of
// them. What the files of one need of another is handed over, and never looked for in
// both.

// Owner tells whether a project may come from an upstream.
type Owner func(pypi.Name) bool

func (e *Engine) owns(name pypi.Name) bool { return e.opts.Owns == nil || e.opts.Owns(name) }

// Adopt has the engine hold what the files of another index need, as if it were
// selected. It replaces what was said of that index before, until the program ends,
// and asks for a pass where that is something else.
func (e *Engine) Adopt(from string, needed []pypi.Requirement) (changed bool) {
	e.mu.Lock()
	changed = !slices.EqualFunc(e.adopted[from], needed, func(a, b pypi.Requirement) bool { return plan.Text(a) == plan.Text(b) })
	if changed {
		if e.adopted == nil {
			e.adopted = make(map[string][]pypi.Requirement)
		}
		e.adopted[from] = slices.Clone(needed)
		e.adoptions++
	}
	e.mu.Unlock()
	if changed {
		e.Poke()
	}
	return changed
}

// Adoptions counts how often Adopt was told something else.
func (e *Engine) Adoptions() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.adoptions
}

// needed is all that was adopted.
func (e *Engine) needed() (all []pypi.Requirement) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, from := range slices.Sorted(maps.Keys(e.adopted)) {
		all = append(all, e.adopted[from]...)
	}
	return all
}

// handOver tells what the files of a pass need of other indexes.
func (p *pass) handOver() {
	if p.Engine.opts.Foreign == nil {
		return
	}
	p.mu.Lock()
	needed := make([]pypi.Requirement, 0, len(p.foreign))
	for _, text := range slices.Sorted(maps.Keys(p.foreign)) {
		needed = append(needed, p.foreign[text])
	}
	p.mu.Unlock()
	p.Engine.opts.Foreign(needed)
}

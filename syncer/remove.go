package syncer

import (
	"errors"
	"fmt"
	"slices"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
	"cheeseboard/syncer/wire"
)

// removals follows the upstream in what it removed, if the guard allows it.
func (p *pass) removals() error {
	total := 0
	for _, n := range p.deferred {
		total += n
	}
	if total == 0 {
		return nil
	}
	held, err := p.shelf.Count()
	if err != nil {
		return err
	}
	if !p.opts.AcceptRemovals && !plan.Allowed(held, total, p.Engine.opts.RemovalGuard) {
		p.summary.HeldBack = total
		return fmt.Errorf("%w: it no longer lists %d of the %d files that are here (in %s), and sync.removal-guard allows %g %%; they are kept. If the upstream is right, run cheeseboard sync --accept-removals",
			ErrGuard, total, held, someNames(p.deferred), 100*p.Engine.opts.RemovalGuard)
	}
	for name := range p.deferred {
		err := p.follow(p.ctx, name, p.class())
		switch {
		case err == nil:
		case wire.CauseOf(err) == wire.Gone && !p.wants[name].selected:
			p.failed(name, p.forget(name))
		default:
			p.failed(name, err)
		}
	}
	after, err := p.shelf.Count()
	p.summary.Removed = max(0, held-after)
	// Without what is gone now something else may be the best that there is.
	p.mu.Lock()
	for name := range p.deferred {
		p.enqueue(name)
	}
	p.mu.Unlock()
	p.work()
	return errors.Join(err, p.broken())
}

func someNames(m map[pypi.Name]int) string {
	var names []pypi.Name
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d more projects", join(names[:5]), len(names)-5)
	}
	return join(names)
}

func join(names []pypi.Name) string {
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += string(n)
	}
	return s
}

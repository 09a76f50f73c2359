package syncer

import (
	"context"

	"cheeseboard/storage/pypi"
)

// Changes grows whenever something was stored by which pages may change, and is another
// where the line has gone down or come back; 0: it cannot be told.
func (e *Engine) Changes() uint64 {
	now := e.seen()
	if now.version == 0 {
		return 0
	}
	n := (now.version + now.notes) * 2
	if e.Line.Up() {
		n++
	}
	return n
}

// Foresee gives the page that Page would give whoever asks next, if nobody has to be
// asked for it: neither the upstream, where what is known of the page is too old, nor
// mirrors. It never waits. ok is false otherwise, and where there is no page.
func (e *Engine) Foresee(name pypi.Name) (v View, ok bool) {
	if _, blocked := e.opts.Rules.Project(name); blocked {
		return View{}, false
	}
	if e.opts.Private(name) {
		v, err := e.privatePage(name)
		return v, err == nil
	}
	trusted := false
	if e.opts.Pull {
		up := e.Line.Up()
		e.mu.Lock()
		checked, is := e.checked[name]
		trusted = up && is && e.now().Sub(checked) < e.opts.Fresh
		e.mu.Unlock()
		if up && !trusted || !up && e.mirrors.Len() > 0 {
			return View{}, false
		}
	}
	v, ok, err := e.view(stay{ctx: context.Background()}, name, trusted)
	return v, ok && err == nil
}

package syncer

import (
	"errors"
	"slices"

	"cheeseboard/storage/pypi"
)

// settlePins makes the pins those of the last plans. Before the end of a pass it
// is not known what is not needed any more, since the selection's files tell
// that one after another; and a file may have begun to arrive for somebody else. What
// was needed before is held until all that is needed now is here, and what was carried
// here and no index knows for ever: nobody else could bring it again.
func (p *pass) settlePins() error {
	var errs []error
	for name, w := range p.wants {
		if w.pins == nil {
			continue
		}
		if n, err := p.notes.peek(name); err != nil || n.carried() {
			errs = append(errs, err)
			continue
		}
		held, err := p.cat.Held(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		whole := w.whole(held)
		for digest, item := range held {
			if pin := w.pins[digest]; item.Pinned != pin && (pin || whole) {
				errs = append(errs, p.shelf.Pin(name, digest, pin))
			}
		}
	}
	return errors.Join(errs...)
}

// whole tells whether all that the last plan chose is here.
func (w *want) whole(held map[pypi.Digest]Item) bool {
	return !slices.ContainsFunc(w.awaited, func(d pypi.Digest) bool { _, here := held[d]; return !here })
}

package syncer

import "errors"

// settlePins makes the pins those of the last plans. Before the end of a pass it
// is not known what is not needed any more, since the selection's files tell
// that one after another; and a file may have begun to arrive for somebody else.
func (p *pass) settlePins() error {
	var errs []error
	for name, w := range p.wants {
		if w.pins == nil {
			continue
		}
		held, err := p.cat.Held(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for digest, item := range held {
			if pin := w.pins[digest]; item.Pinned != pin {
				errs = append(errs, p.shelf.Pin(name, digest, pin))
			}
		}
	}
	return errors.Join(errs...)
}

package meta

import (
	"errors"
	"fmt"

	"cheeseboard/storage/pypi"
)

// mend completes a change of a project that stopped between two transactions.
// The head decides: the new one with the new chunks, or still the old one.
// Digests that are doomed by it wait in Doomed.
func (d *DB) mend(b *batch, name pypi.Name) error {
	h, _, err := d.head(b.txn, name)
	if errors.Is(err, ErrDamaged) {
		return nil // there is nothing to go by; PutProject makes it anew
	}
	if err != nil {
		return err
	}
	named := make(map[string]bool)
	if h == nil {
		err = b.delete(nameKey(name))
	} else {
		for _, c := range h.chunks {
			named[string(chunkKey(name, c))] = true
		}
		err = b.touch(name, h.project.LastSerial)
	}
	if err != nil {
		return err
	}
	chunks, err := d.chunks(b.txn, name)
	if err != nil {
		return err
	}
	for _, c := range chunks {
		if key := chunkKey(name, c); !named[string(key)] {
			if err := b.delete(key); err != nil {
				return err
			}
		}
	}
	p, err := d.project(b.txn, name)
	switch {
	case errors.Is(err, ErrDamaged):
		return nil
	case err != nil:
		return err
	case p == nil:
		p = &pypi.Project{}
	}
	_, err = b.dropRefs(name, p.Files)
	return err
}

// Mend completes the changes that a cut has stopped between two transactions.
func (d *DB) Mend() error {
	var torn []pypi.Name
	txn, done := d.view()
	err := scan(txn, []byte("t/"), false, func(key, _ []byte) (bool, error) {
		torn = append(torn, pypi.Name(key[2:]))
		return true, nil
	})
	done()
	if err != nil {
		return err
	}
	for _, name := range torn {
		if err := d.change(name, shrinking, func(*batch) error { return nil }); err != nil {
			return fmt.Errorf("complete the change of project %s: %w", name, err)
		}
	}
	return nil
}

package meta

import (
	"fmt"

	"cheeseboard/storage/pypi"
)

// sweepAtOnce is how many references are looked at between two commits.
const sweepAtOnce = 500

// DropAbsent forgets every reference of which gone says that its bytes are not
// there, many in one transaction: where a folder is lost there may be thousands.
// told is given those that are about to go, and its error ends it. It returns how
// many went. gone may be called twice for a reference.
func (d *DB) DropAbsent(gone func(Ref) (bool, error), told func(...Ref) error) (dropped int, err error) {
	var some []Ref
	flush := func() error {
		if len(some) == 0 {
			return nil
		}
		if err := told(some...); err != nil {
			return err
		}
		err := d.update(shrinking, func(b *batch) error { return b.dropThose(some, gone, &dropped) })
		some = some[:0]
		return err
	}
	var failed error
	err = d.Refs("", func(r Ref, err error) bool {
		if err != nil {
			return true // a damaged record is verify's matter
		}
		is, err := gone(r)
		if failed = err; is && err == nil {
			if some = append(some, r); len(some) >= sweepAtOnce {
				failed = flush()
			}
		}
		return failed == nil
	})
	if err == nil && failed == nil {
		failed = flush()
	}
	for _, err := range []error{failed, err} {
		if err != nil {
			return dropped, fmt.Errorf("forget references to files that are not there: %w", err)
		}
	}
	return dropped, nil
}

func (b *batch) dropThose(refs []Ref, gone func(Ref) (bool, error), dropped *int) error {
	touched := make(map[pypi.Name]bool)
	for _, r := range refs {
		if still, err := gone(r); err != nil || !still {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := b.dropRef(r.Name, r.Digest); err != nil {
			return err
		}
		*dropped++
		if touched[r.Name] {
			continue
		}
		touched[r.Name] = true
		raw, _, err := get(b.txn, nameKey(r.Name))
		if err != nil {
			return err
		}
		if raw != nil {
			if err := b.set(nameKey(r.Name), raw); err != nil { // a new generation
				return err
			}
		}
	}
	return nil
}

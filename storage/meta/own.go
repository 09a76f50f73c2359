package meta

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/pypi"
)

// Private projects are made of what was uploaded here. A mark beside the page,
// written with it, tells them from those of an upstream.

func ownKey(n pypi.Name) []byte { return []byte("o/" + n) }

// PutOwn replaces the page of a private project and adds references to it, in one
// transaction where the page fits into one: what the page names besides must be
// here already. A page that came from an upstream, and what was noted of it, gives
// way. present is asked, while nobody can bury a blob, whether the bytes of each
// reference are there and durable; its error is returned. It returns the digests
// that nothing names any more. Durable when it returns.
func (d *DB) PutOwn(p *pypi.Project, refs []Ref, present func(Ref) error) (doomed []pypi.Digest, err error) {
	err = d.change(p.Name, growing, func(b *batch) error {
		for _, r := range refs {
			if err := present(r); err != nil {
				return err
			}
		}
		if err := d.note(b, p.Name, State{}); err != nil {
			return err
		}
		if err := b.set(ownKey(p.Name), seal(nil)); err != nil {
			return err
		}
		if doomed, err = d.put(b, p); err != nil {
			return err
		}
		for _, r := range refs {
			if err := b.add(r); err != nil {
				return err
			}
		}
		return b.touch(p.Name, p.LastSerial)
	})
	if err != nil {
		return nil, fmt.Errorf("store private project %s: %w", p.Name, err)
	}
	return doomed, nil
}

// add records that a blob is here for a project.
func (b *batch) add(r Ref) error {
	if err := b.set(refKey(r.Name, r.Digest), packRef(r)); err != nil {
		return err
	}
	if err := b.set(blobKey(r.Digest, r.Name), nil); err != nil {
		return err
	}
	b.added = append(b.added, addition{r.Digest, blobKey(r.Digest, r.Name)})
	doomed, err := b.db.has(b.txn, doomedKey(r.Digest))
	if err != nil || !doomed {
		return err
	}
	return b.delete(doomedKey(r.Digest))
}

// Own calls yield with each private project, in order of the name, until it
// returns false.
func (d *DB) Own(yield func(pypi.Name) bool) error {
	txn, done := d.view()
	defer done()
	return eachOwn(txn, yield)
}

func eachOwn(txn *badger.Txn, yield func(pypi.Name) bool) error {
	return scan(txn, []byte("o/"), false, func(key, _ []byte) (bool, error) {
		return yield(pypi.Name(key[2:])), nil
	})
}

func retiredPrefix(n pypi.Name) []byte { return append([]byte("x/"+n), 0) }

// Retired is the name of a private file that was deleted, and the digest of the bytes
// for which it stands for good.
type Retired struct {
	Filename string
	Digest   pypi.Digest
}

// RetireOwn replaces the page of a private project by one without some of its files,
// drops the references to them, and keeps their names as retired, all in one
// transaction where the page fits into one; else the names come first. It returns the
// digests that nothing names any more. Durable when it returns.
func (d *DB) RetireOwn(p *pypi.Project, retired []Retired) (doomed []pypi.Digest, err error) {
	err = d.change(p.Name, shrinking, func(b *batch) error {
		for _, r := range retired {
			if err := b.set(append(retiredPrefix(p.Name), r.Filename...), seal(r.Digest[:])); err != nil {
				return err
			}
		}
		if doomed, err = d.put(b, p); err != nil {
			return err
		}
		return b.touch(p.Name, p.LastSerial)
	})
	if err != nil {
		return nil, fmt.Errorf("delete files of private project %s: %w", p.Name, err)
	}
	return doomed, nil
}

// RetiredOwn lists the names of files that were deleted from a private project.
func (d *DB) RetiredOwn(name pypi.Name) (list []Retired, err error) {
	txn, done := d.view()
	defer done()
	prefix := retiredPrefix(name)
	err = scan(txn, prefix, true, func(key, value []byte) (bool, error) {
		r := Retired{Filename: string(key[len(prefix):])}
		raw, err := unseal(value)
		if err != nil || len(raw) != len(r.Digest) {
			return false, fmt.Errorf("%w: the record of the deleted file %s", ErrDamaged, r.Filename)
		}
		r.Digest = pypi.Digest(raw)
		list = append(list, r)
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what was deleted of %s: %w", name, err)
	}
	return list, nil
}

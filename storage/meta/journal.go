package meta

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/pypi"
)

// Entry is one project in the journal of changes.
type Entry struct {
	Name       pypi.Name
	Generation uint64
	Gone       bool // it was deleted
}

// Journal lists the projects whose generation is higher than since, each with its
// last change, those that were deleted among them, in the order of the changes.
func (d *DB) Journal(since uint64) ([]Entry, error) {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	var list []Entry
	for _, kind := range []struct {
		prefix string
		gone   bool
	}{{"n/", false}, {"g/", true}} {
		o := badger.DefaultIteratorOptions
		o.Prefix = []byte(kind.prefix)
		o.PrefetchValues = false
		o.SinceTs = since
		it := txn.NewIterator(o)
		for it.Rewind(); it.Valid(); it.Next() {
			if item := it.Item(); item.Version() > since {
				list = append(list, Entry{pypi.Name(item.Key()[len(kind.prefix):]), item.Version(), kind.gone})
			}
		}
		it.Close()
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Generation, b.Generation) })
	return list, nil
}

// Generations calls yield with each project and its generation, in order of the
// name, until it returns false.
func (d *DB) Generations(yield func(pypi.Name, uint64) bool) error {
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	o := badger.DefaultIteratorOptions
	o.Prefix = []byte("n/")
	o.PrefetchValues = false
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if !yield(pypi.Name(it.Item().Key()[2:]), it.Item().Version()) {
			return nil
		}
	}
	return nil
}

// mourn notes that a project was deleted, or that it is there again.
func (b *batch) mourn(name pypi.Name, gone bool) error {
	key := goneKey(name)
	if gone {
		return b.set(key, nil)
	}
	was, version, err := get(b.txn, key)
	if err != nil {
		return fmt.Errorf("look whether %s was deleted: %w", name, err)
	}
	if was == nil && version == 0 {
		return nil
	}
	return b.delete(key)
}

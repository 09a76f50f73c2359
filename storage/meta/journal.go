package meta

import (
	"cmp"
	"fmt"
	"math"
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
// With most above 0 it gives the first of them, so many and all that changed
// together with the last: the list of a whole index is not for memory.
func (d *DB) Journal(since uint64, most int) ([]Entry, error) {
	var list []Entry
	cut := uint64(math.MaxUint64)
	err := d.changes(since, func(key []byte, generation uint64, gone bool) {
		if generation > cut {
			return
		}
		list = append(list, Entry{pypi.Name(key), generation, gone})
		if most > 0 && len(list) >= 2*most {
			list, cut = first(list, most)
		}
	})
	if most <= 0 {
		most = max(len(list), 1)
	}
	list, _ = first(list, most)
	return list, err
}

// first sorts a list and cuts it behind so many entries, but not between two of one
// generation: that of the last is given.
func first(list []Entry, most int) ([]Entry, uint64) {
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Name, b.Name))
	})
	if len(list) <= most {
		return list, math.MaxUint64
	}
	cut := list[most-1].Generation
	end := most
	for end < len(list) && list[end].Generation == cut {
		end++
	}
	return slices.Clip(list[:end]), cut
}

// LastChange is the highest generation of a project, there or deleted, above since;
// since where there is none.
func (d *DB) LastChange(since uint64) (uint64, error) {
	last := since
	err := d.changes(since, func(_ []byte, generation uint64, _ bool) { last = max(last, generation) })
	return last, err
}

// changes calls yield with each project whose generation is higher than since, in
// no order. The key is good until yield returns.
func (d *DB) changes(since uint64, yield func(key []byte, generation uint64, gone bool)) error {
	txn, done := d.view()
	defer done()
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
				yield(item.Key()[len(kind.prefix):], item.Version(), kind.gone)
			}
		}
		it.Close()
	}
	return nil
}

// Generations calls yield with each project and its generation, in order of the
// name, until it returns false.
func (d *DB) Generations(yield func(pypi.Name, uint64) bool) error {
	txn, done := d.view()
	defer done()
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

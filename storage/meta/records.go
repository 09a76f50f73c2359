package meta

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// Records calls yield with every record as it is stored, in the order of the
// keys, until it returns an error. The slices are good until it returns.
func (d *DB) Records(yield func(key, value []byte) error) error {
	txn, done := d.view()
	defer done()
	o := badger.DefaultIteratorOptions
	o.PrefetchValues = false
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		err := item.Value(func(value []byte) error { return yield(item.Key(), value) })
		if err != nil {
			return fmt.Errorf("read record %q: %w", item.Key(), err)
		}
	}
	return nil
}

package meta

import "fmt"

// Version grows with every write. It may lag behind a write that is under way,
// but never runs ahead of one.
func (d *DB) Version() uint64 { return d.version.Load() }

// Value reads a small value of another part; nil where there is none.
func (d *DB) Value(key string) ([]byte, error) { return d.value([]byte("k/" + key)) }

// SetValue replaces a small value; nil removes it.
func (d *DB) SetValue(key string, value []byte) error {
	return d.setValue([]byte("k/"+key), value)
}

// ValueKeys calls yield with the keys of small values that begin so, in order, until it
// returns false or an error.
func (d *DB) ValueKeys(prefix string, yield func(key string) (bool, error)) error {
	txn, done := d.view()
	defer done()
	return scan(txn, []byte("k/"+prefix), false, func(key, _ []byte) (bool, error) { return yield(string(key[2:])) })
}

func (d *DB) value(key []byte) ([]byte, error) {
	txn, done := d.view()
	defer done()
	raw, _, err := get(txn, key)
	if raw == nil || err != nil {
		return nil, err
	}
	return unseal(raw)
}

func (d *DB) setValue(key, value []byte) error {
	if value == nil {
		return d.update(shrinking, func(b *batch) error { return b.delete(key) })
	}
	if len(value) > maxValue {
		return fmt.Errorf("store %q: %d bytes, at most %d fit", key, len(value), maxValue)
	}
	return d.update(growing, func(b *batch) error {
		return b.set(key, seal(value))
	})
}

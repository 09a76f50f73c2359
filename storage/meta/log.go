package meta

import (
	"encoding/binary"
	"fmt"
)

// A log is a row of small records under a name, the oldest of which go when there
// are too many: what happened, for those who tell of it later.

func logPrefix(name string) []byte { return append([]byte("l/"+name), 0) }

// Append adds a record to a log, and drops what is more than keep records old.
// Durable when it returns.
func (d *DB) Append(name string, record []byte, keep int) error {
	if len(record) > maxValue {
		return fmt.Errorf("append to log %s: %d bytes, at most %d fit", name, len(record), maxValue)
	}
	return d.update(growing, func(b *batch) error {
		prefix := logPrefix(name)
		var keys [][]byte
		err := scan(b.txn, prefix, false, func(key, _ []byte) (bool, error) {
			keys = append(keys, key)
			return true, nil
		})
		if err != nil {
			return err
		}
		var next uint64
		if n := len(keys); n > 0 {
			next = binary.BigEndian.Uint64(keys[n-1][len(prefix):]) + 1
		}
		for ; len(keys) >= max(keep, 1); keys = keys[1:] {
			if err := b.delete(keys[0]); err != nil {
				return err
			}
		}
		return b.set(binary.BigEndian.AppendUint64(prefix, next), seal(record))
	})
}

// Log calls yield with the records of a log, the oldest first, until it returns
// false. One that is damaged is left out.
func (d *DB) Log(name string, yield func(record []byte) bool) error {
	txn, done := d.view()
	defer done()
	return scan(txn, logPrefix(name), true, func(_, value []byte) (bool, error) {
		raw, err := unseal(value)
		if err != nil {
			return true, nil
		}
		return yield(raw), nil
	})
}

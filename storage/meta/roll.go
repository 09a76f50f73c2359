package meta

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/pypi"
)

// The roll is the upstream's list of all its projects: names and nothing else. It
// comes in blocks of some thousand, since as many keys as there are projects would
// cost the card ten times as much. There are two: the one that is whole, and the one
// that is coming.

// rollKey is the list, the first name of the block, and what tells it from another
// block that begins with the same name. The same block has the same key.
func rollKey(list byte, first pypi.Name, payload []byte) []byte {
	k := append(append(rollPrefix(list), first...), 0)
	return binary.BigEndian.AppendUint32(k, crc32.Checksum(payload, castagnoli))
}

func rollPrefix(list byte) []byte { return []byte{'u', '/', list} }

const rollStateKey = "roll"

// RollState reads what was noted with the roll last; nil for nothing.
func (d *DB) RollState() ([]byte, error) { return d.Value(rollStateKey) }

// AddRoll adds a block of names to a list, in any order and with none twice in it,
// and notes state; both or neither are durable. Without names it only notes.
func (d *DB) AddRoll(list byte, names []pypi.Name, state []byte) error {
	err := d.update(growing, func(b *batch) error {
		if len(names) > 0 {
			names = slices.Clone(names)
			slices.Sort(names)
			raw, err := d.packRoll(names)
			if err != nil {
				return err
			}
			if err := b.set(rollKey(list, names[0], raw), raw); err != nil {
				return err
			}
		}
		return b.set([]byte("k/"+rollStateKey), seal(state))
	})
	if err != nil {
		return fmt.Errorf("store %d names: %w", len(names), err)
	}
	return nil
}

// packRoll writes sorted names, each as what it shares with the one before and the
// rest.
func (d *DB) packRoll(names []pypi.Name) ([]byte, error) {
	var w writer
	w.uint(uint64(len(names)))
	last := ""
	for _, name := range names {
		n := shared(last, string(name))
		w.uint(uint64(n))
		w.text(string(name[n:]))
		last = string(name)
	}
	return d.pack(&w)
}

func shared(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// eachRoll calls yield with the names of a block, in order, until it returns false.
func (d *DB) eachRoll(value []byte, yield func(pypi.Name) bool) (more bool, err error) {
	r, err := d.unpack(value)
	if err != nil {
		return false, fmt.Errorf("read names: %w", err)
	}
	last := ""
	for n := r.uint(); n > 0 && r.err == nil; n-- {
		same := r.uint()
		rest := r.text()
		if same > uint64(len(last)) {
			r.fail()
			break
		}
		last = last[:same] + rest
		if !yield(pypi.Name(last)) {
			return false, nil
		}
	}
	return true, r.err
}

// InRoll tells whether a list has a name. sorted says that the blocks came in order,
// none overlapping another: then one is read, else all that begin before the name.
func (d *DB) InRoll(list byte, name pypi.Name, sorted bool) (found bool, err error) {
	txn, done := d.view()
	defer done()
	o := badger.DefaultIteratorOptions
	o.Prefix, o.Reverse, o.PrefetchValues = rollPrefix(list), true, false
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Seek(append(append(rollPrefix(list), name...), 1)); it.Valid() && !found; it.Next() {
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return false, fmt.Errorf("read names: %w", err)
		}
		_, err = d.eachRoll(value, func(n pypi.Name) bool {
			found = n == name
			return n < name
		})
		if err != nil || sorted {
			return found, err
		}
	}
	return found, nil
}

// Roll calls yield with each name of a list, block by block, until it returns false.
// Where the blocks came in order, so do the names.
func (d *DB) Roll(list byte, yield func(pypi.Name) bool) error {
	txn, done := d.view()
	defer done()
	return scan(txn, rollPrefix(list), true, func(_, value []byte) (bool, error) {
		return d.eachRoll(value, yield)
	})
}

// DropRoll removes a list and notes state.
func (d *DB) DropRoll(list byte, state []byte) error {
	err := d.update(shrinking, func(b *batch) error {
		if err := b.set([]byte("k/"+rollStateKey), seal(state)); err != nil {
			return err
		}
		var keys [][]byte // a batch may be split, and nothing reads from it then
		if err := scan(b.txn, rollPrefix(list), false, func(key, _ []byte) (bool, error) { keys = append(keys, key); return true, nil }); err != nil {
			return err
		}
		for _, key := range keys {
			if err := b.delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove a list of names: %w", err)
	}
	return nil
}

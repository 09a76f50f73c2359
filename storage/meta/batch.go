package meta

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"cheeseboard/storage/pypi"
)

func headKey(n pypi.Name) []byte  { return []byte("p/" + n) }
func nameKey(n pypi.Name) []byte  { return []byte("n/" + n) }
func goneKey(n pypi.Name) []byte  { return []byte("g/" + n) }
func stateKey(n pypi.Name) []byte { return []byte("s/" + n) }

func chunkPrefix(n pypi.Name) []byte { return append([]byte("c/"+n), 0) }

func chunkKey(n pypi.Name, c chunk) []byte {
	k := binary.BigEndian.AppendUint32(chunkPrefix(n), c.index)
	return binary.BigEndian.AppendUint32(k, c.generation)
}

func refPrefix(n pypi.Name) []byte { return append([]byte("r/"+n), 0) }

func refKey(n pypi.Name, d pypi.Digest) []byte { return append(refPrefix(n), d[:]...) }

func blobPrefix(d pypi.Digest) []byte { return append(append([]byte("b/"), d[:]...), 0) }

func blobKey(d pypi.Digest, n pypi.Name) []byte { return append(blobPrefix(d), n...) }

func doomedKey(d pypi.Digest) []byte { return append([]byte("d/"), d[:]...) }

func tornKey(n pypi.Name) []byte { return []byte("t/" + n) }

// versionKey is written with deletions. Badger forgets a deleted key, and with
// it the version of the deletion; were that the highest, it would be given out
// again after the next Open, and so would a generation.
func versionKey() []byte { return []byte("v/") }

// batch is a run of writes in order. What fits into one Badger transaction is
// written as one; more is split. A change of a project that is split leaves a
// mark (t/NAME) before its first part, and takes it away with its last: whoever
// finds the mark knows that the change stopped between two parts (see mend).
type batch struct {
	db   *DB
	txn  *badger.Txn
	n    int // writes that are in txn
	size int // bytes of them
	need need
	name pypi.Name // whose mark is left when the batch is split; "": nobody's
	torn bool      // the mark stands
}

func (b *batch) do(op func(*badger.Txn) error) error {
	err := op(b.txn)
	if errors.Is(err, badger.ErrTxnTooBig) && b.n > 0 {
		if err = b.mark(); err != nil {
			return err
		}
		if err = b.commit(); err != nil {
			return err
		}
		b.again()
		err = op(b.txn)
	}
	b.n++
	return err
}

// again begins a new transaction, after commit.
func (b *batch) again() { b.txn, b.n, b.size = b.db.db.NewTransaction(true), 0, 0 }

// mark makes durable that the change of a project is about to be split.
func (b *batch) mark() error {
	if b.torn || b.name == "" {
		return nil
	}
	m := &batch{db: b.db, txn: b.db.db.NewTransaction(true), need: b.need}
	defer m.discard()
	if err := m.set(tornKey(b.name), nil); err != nil {
		return err
	}
	b.torn = true
	return m.commit()
}

func (b *batch) set(key, value []byte) error {
	b.size += len(key) + len(value)
	return b.do(func(t *badger.Txn) error { return t.Set(key, value) })
}

func (b *batch) delete(key []byte) error {
	if b.n == 0 {
		if err := b.set(versionKey(), seal(nil)); err != nil {
			return err
		}
	}
	return b.do(func(t *badger.Txn) error { return t.Delete(key) })
}

// commit makes the writes durable. On nil they survive a power cut.
func (b *batch) commit() error {
	if b.n == 0 {
		b.txn.Discard()
		return nil
	}
	if err := b.db.checkSpace(b.need); err != nil {
		b.txn.Discard()
		return err
	}
	b.db.written = true
	err := b.txn.Commit()
	b.db.renewView() // before the number: it never runs ahead of what is read
	// Badger's own number may be read only while nothing is being written.
	b.db.version.Store(max(b.db.version.Load(), b.db.db.MaxVersion()))
	if err != nil {
		return fmt.Errorf("commit metadata: %w", err)
	}
	return nil
}

func (b *batch) discard() { b.txn.Discard() }

// update runs fn over a batch, alone, and commits it.
func (d *DB) update(need need, fn func(*batch) error) error {
	return d.change("", need, fn)
}

// change is update for the change of one project.
func (d *DB) change(name pypi.Name, need need, fn func(*batch) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &batch{db: d, txn: d.db.NewTransaction(true), need: need}
	defer func() { b.discard() }()
	if err := b.change(name, fn); err != nil {
		return err
	}
	return b.commit()
}

// change runs fn, which changes a project; "" is none. What an earlier change
// left half-done is mended first.
func (b *batch) change(name pypi.Name, fn func(*batch) error) error {
	if err := b.db.refuse(); err != nil {
		return err
	}
	b.name, b.torn = name, false
	if name != "" {
		mark, err := b.db.has(b.txn, tornKey(name))
		if err != nil {
			return err
		}
		if b.torn = mark; mark {
			if err := b.db.mend(b, name); err != nil {
				return err
			}
		}
	}
	if err := fn(b); err != nil {
		return err
	}
	if b.torn {
		return b.delete(tornKey(name))
	}
	return nil
}

// has tells whether a key is there.
func (d *DB) has(txn *badger.Txn, key []byte) (bool, error) {
	_, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read metadata: %w", err)
	}
	return true, nil
}

// get reads one value and its version; nil and 0 where there is none.
func get(txn *badger.Txn, key []byte) ([]byte, uint64, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read metadata: %w", err)
	}
	v, err := item.ValueCopy(nil)
	if err != nil {
		return nil, 0, fmt.Errorf("read metadata: %w", err)
	}
	return v, item.Version(), nil
}

// scan calls yield with each key behind prefix and its value, in order, until
// yield returns false or an error. With values false the value is nil.
func scan(txn *badger.Txn, prefix []byte, values bool, yield func(key, value []byte) (bool, error)) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	o.PrefetchValues = values
	o.PrefetchSize = 16
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Seek(prefix); it.Valid(); it.Next() {
		item := it.Item()
		var value []byte
		if values {
			var err error
			if value, err = item.ValueCopy(nil); err != nil {
				return fmt.Errorf("read metadata: %w", err)
			}
		}
		more, err := yield(item.KeyCopy(nil), value)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

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
func stateKey(n pypi.Name) []byte { return []byte("s/" + n) }

func chunkKey(n pypi.Name, c chunk) []byte {
	k := append([]byte("c/"+n), 0)
	k = binary.BigEndian.AppendUint32(k, c.index)
	return binary.BigEndian.AppendUint32(k, c.generation)
}

func refPrefix(n pypi.Name) []byte { return append([]byte("r/"+n), 0) }

func refKey(n pypi.Name, d pypi.Digest) []byte { return append(refPrefix(n), d[:]...) }

func blobPrefix(d pypi.Digest) []byte { return append(append([]byte("b/"), d[:]...), 0) }

func blobKey(d pypi.Digest, n pypi.Name) []byte { return append(blobPrefix(d), n...) }

func doomedKey(d pypi.Digest) []byte { return append([]byte("d/"), d[:]...) }

// batch is a run of writes in order. What fits into one Badger transaction is
// written as one; more is split, so the write that makes the others visible
// must come after them.
type batch struct {
	db  *DB
	txn *badger.Txn
	n   int
}

func (d *DB) newBatch() *batch {
	return &batch{db: d, txn: d.db.NewTransaction(true)}
}

func (b *batch) do(op func(*badger.Txn) error) error {
	err := op(b.txn)
	if errors.Is(err, badger.ErrTxnTooBig) && b.n > 0 {
		if err = b.commit(); err != nil {
			return err
		}
		b.txn, b.n = b.db.db.NewTransaction(true), 0
		err = op(b.txn)
	}
	b.n++
	return err
}

func (b *batch) set(key, value []byte) error {
	return b.do(func(t *badger.Txn) error { return t.Set(key, value) })
}

func (b *batch) delete(key []byte) error {
	return b.do(func(t *badger.Txn) error { return t.Delete(key) })
}

// commit makes the writes durable. On nil they survive a power cut.
func (b *batch) commit() error {
	if err := b.db.checkSpace(); err != nil {
		b.txn.Discard()
		return err
	}
	if err := b.txn.Commit(); err != nil {
		return fmt.Errorf("commit metadata: %w", err)
	}
	return nil
}

func (b *batch) discard() { b.txn.Discard() }

// update runs fn over a batch, alone, and commits it.
func (d *DB) update(fn func(*batch) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.newBatch()
	defer func() { b.discard() }()
	if err := fn(b); err != nil {
		return err
	}
	return b.commit()
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
func scan(txn *badger.Txn, prefix, from []byte, values bool, yield func(key, value []byte) (bool, error)) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	o.PrefetchValues = values
	o.PrefetchSize = 16
	it := txn.NewIterator(o)
	defer it.Close()
	if len(from) == 0 {
		from = prefix
	}
	for it.Seek(from); it.Valid(); it.Next() {
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

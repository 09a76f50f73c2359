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

func versioned() write { return write{key: versionKey(), value: seal(nil)} }

// write is one entry of a transaction.
type write struct {
	key, value []byte
	gone       bool // the key is deleted
}

func (w write) into(txn *badger.Txn) error {
	if w.gone {
		return txn.Delete(w.key)
	}
	return txn.Set(w.key, w.value)
}

// batch is the transaction into which changes write, one after another: see
// together. A change that is too large for one transaction is split. It leaves a
// mark (t/NAME) before its first part, and takes it away with its last: whoever
// finds the mark knows that the change stopped between two parts (see mend).
type batch struct {
	db      *DB
	txn     *badger.Txn
	members []*change // those that are through, to be told when it is committed

	// What is in txn.
	writes    []write
	size      int        // bytes
	added     []addition // references that came
	versioned bool       // the version key is among the writes
	roomy     [2]bool    // by need: the disk has room for this
	failed    error      // it cannot be committed

	// The change under way.
	own, ownRefs int // where its part of writes and of added begins
	need         need
	name         pypi.Name // whose mark is left when it is split; "": nobody's
	torn         bool      // the mark stands
	split        bool      // a part of it is committed
}

// addition is a reference that a change in the transaction has added.
type addition struct {
	digest pypi.Digest
	key    []byte // of the blob's side
}

func (b *batch) set(key, value []byte) error { return b.write(write{key: key, value: value}) }

func (b *batch) delete(key []byte) error {
	if !b.versioned {
		if err := b.write(versioned()); err != nil {
			return err
		}
	}
	return b.write(write{key: key, gone: true})
}

func (b *batch) write(w write) error {
	err := w.into(b.txn)
	if err == nil {
		b.noted(w)
		return nil
	}
	if !errors.Is(err, badger.ErrTxnTooBig) || len(b.writes) == 0 {
		return err
	}
	if b.own > 0 {
		err = b.apart()
	} else {
		err = b.part()
	}
	switch {
	case err != nil:
		return err
	case w.gone:
		return b.delete(w.key) // with the version key, in this transaction too
	}
	return b.write(w)
}

func (b *batch) noted(w write) {
	b.writes = append(b.writes, w)
	b.size += len(w.key) + len(w.value)
	b.versioned = b.versioned || string(w.key) == string(versionKey())
}

// part commits what the change under way has written so far, and begins another
// transaction for the rest.
func (b *batch) part() error {
	b.split = true
	if err := b.mark(); err != nil {
		return err
	}
	if err := b.db.checkSpace(b.need); err != nil {
		return err
	}
	if err := b.commit(); err != nil {
		return err
	}
	b.again()
	return nil
}

// mark makes durable that the change of a project is about to be split.
func (b *batch) mark() error {
	if b.torn || b.name == "" {
		return nil
	}
	if err := b.db.checkSpace(b.need); err != nil {
		return err
	}
	txn := b.db.db.NewTransaction(true)
	defer txn.Discard()
	if err := txn.Set(tornKey(b.name), nil); err != nil {
		return err
	}
	b.torn = true
	return b.db.commit(txn)
}

// space refuses the change under way where the disk is too full for it. It looks
// once for a transaction: what fits into one is little.
func (b *batch) space() error {
	slot := &b.roomy[0]
	if b.need == shrinking {
		slot = &b.roomy[1]
	}
	if *slot {
		return nil
	}
	err := b.db.checkSpace(b.need)
	*slot = err == nil
	return err
}

// again begins a transaction.
func (b *batch) again() {
	b.forget()
	b.txn = b.db.db.NewTransaction(true)
}

// forget ends the transaction without its writes.
func (b *batch) forget() {
	if b.txn != nil {
		b.txn.Discard()
	}
	b.txn, b.writes, b.added, b.size, b.versioned, b.roomy, b.failed = nil, nil, nil, 0, false, [2]bool{}, nil
}

// commit makes the writes durable, and ends the transaction. On nil they survive a
// power cut.
func (b *batch) commit() error {
	defer b.forget()
	if b.failed != nil {
		return b.failed
	}
	if len(b.writes) == 0 {
		return nil
	}
	return b.db.commit(b.txn)
}

// commit makes a transaction durable, and has readers see it.
func (d *DB) commit(txn *badger.Txn) error {
	d.written = true
	err := txn.Commit()
	d.renewView() // before the number: it never runs ahead of what is read
	// Badger's own number may be read only while nothing is being written.
	d.version.Store(max(d.version.Load(), d.db.MaxVersion()))
	if err != nil {
		err = fmt.Errorf("commit metadata: %w", err)
		d.trouble.Store(&err)
		return err
	}
	d.trouble.Store(nil)
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

package meta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	"cheeseboard/storage/pypi"
)

// KeyValue is an entry of an export: a key and its value as they are stored.
type KeyValue struct{ Key, Value []byte }

// Export calls yield with every key and its value, as they were at one moment,
// while changes go on. What yield is given is its own only until it returns. With
// stocked, of all pages only those come of which something is here, that are
// private, or that stand in a list. The tables are read before it, as a whole: Badger leaves out, without a
// word, what it cannot read; pace is as for CheckTables. begin is called then, with the version of that moment.
// ErrDamaged, and the errors of begin and yield.
func (d *DB) Export(ctx context.Context, stocked bool, pace func(bytes int) error, begin func(version uint64) error, yield func(KeyValue) error) (err error) {
	if err := d.CheckTables(ctx, pace); err != nil {
		return err
	}
	d.writers.lock() // not between two transactions of one change
	txn := d.db.NewTransaction(false)
	version := d.db.MaxVersion()
	d.writers.unlock()
	defer txn.Discard()
	if err := begin(version); err != nil {
		return err
	}
	each := func(prefix string, pick func(key []byte) bool) error {
		if err != nil {
			return err
		}
		return exportPrefix(ctx, txn, []byte(prefix), pick, yield)
	}
	if !stocked {
		return each("", func(key []byte) bool { return !bytes.Equal(key, versionKey()) })
	}
	names, err := stockedNames(txn)
	if err != nil {
		return err
	}
	roll := []byte("k/" + rollStateKey) // tells of keys that do not come
	for _, prefix := range []string{"r/", "b/", "d/", "t/", "m/", "l/", "k/", "o/", "x/"} {
		err = each(prefix, func(key []byte) bool { return !bytes.Equal(key, roll) })
	}
	for name := range names {
		for _, key := range [][]byte{headKey(name), nameKey(name), stateKey(name)} {
			err = each(string(key), func(k []byte) bool { return bytes.Equal(k, key) })
		}
		err = each(string(chunkPrefix(name)), func([]byte) bool { return true })
	}
	return err
}

// stockedNames lists the projects of which something is here, that are private, or
// that stand in a list; and "", the name of what the syncer noted of itself.
func stockedNames(txn *badger.Txn) (map[pypi.Name]bool, error) {
	names := map[pypi.Name]bool{"": true}
	err := scan(txn, []byte("r/"), false, func(key, _ []byte) (bool, error) {
		if n := len(key) - len(pypi.Digest{}) - 1; n > 2 {
			names[pypi.Name(key[2:n])] = true
		}
		return true, nil
	})
	if err == nil {
		err = eachOwn(txn, func(name pypi.Name) bool { names[name] = true; return true })
	}
	if err != nil {
		return nil, err
	}
	return names, scan(txn, []byte("m/"), false, func(key, _ []byte) (bool, error) {
		if _, name, ok := bytes.Cut(key[2:], []byte{0}); ok {
			names[pypi.Name(name)] = true
		}
		return true, nil
	})
}

func exportPrefix(ctx context.Context, txn *badger.Txn, prefix []byte, pick func([]byte) bool, yield func(KeyValue) error) error {
	return scan(txn, prefix, true, func(key, value []byte) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !pick(key) {
			return true, nil
		}
		return true, yield(KeyValue{key, value})
	})
}

// Import fills new metadata with what next gives, until io.EOF. Every version that
// they give out is greater than base, and so is every project's generation.
func (d *DB) Import(base uint64, next func() (KeyValue, error)) error {
	if err := d.leap(base); err != nil {
		return fmt.Errorf("fill metadata: %w", err)
	}
	err := d.update(growing, func(b *batch) error {
		for {
			kv, err := next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if len(kv.Key) < 2 || kv.Key[1] != '/' || len(kv.Value) > maxValue {
				return fmt.Errorf("%w: an entry with the key %.20q", ErrDamaged, kv.Key)
			}
			// The transaction keeps both until it is committed.
			if err := b.set(bytes.Clone(kv.Key), bytes.Clone(kv.Value)); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("fill metadata: %w", err)
	}
	return nil
}

// leap makes the versions of new metadata go on from a number. Badger can do that
// only by reading a backup of its own kind, so it is given one of a single entry.
func (d *DB) leap(version uint64) error {
	list := &pb.KVList{Kv: []*pb.KV{{Key: versionKey(), Value: seal(nil), Version: max(version, 1)}}}
	raw, err := proto.Marshal(list)
	if err != nil {
		return err
	}
	backup := binary.LittleEndian.AppendUint64(nil, uint64(len(raw)))
	if err := d.db.Load(bytes.NewReader(append(backup, raw...)), 1); err != nil {
		return err
	}
	d.written = true
	d.version.Store(max(d.version.Load(), d.db.MaxVersion()))
	return nil
}

package meta

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// TestTables holds Badger to what it loses on 32 bit with an unmended ristretto:
// entries, without an error, when a table takes several buffers of the allocator.
// Tables smaller than what is in memory bring that about. Ours are not, by which
// even an unmended program would pass the other tests.
func TestTables(t *testing.T) {
	t.Parallel()
	o := badgerOptions(t.TempDir(), slog.New(slog.DiscardHandler))
	o.SyncWrites = false
	o.BaseTableSize, o.BaseLevelSize = 1<<20, 4<<20
	chance := rand.New(rand.NewChaCha8([32]byte{}))
	const entries = 3000
	value := func(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 }
	order := chance.Perm(entries)
	db, err := openGuarded(o)
	if err != nil {
		t.Fatal(err)
	}
	for len(order) > 0 {
		txn := db.NewTransaction(true)
		for _, i := range order[:min(50, len(order))] {
			raw := binary.BigEndian.AppendUint64(make([]byte, 0, 8000), value(i))
			if err := txn.Set(binary.BigEndian.AppendUint32(nil, uint32(i)), raw[:4000+i]); err != nil {
				t.Fatal(err)
			}
		}
		order = order[min(50, len(order)):]
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = openGuarded(o); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = db.View(func(txn *badger.Txn) error {
		return scan(txn, nil, true, func(key, raw []byte) (bool, error) {
			if i := int(binary.BigEndian.Uint32(key)); i != n || len(raw) != 4000+i || binary.BigEndian.Uint64(raw) != value(i) {
				t.Errorf("entry %d stands where %d should, with %d bytes", i, n, len(raw))
			}
			n++
			return !t.Failed(), nil
		})
	})
	if err != nil || n != entries {
		t.Fatalf("%d entries of %d (%v)", n, entries, err)
	}
	if err := db.VerifyChecksum(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

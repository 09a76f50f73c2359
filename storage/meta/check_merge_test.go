package meta

import (
	"sync"
	"testing"

	"cheeseboard/storage/population"
)

// TestCheckWhileMerging merges the tables while they are checked. Badger empties a
// table that it has merged, and then removes it: that is no damage.
func TestCheckWhileMerging(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := population.New(7, 20_000)
	const tables = 7 // one less than are merged
	for part := range tables {
		d := open(t, dir)
		for i := part; i < 10*tables; i += tables {
			put(t, d, p.Project(i, 0))
		}
		closeDB(t, d)
	}
	d := open(t, dir)
	defer closeDB(t, d)
	before := d.db.Tables()
	if len(before) != tables {
		t.Fatalf("there are %d tables, want %d", len(before), tables)
	}
	there := func() (n int) {
		for _, table := range before {
			if d.lists(table.ID) {
				n++
			}
		}
		return n
	}
	merge := sync.OnceValue(func() error {
		for range 100 {
			if there() == 0 {
				break
			}
			stuff(t, d, 1<<20)
		}
		return nil
	})
	if err := d.CheckTables(t.Context(), func(int) error { return merge() }); err != nil {
		t.Error(err)
	}
	if n := there(); n > 0 {
		t.Errorf("%d tables were not merged", n)
	}
	same(t, d, p.Project(1, 0))
}

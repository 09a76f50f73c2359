package meta

import (
	"errors"
	"sync"
	"testing"

	"cheeseboard/storage/population"
)

// TestCheckWhileMerging merges the tables while they are checked. Badger empties a
// table that it has merged, and then removes it: that is no damage.
func TestCheckWhileMerging(t *testing.T) {
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
		for i := 0; i < p.Len() && there() > 0; i += 100 {
			var group []Update
			for j := i; j < i+100; j++ {
				group = append(group, Update{Project: p.Project(j, 0)})
			}
			if _, errs := d.PutProjects(group); errs != nil {
				return errors.Join(errs...)
			}
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

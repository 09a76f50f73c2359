package meta

import (
	"fmt"
	"testing"

	"cheeseboard/storage/pypi"
)

// TestJournal follows a store as a mirror does, and holds what it learns against
// what was changed.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	var read uint64
	follow := func(want ...string) {
		t.Helper()
		list, err := d.Journal(read)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list {
			if e.Generation <= read {
				t.Errorf("%s at %d comes after %d", e.Name, e.Generation, read)
			}
			read = e.Generation
			got = append(got, fmt.Sprintf("%s gone=%v", e.Name, e.Gone))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the journal tells %v, want %v", got, want)
		}
	}
	for _, name := range []pypi.Name{"b", "a", "c"} {
		put(t, d, page(t, name, 2))
	}
	follow("b gone=false", "a gone=false", "c gone=false")
	follow()
	put(t, d, page(t, "a", 2)) // unchanged
	follow()
	put(t, d, page(t, "b", 3))
	put(t, d, page(t, "a", 3))
	put(t, d, page(t, "b", 4))
	follow("a gone=false", "b gone=false")
	if _, err := d.DeleteProject("c"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.DeleteProject("never-there"); err != nil {
		t.Fatal(err)
	}
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	follow("c gone=true")
	put(t, d, page(t, "c", 1))
	follow("c gone=false")

	seen := 0
	err := d.Generations(func(name pypi.Name, g uint64) bool {
		seen++
		if info, ok, err := d.Info(name); err != nil || !ok || info.Generation != g {
			t.Errorf("%s: generation %d, info %v (%v)", name, g, info, err)
		}
		return true
	})
	if err != nil || seen != 3 {
		t.Errorf("%d generations (%v)", seen, err)
	}
}

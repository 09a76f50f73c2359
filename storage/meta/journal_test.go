package meta

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		list, err := d.Journal(read, 0)
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

// TestJournalInParts goes through the journal a few at a time: nothing is left out,
// nothing comes twice, and what changed together stays together.
func TestJournalInParts(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	for i := range 40 {
		var group []Update
		for j := range 1 + i%4 {
			group = append(group, Update{Project: page(t, pypi.Name(fmt.Sprintf("p%d-%d", (i*7)%40, j)), 1)})
		}
		if _, errs := d.PutProjects(group); errs != nil {
			t.Fatal(errs)
		}
	}
	if _, err := d.DeleteProject("p0-0"); err != nil {
		t.Fatal(err)
	}
	all, err := d.Journal(0, 0)
	if err != nil || len(all) != 100 {
		t.Fatalf("%d changes (%v)", len(all), err)
	}
	if last, err := d.LastChange(0); err != nil || last != all[99].Generation {
		t.Errorf("the last is %d, want %d (%v)", last, all[99].Generation, err)
	}
	if last, err := d.LastChange(1 << 40); err != nil || last != 1<<40 {
		t.Errorf("nothing is behind the end, and the last is %d (%v)", last, err)
	}
	for _, most := range []int{1, 3, 10, 99, 100, 1000} {
		var parts []Entry
		for since := uint64(0); ; {
			list, err := d.Journal(since, most)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				break
			}
			if len(list) > most+3 {
				t.Errorf("%d at a time, and %d came", most, len(list))
			}
			parts, since = append(parts, list...), list[len(list)-1].Generation
		}
		if !cmp.Equal(parts, all) {
			t.Errorf("%d at a time: %s", most, cmp.Diff(all, parts))
		}
	}
}

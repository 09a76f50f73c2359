package meta

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"cheeseboard/storage/pypi"
)

func TestRoll(t *testing.T) {
	var names []pypi.Name
	for i := range 5000 {
		names = append(names, pypi.Name(fmt.Sprintf("project-%04d", 2*i)))
	}
	names = append(names, "a", "z", "project", "project-0000-more")
	slices.Sort(names)
	shuffled := slices.Clone(names)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	dir := t.TempDir()
	d := open(t, dir)
	state := func() string {
		t.Helper()
		raw, err := d.RollState()
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for list, order := range [][]pypi.Name{names, shuffled} {
		for block := range slices.Chunk(order, 300) {
			for range 2 { // again after a cut: it is the same block
				if err := d.AddRoll(byte(list), block, []byte(block[0])); err != nil {
					t.Fatal(err)
				}
			}
			if state() != string(block[0]) {
				t.Errorf("noted %q", state())
			}
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	for list := range byte(2) {
		var got []pypi.Name
		if err := d.Roll(list, func(n pypi.Name) bool { got = append(got, n); return true }); err != nil {
			t.Fatal(err)
		}
		if list == 1 {
			slices.Sort(got)
		}
		if !slices.Equal(got, names) {
			t.Errorf("list %d has %d names, want %d", list, len(got), len(names))
		}
		for i, name := range names {
			if i%37 > 0 && i > 5 && i < len(names)-5 {
				continue
			}
			for _, c := range []struct {
				name pypi.Name
				want bool
			}{{name, true}, {name + "x", false}, {name[:len(name)-1] + "_", false}} {
				if found, err := d.InRoll(list, c.name, list == 0); err != nil || found != c.want {
					t.Errorf("list %d has %s: %t, %v", list, c.name, found, err)
				}
			}
		}
	}
	if err := d.DropRoll(0, []byte("dropped")); err != nil {
		t.Fatal(err)
	}
	gone, err := d.InRoll(0, "a", true)
	kept, err2 := d.InRoll(1, "a", false)
	if gone || !kept || err != nil || err2 != nil || state() != "dropped" {
		t.Errorf("after a list was dropped: %t %t %v %v %q", gone, kept, err, err2, state())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

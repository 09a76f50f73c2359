package syncer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
)

// rollKept is a Roll in memory.
type rollKept struct {
	names []pypi.Name
	state []byte
}

func (r *rollKept) RollState() ([]byte, error) { return r.state, nil }

func (r *rollKept) AddRoll(_ byte, names []pypi.Name, state []byte) error {
	r.names, r.state = append(r.names, names...), state
	return nil
}

func (r *rollKept) DropRoll(byte, []byte) error { return nil }

func (r *rollKept) InRoll(_ byte, name pypi.Name, _ bool) (bool, error) {
	return slices.Contains(r.names, name), nil
}

func (r *rollKept) Roll(_ byte, yield func(pypi.Name) bool) error {
	for _, n := range r.names {
		if !yield(n) {
			break
		}
	}
	return nil
}

// TestNamesThatComeAgain reads answers one after another, as an upstream gives them
// that has no parts of its list: each begins anew. What has come is passed over where
// the list is in order, over restarts too; where it is not, nothing is lost.
func TestNamesThatComeAgain(t *testing.T) {
	for _, c := range []struct {
		answers  string // names; "/" begins another answer, "|" the next run
		want     string
		unsorted bool
	}{
		{"a b c d", "a b c d", false},
		{"a b c/a b c d e", "a b c d e", false},
		{"a b c|a b c d e", "a b c d e", false},
		{"a b c d|a b|a b c d e", "a b c d e", false},
		{"a b c/b c d", "a b c d", false},
		{"c a b", "c a b", true},
		{"c a/c a b", "c a c a b", true},
		{"b c a|b c a d", "b c a b c a d", true},
	} {
		kept := &rollKept{}
		note := &rollNote{Coming: &rollList{}}
		for run := range strings.SplitSeq(c.answers, "|") {
			reading := &upstream.Place{}
			w := &rollWriter{keep: kept, note: note, reading: reading}
			for answer := range strings.SplitSeq(run, "/") {
				for i, name := range strings.Fields(answer) {
					*reading = upstream.Place{Offset: int64(i + 1), Last: pypi.Name(name), Whole: true}
					if err := w.take(pypi.ListEntry{Name: pypi.Name(name)}); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := w.flush(*reading); err != nil {
				t.Fatal(err)
			}
			note = &rollNote{}
			if err := json.Unmarshal(kept.state, note); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, n := range kept.names {
			got = append(got, string(n))
		}
		if s := strings.Join(got, " "); s != c.want || note.Coming.Unsorted != c.unsorted || note.Coming.Names != len(got) {
			t.Errorf("%q gives %q, unsorted %t, %d names", c.answers, s, note.Coming.Unsorted, note.Coming.Names)
		}
	}
}

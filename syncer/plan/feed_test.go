package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"cheeseboard/storage/pypi"
)

func TestWindow(t *testing.T) {
	for _, c := range []struct{ last, overlap, want int64 }{
		{20_000_000, 2000, 19_998_000}, {100, 2000, 0}, {0, 0, 0}, {100, 0, 100}, {100, -5, 100}, {1<<63 - 1, 1, 1<<63 - 2},
	} {
		if got := Window(c.last, c.overlap); got != c.want {
			t.Errorf("Window(%d, %d) = %d, want %d", c.last, c.overlap, got, c.want)
		}
	}
	if SetBack(100, 100) || SetBack(100, 101) || !SetBack(100, 99) {
		t.Error("SetBack")
	}
}

func TestTold(t *testing.T) {
	changes := []pypi.ListEntry{
		{Name: "once", Serial: 7}, {Name: "silent", Serial: 0},
		{Name: "twice", Serial: 8}, {Name: "twice", Serial: 6}, // backwards
	}
	want := map[pypi.Name]int64{"once": 7, "silent": 0, "twice": 8}
	for range 2 {
		if got := Told(changes); !maps.Equal(got, want) {
			t.Errorf("%v", got)
		}
		slices.Reverse(changes)
	}
	for _, c := range []struct {
		stored, told int64
		want         bool
	}{{5, 7, true}, {7, 7, false}, {9, 7, false}, {0, 1, true}, {0, 0, false}} {
		if Due(c.stored, c.told) != c.want {
			t.Errorf("Due(%d, %d) is not %v", c.stored, c.told, c.want)
		}
	}
}

// journal is a feed with the habits of PyPI's: serials skip, and some rows can be
// seen only when rows with higher serials have been out for a while.
type journal struct {
	rows []pypi.Change // by serial
	out  []int         // of each row, at which tick it can be seen
}

func newJournal(r *rand.Rand, projects, changes, late int) journal {
	var j journal
	serial, clock := int64(20_000_000), int64(1_700_000_000)
	for i := range changes {
		serial += 1 + r.Int64N(4)
		clock += r.Int64N(7) - 3 // backwards as often as not
		tick := i
		if r.IntN(20) == 0 {
			tick += r.IntN(late)
		}
		name := pypi.Name(fmt.Sprintf("project-%d", r.IntN(projects)))
		j.rows = append(j.rows, pypi.Change{Name: name, Serial: serial, Timestamp: clock, Action: "new release"})
		j.out = append(j.out, tick)
	}
	return j
}

// since is what the feed answers at a tick, with rows that come twice and in no
// order.
func (j journal) since(r *rand.Rand, serial int64, tick int) (entries []pypi.ListEntry, last int64) {
	for i, c := range j.rows {
		if c.Serial > serial && j.out[i] <= tick {
			last = max(last, c.Serial)
			entries = append(entries, pypi.ListEntry{Name: c.Name, Serial: c.Serial})
			if r.IntN(10) == 0 {
				entries = append(entries, entries[r.IntN(len(entries))])
			}
		}
	}
	r.Shuffle(len(entries), func(a, b int) { entries[a], entries[b] = entries[b], entries[a] })
	return entries, last
}

// pages is what the pages say at a tick.
func (j journal) pages(tick int) map[pypi.Name]int64 {
	pages := make(map[pypi.Name]int64)
	for i, c := range j.rows {
		if j.out[i] <= tick {
			pages[c.Name] = max(pages[c.Name], c.Serial)
		}
	}
	return pages
}

// follow reads the journal to its end in steps and returns how many projects are
// stored with an older page than the index has.
func follow(t *testing.T, j journal, r *rand.Rand, step int, overlap int64) (lost int) {
	t.Helper()
	stored := make(map[pypi.Name]int64)
	var read int64
	end := len(j.rows) + 1000
	for tick := step; ; tick = min(tick+step, end) {
		changes, last := j.since(r, Window(read, overlap), tick)
		pages := j.pages(tick)
		for name, serial := range Told(changes) {
			if !Due(stored[name], serial) {
				continue
			}
			if pages[name] < serial || pages[name] <= stored[name] {
				t.Fatalf("%s at %d was not worth a look: stored %d, page %d", name, serial, stored[name], pages[name])
			}
			stored[name] = pages[name]
		}
		read = max(read, last)
		if tick == end {
			break
		}
	}
	for name, serial := range j.pages(end) {
		if stored[name] < serial {
			lost++
		}
	}
	return lost
}

// TestNoChangeIsLost follows 100,000 changes. Without a window some are lost,
// which shows that the test would notice.
func TestNoChangeIsLost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	j := newJournal(r, 20_000, 100_000, 400)
	if lost := follow(t, j, r, 5000, 2000); lost > 0 {
		t.Errorf("%d projects are behind", lost)
	}
	if lost := follow(t, j, r, 200_000, 0); lost > 0 {
		t.Errorf("%d projects are behind after one look at everything", lost)
	}
	if lost := follow(t, j, r, 5000, 0); lost == 0 {
		t.Error("nothing was lost without a window: the test is blind")
	}
}

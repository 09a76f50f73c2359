package plan

import (
	"cmp"
	"hash/fnv"
	"io"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
)

const (
	// FewPages is how many pages are asked for in every pass where no feed tells
	// of changes: a few hundred kilobytes. Of more, each pass asks for a share.
	FewPages = 200
	// AskEvery is within which time each page is asked for where they are many.
	AskEvery = 24 * time.Hour
	// SweepEvery is the longest that a page is believed on a feed's word alone: not
	// every change is told there (a project that is archived, for one).
	SweepEvery = 7 * 24 * time.Hour
	// askCost is about what a conditional request and its 304 cost, in bytes.
	askCost = 1 << 10
)

// Page is a page that is stored, and when it was last asked for; zero: not known.
type Page struct {
	Name  pypi.Name
	Asked time.Time
}

// Share picks the pages that a pass asks for where no feed tells of changes, when
// passes are interval apart: all while they are few, else those that were asked
// for longest ago, so many that each is asked for once in AskEvery. What was asked
// for so lately that the pass after this one is early enough is left out, for not
// every pass comes at its time. Among equals a hash of the name decides, so that
// what came in one go is asked for in another order. The slice is reordered.
func Share(pages []Page, now time.Time, interval time.Duration) []Page {
	most := PerPass(len(pages), interval)
	if most == len(pages) {
		return pages
	}
	due := pages[:0]
	for _, p := range pages {
		if age := now.Sub(p.Asked); age < 0 || age >= AskEvery-interval {
			if age < 0 {
				p.Asked = time.Time{} // by a clock that was ahead
			}
			due = append(due, p)
		}
	}
	if len(due) <= most {
		return due
	}
	slices.SortFunc(due, func(a, b Page) int {
		return cmp.Or(a.Asked.Compare(b.Asked), cmp.Compare(spread(a.Name), spread(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return due[:most]
}

// PerPass is how many of so many pages a pass asks for where no feed tells of
// changes, when passes are interval apart.
func PerPass(pages int, interval time.Duration) int {
	if pages <= FewPages || interval >= AskEvery {
		return pages
	}
	return max(FewPages, int((int64(pages)*int64(interval)+int64(AskEvery)-1)/int64(AskEvery)))
}

// Swept tells whether a page that a feed vouches for is to be asked for all the
// same: each has a moment of its own in every SweepEvery, given by its name, so
// that what came in one go is not swept in one go.
func Swept(name pypi.Name, asked, now time.Time) bool {
	if asked.IsZero() || asked.After(now) {
		return true
	}
	period := int64(SweepEvery / time.Second)
	phase := int64(spread(name) % uint64(period))
	round := func(t time.Time) int64 { return (t.Unix() + phase) / period }
	return round(now) != round(asked)
}

// ListWorth is the most bytes that a root list with serials may cost in a pass that
// would ask for so many pages without it: what these would cost. A list of PyPI's
// size pays for ten thousand pages, one of a small index for a dozen.
func ListWorth(pages int) int64 { return int64(pages) * askCost }

// spread is a stable number for a name, evenly spread.
func spread(name pypi.Name) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, string(name)) // a hash takes everything
	// The last letters of a name reach only the low bits: mix (splitmix64).
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

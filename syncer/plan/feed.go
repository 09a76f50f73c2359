package plan

import (
	"iter"
	"slices"
	"strings"

	"cheeseboard/storage/pypi"
)

// Window is the serial after which a change feed is read again: overlap serials
// before the last one that was read. A row can turn up late, behind rows with
// higher serials, because an index gives a serial out before it commits the
// change.
func Window(last, overlap int64) int64 { return max(0, last-max(0, overlap)) }

// SetBack tells whether an index no longer knows the serial up to which its feed
// was read: it was restored from a backup, or it is another index. Its serials
// say nothing then, and everything has to be looked at.
func SetBack(read, last int64) bool { return last < read }

// Due tells whether a page that is stored with one serial is to be looked at
// when the index tells of another. A page without a serial (0) is due at any
// serial; an index that states none (0) says nothing.
func Due(stored, told int64) bool { return told > stored }

// Looks are the projects that a feed gives reason to look at, each once, by name.
type Looks struct {
	Due     []pypi.ListEntry // known, and changed since; the serial is the one to expect of the page
	Unknown []pypi.ListEntry // changed, and not among the known
}

// Diff compares what is known, each project with the serial of its stored page,
// with what changed. Order plays no part on either side, and neither does a
// change that comes twice: the highest serial of a project counts. It holds the
// changes, and of the known projects only those that changed.
func Diff(known iter.Seq2[pypi.Name, int64], changes []pypi.ListEntry) Looks {
	told := make(map[pypi.Name]int64, len(changes))
	for _, c := range changes {
		told[c.Name] = max(told[c.Name], c.Serial)
	}
	var looks Looks
	for name, stored := range known {
		serial, changed := told[name]
		if !changed {
			continue
		}
		delete(told, name)
		if Due(stored, serial) {
			looks.Due = append(looks.Due, pypi.ListEntry{Name: name, Serial: serial})
		}
	}
	for name, serial := range told {
		looks.Unknown = append(looks.Unknown, pypi.ListEntry{Name: name, Serial: serial})
	}
	byName := func(a, b pypi.ListEntry) int { return strings.Compare(string(a.Name), string(b.Name)) }
	slices.SortFunc(looks.Due, byName)
	slices.SortFunc(looks.Unknown, byName)
	return looks
}

package plan

import "cheeseboard/storage/pypi"

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

// Told gathers what a feed tells: of each project the highest serial. Order plays
// no part, and neither does a change that comes twice.
func Told(changes []pypi.ListEntry) map[pypi.Name]int64 {
	told := make(map[pypi.Name]int64, len(changes))
	for _, c := range changes {
		told[c.Name] = max(told[c.Name], c.Serial)
	}
	return told
}

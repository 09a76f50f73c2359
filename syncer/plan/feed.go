package plan

import (
	"time"

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

// Told gathers what a feed tells: of each project the highest serial. Order plays
// no part, and neither does a change that comes twice.
func Told(changes []pypi.ListEntry) map[pypi.Name]int64 {
	told := make(map[pypi.Name]int64, len(changes))
	for _, c := range changes {
		told[c.Name] = max(told[c.Name], c.Serial)
	}
	return told
}

// Cursor is how far a change feed has been followed.
type Cursor struct {
	// Serial is up to where everything has been looked at, or is noted as trouble.
	Serial int64 `json:"serial"`
	// Settled is up to where nothing new can turn up: where the next reading begins.
	Settled int64 `json:"settled,omitempty"`
	// At is when Serial was first the last one.
	At time.Time `json:"at,omitzero"`
}

// Settle is how long after a serial was given out a change with a lower one can
// turn up: an index gives the serial out before it commits the change.
const Settle = 30 * time.Minute

// From is the serial after which the feed is read next: overlap serials before
// the last one, or less where an earlier reading has been through these.
func (c Cursor) From(overlap int64) int64 {
	return min(c.Serial, max(c.Settled, Window(c.Serial, overlap)))
}

// Read is the cursor after a reading at now that began at From and reached last.
func (c Cursor) Read(last int64, now time.Time) Cursor {
	next := c
	if since := now.Sub(c.At); !c.At.IsZero() && since >= Settle {
		next.Settled = c.Serial
	}
	if last != c.Serial || c.At.IsZero() || now.Before(c.At) {
		next.Serial, next.At = last, now
	}
	return next
}

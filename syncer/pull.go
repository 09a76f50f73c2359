package syncer

import (
	"time"

	"cheeseboard/syncer/wire"
)

// Pulling through: what clients ask for and is not here is fetched while they
// wait, pages in page.go, files in file.go.

const (
	// patience is the longest that a client waits for something that is not
	// here while the upstream shows signs of life. pip gives up after 15 s.
	patience = 12 * time.Second
	// comeBack is what a client is told whose wish is still being fetched; pip
	// waits it out exactly, five times.
	comeBack = 3 * time.Second
	// pulseAfter is how long a sign of life from the upstream counts.
	pulseAfter = 5 * time.Second
	// maxAbsent bounds the names that are remembered as unknown to the upstream.
	maxAbsent = 10_000
)

// Absent says that a project or file cannot be given now.
type Absent struct {
	Reason     string        // a sentence for people
	RetryAfter time.Duration // > 0: it is being fetched, come back then
}

func (a *Absent) Error() string { return a.Reason }

// transient tells whether asking again soon may help.
func transient(err error) bool {
	switch wire.CauseOf(err) {
	case wire.Busy, wire.Broken, wire.Cut, wire.Stalled:
		return true
	}
	return false
}

package demo

import (
	"slices"
	"time"
)

// leastCuts is from when on a line counts as one that breaks again and again.
const leastCuts = 24

// measured is what was seen in one run.
type measured struct {
	largeSize int64         // bytes of the large file
	stopped   bool          // the box was stopped before its pass was through
	partial   int64         // bytes of the large file that were here when it was opened again
	wentOnAt  int64         // first byte that it asked for then
	answers   []answer      // about the large file
	received  int64         // bytes over the line, of both passes, headers and pages included
	kept      int64         // bytes of files and metadata in the store
	files     int           // distributions in the store
	took      time.Duration // both passes

	indexOff     bool // the index could not be reached after it was switched off
	before       int  // requests that the index had received until then
	deadRequests int  // and after

	requests  int // that pip sent to the box
	failed    int // of them, those with a status from 400 on
	installed []string
	imported  string // the version that the large module says it has

	verified bool // verify came to its end
	blobs    int  // that it hashed
	faults   int
}

// ratio is the bytes over the line for each byte that is kept.
func (m *measured) ratio() float64 { return float64(m.received) / float64(max(m.kept, 1)) }

// claim is one thing that the demo shows.
type claim struct {
	text  string
	holds bool
}

// claims says what was to be shown, and whether it was.
func (m *measured) claims() []claim {
	return []claim{
		{"the line was cut dozens of times", cuts(m.answers) >= leastCuts},
		{"the box was stopped in mid-download", m.stopped && m.partial > 0 && m.partial < m.largeSize},
		{"it went on where it had stopped", m.wentOnAt == m.partial},
		{"no byte crossed the line twice but those under way at the stop", resent(m.answers) <= cutEvery},
		{"the large file is whole", len(m.answers) > 0 && ends(m.answers) == m.largeSize},
		{"the line carried less than a tenth more than what is kept", m.kept >= m.largeSize && m.ratio() >= 1 && m.ratio() < 1.1},
		{"the index was off", m.indexOff},
		{"pip installed the selection from the box", slices.Contains(m.installed, "cheeseplate") && slices.Contains(m.installed, largeModule)},
		{"the box answered each request of pip's", m.requests >= len(m.installed) && m.requests > 0 && m.failed == 0},
		{"the index received no request after it was switched off", m.deadRequests == 0},
		{"what was installed can be imported", m.imported == largeVersion},
		{"verify found the store sound", m.verified && m.blobs >= m.files && m.files > 0 && m.faults == 0},
	}
}

// ends is the byte behind the last one that was sent.
func ends(answers []answer) int64 {
	last := answers[len(answers)-1]
	return last.start + last.sent
}

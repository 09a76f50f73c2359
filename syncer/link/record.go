package link

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Event is a change of the state, as it is kept. Durations between events of one
// boot come from Mono, never from Wall: a board without a battery sets its clock
// after it has started. Between two boots nothing was observed.
//
// An outage is a run of events whose State is an Outage, together with an Unsure
// right before it; it begins at Since of the first of them. An Unsure that Well
// follows was one failure, and none.
type Event struct {
	Boot  string        `json:"boot"`  // the boot id
	Mono  time.Duration `json:"mono"`  // since that boot, when it was judged so
	Since time.Duration `json:"since"` // since that boot, when the state began
	Wall  time.Time     `json:"wall"`  // what the clock showed at Mono
	From  State         `json:"from"`
	State State         `json:"state"`
	Cause string        `json:"cause,omitempty"`
	// Guessed: the clock was not verified at Mono, so Wall is what it showed and no more.
	Guessed bool `json:"guessed,omitempty"`
}

// Restamp gives events, the oldest first, that were noted while the clock was not
// verified the time that a verified one would have shown: by a later event of the same
// boot, or by now, of which Boot, Mono and Wall count, and which is Guessed where the
// clock is still not verified. What neither tells stays Guessed. The events are changed
// in place.
func Restamp(events []Event, now Event) {
	known := make(map[string]time.Time) // when each boot was, by the first reliable event behind
	if !now.Guessed {
		known[now.Boot] = now.Wall.Add(-now.Mono)
	}
	for i := len(events) - 1; i >= 0; i-- {
		e := &events[i]
		if !e.Guessed {
			known[e.Boot] = e.Wall.Add(-e.Mono)
		} else if at, ok := known[e.Boot]; ok {
			e.Wall, e.Guessed = at.Add(e.Mono), false
		}
	}
}

// Now is a moment of this boot as an event without any news, for Restamp.
func (b Boot) Now(now time.Time) Event {
	return Event{Boot: b.ID, Mono: now.Sub(b.At), Wall: now.Round(0)}
}

// Recorder keeps events.
type Recorder interface {
	// Record takes the events one after another, in their order, never two at
	// once. It may be slow: nobody who asks for the verdict waits for it. Whether
	// the event is durable when it returns is the Recorder's business, and so is
	// an error: a line that flaps brings two events a few seconds apart, and a
	// card wears out.
	Record(Event)
}

// Boot is when the machine was started, for durations that hold over a restart of
// the program.
type Boot struct {
	ID string    // random at each boot
	At time.Time // with a reading of the monotonic clock
}

// ReadBoot reads the boot id and the up-time of the machine from below root. Where
// there is no /proc, the program's start stands for the boot.
func ReadBoot(root string) Boot {
	now := time.Now()
	id, errID := os.ReadFile(filepath.Join(root, "proc/sys/kernel/random/boot_id"))
	up, errUp := os.ReadFile(filepath.Join(root, "proc/uptime"))
	first, _, _ := strings.Cut(string(up), " ")
	seconds, errNumber := strconv.ParseFloat(strings.TrimSpace(first), 64)
	name := strings.TrimSpace(string(id))
	if errID != nil || errUp != nil || errNumber != nil || name == "" || !(seconds >= 0 && seconds < 1e9) {
		return Boot{ID: rand.Text(), At: now}
	}
	return Boot{ID: name, At: now.Add(-time.Duration(seconds * float64(time.Second)))}
}

// event makes the record of a change, at the time now.
func (b Boot) event(from, to Machine, now time.Time) Event {
	return Event{
		Boot: b.ID, Mono: now.Sub(b.At), Since: to.since.Sub(b.At), Wall: now.Round(0),
		From: from.state, State: to.state, Cause: to.cause(),
	}
}

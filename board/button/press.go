// Package button makes presses of what a push-button does: contacts that bounce, long
// and short presses, and one in between that was a mistake.
package button

import (
	"fmt"
	"time"
)

// Press is what somebody did with the button.
type Press int

// The presses. What fits none of them is none: a press of two seconds, three short
// ones, or one of more than 25 seconds.
const (
	None   Press = iota
	Once         // one short press
	Twice        // two short ones
	Hold5        // held for 5 s
	Hold15       // held for 15 s
)

// String names the press, for the log.
func (p Press) String() string {
	switch p {
	case None:
		return "no press"
	case Once:
		return "one short press"
	case Twice:
		return "two short presses"
	case Hold5:
		return "held for 5 s"
	case Hold15:
		return "held for 15 s"
	}
	return fmt.Sprintf("press %d", int(p))
}

const (
	// Settle is how long a contact must keep still to be believed.
	Settle = 30 * time.Millisecond
	// Short is the longest that a short press is held.
	Short = 1500 * time.Millisecond
	// Pair is the longest time between the two presses of a pair.
	Pair = 500 * time.Millisecond
)

// thresholds are the moments of a press that is held at which it comes to mean
// something else. The last one takes it back.
var thresholds = []struct {
	after time.Duration
	means Press
}{{5 * time.Second, Hold5}, {15 * time.Second, Hold15}, {25 * time.Second, None}}

// Event is a threshold that was passed, or a press that is complete.
type Event struct {
	Mark  int // 1, 2 or 3: held for 5, 15 or 25 s; 0: it is a press
	Press Press
}

// Recogniser makes events of what is seen of a line. It does nothing by itself and
// reads no clock: it is told moments, which must not go back. The zero value has a
// button that is not pressed.
type Recogniser struct {
	pressed bool // as it is believed
	raw     bool // as it was seen last
	since   time.Time
	at      time.Time // when it was believed to be pressed, or let go
	marked  int       // thresholds that this press has passed
	shorts  int       // short presses that wait to be a pair
}

// See tells what the line shows at a moment. edge: it has changed in between, although
// it may show the same as before.
func (r *Recogniser) See(at time.Time, pressed, edge bool) []Event {
	events := r.Tick(at)
	if pressed != r.raw || edge {
		r.raw, r.since = pressed, at
	}
	return events
}

// Tick tells that time has passed.
func (r *Recogniser) Tick(at time.Time) []Event {
	var events []Event
	if r.raw != r.pressed && at.Sub(r.since) >= Settle {
		// Believed from when it began to keep still.
		events = r.pass(r.since, events)
		events = r.turn(events)
	}
	return r.pass(at, events)
}

// pass lets time go by without the button being moved.
func (r *Recogniser) pass(at time.Time, events []Event) []Event {
	held := at.Sub(r.at)
	if !r.pressed {
		if r.shorts > 0 && held >= Pair && r.raw == r.pressed {
			events = append(events, Event{Press: pairs(r.shorts)})
			r.shorts = 0
		}
		return events
	}
	for r.marked < len(thresholds) && held >= thresholds[r.marked].after {
		r.marked++
		r.shorts = 0
		events = append(events, Event{Mark: r.marked})
	}
	return events
}

// turn believes that the button was pressed, or let go.
func (r *Recogniser) turn(events []Event) []Event {
	held := r.since.Sub(r.at)
	r.pressed, r.at = r.raw, r.since
	switch {
	case r.pressed:
		r.marked = 0
	case r.marked > 0:
		if means := thresholds[r.marked-1].means; means != None {
			events = append(events, Event{Press: means})
		}
	case held <= Short:
		r.shorts++
	default:
		r.shorts = 0 // a mistake, or a change of mind
	}
	return events
}

// pairs is what a number of short presses means.
func pairs(n int) Press {
	switch n {
	case 1:
		return Once
	case 2:
		return Twice
	}
	return None
}

// Next is the moment at which Tick has something to say if the line does not change;
// zero for never.
func (r *Recogniser) Next() time.Time {
	switch {
	case r.raw != r.pressed:
		return r.since.Add(Settle)
	case r.pressed && r.marked < len(thresholds):
		return r.at.Add(thresholds[r.marked].after)
	case !r.pressed && r.shorts > 0:
		return r.at.Add(Pair)
	}
	return time.Time{}
}

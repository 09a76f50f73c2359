// Package led says with a light how the box is. The vocabulary is one table, from
// which the light, the page, the printed sheet and `cheeseboard led` are drawn alike:
// the rhythm carries the meaning, and colour only adds to it.
//
// The program drives the rhythm itself, so that one that hangs looks different: the
// light then stays as it is.
package led

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// State is what the light says of the box.
type State int

// The states, the most urgent first: of several that hold, the first is shown.
const (
	CannotServe State = iota // no store, a disk that became read-only, or gives errors
	Wait                     // the power must stay on: start, move, shutdown
	Identify                 // somebody asked which box this is
	Attention                // a person should act soon
	Syncing                  // something is brought in
	Unreachable              // the upstream is not reached; what is here is served
	Healthy                  // all well
	Safe                     // nothing is being written any more
	Dead                     // the program ended without having closed its store
)

// Step is a part of a timeline: lit or dark for a while.
type Step struct {
	On  bool
	For time.Duration // 0: for good; then it is the only step
}

// Timeline is played over and over.
type Timeline struct {
	Steps  []Step
	Colour Colour // of a light that has colours
}

// Meaning is a row of the legend.
type Meaning struct {
	State    State
	Name     string // one word, for machines
	Rhythm   string // what is to be seen on a single light, for people
	Sentence string // what it means, and what is to be done, for people
	Timeline Timeline
}

// Of a flash, and of the darkness between two of a group. Three flashes a second are
// the most that is shown, for the sake of people whom flicker makes ill.
const (
	short = 150 * time.Millisecond
	gap   = 200 * time.Millisecond
	wink  = 50 * time.Millisecond
)

// table is the vocabulary, the most urgent state first.
var table = []Meaning{
	{CannotServe, "cannot-serve", "5 short flashes, then 2 s dark",
		"It cannot serve, or its disk became read-only or gives errors. Look at the page or the console, which name the cause.",
		Timeline{flashes(5, 2*time.Second), Amber}},
	{Wait, "wait", "evenly on and off, fast (0.2 s each)",
		"Wait, and do not unplug: it starts, moves its data, or shuts down.",
		Timeline{even(200 * time.Millisecond), White}},
	{Identify, "identify", "one long flash, two short ones",
		"This is the box that you asked for. It says so for a minute.",
		Timeline{append([]Step{{true, 800 * time.Millisecond}, {false, 300 * time.Millisecond}}, flashes(2, time.Second)...), Blue}},
	{Attention, "attention", "2 short flashes, then 1.6 s dark",
		"It serves, and somebody should look soon: the disk fills up, the power supply is weak, or the clock cannot be trusted. The page names the cause.",
		Timeline{flashes(2, 1600*time.Millisecond), Amber}},
	{Syncing, "syncing", "1 s on, 1 s off",
		"It is bringing packages in.",
		Timeline{even(time.Second), Blue}},
	{Unreachable, "unreachable", "on, going out twice for a moment every 4 s",
		"The internet, or the index there, is not reached. What is here is served.",
		Timeline{[]Step{{true, 3600 * time.Millisecond}, {false, wink}, {true, 300 * time.Millisecond}, {false, wink}}, Blue}},
	{Healthy, "healthy", "on, going out for a moment every 4 s",
		"All is well.",
		Timeline{[]Step{{true, 4*time.Second - wink}, {false, wink}}, Blue}},
	{Safe, "safe", "off",
		"It is safe to unplug. If the power light is off too, there is no power.",
		Timeline{[]Step{{false, 0}}, Off}},
	{Dead, "dead", "on, and never going out",
		"The program has stopped or hangs. Wait a minute: it may start again by itself. Then switch the box off and on.",
		Timeline{[]Step{{true, 0}}, White}},
}

// flashes are n short ones, and the darkness behind them.
func flashes(n int, pause time.Duration) []Step {
	var steps []Step
	for range n {
		steps = append(steps, Step{true, short}, Step{false, gap})
	}
	steps[len(steps)-1].For = pause
	return steps
}

func even(each time.Duration) []Step { return []Step{{true, each}, {false, each}} }

// Legend gives the vocabulary, the most urgent state first. The caller may change it.
func Legend() []Meaning {
	rows := slices.Clone(table)
	for i := range rows {
		rows[i].Timeline.Steps = slices.Clone(rows[i].Timeline.Steps)
	}
	return rows
}

// Pattern is how a state is drawn. Nobody may change its steps.
func Pattern(s State) Timeline {
	for _, m := range table {
		if m.State == s {
			return m.Timeline
		}
	}
	return Pattern(Dead) // a state that there is not is a bug
}

// Highest is the most urgent of several states; Healthy where there are none.
func Highest(states ...State) State {
	if len(states) == 0 {
		return Healthy
	}
	return slices.MinFunc(states, func(a, b State) int { return cmp.Compare(a, b) })
}

// String is the state's name.
func (s State) String() string {
	for _, m := range table {
		if m.State == s {
			return m.Name
		}
	}
	return fmt.Sprintf("state %d", int(s))
}

// MarshalText gives String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Colour is which of three lights are lit.
type Colour uint8

// The colours of a light that has them.
const (
	Off   Colour = 0
	Red   Colour = 1
	Green Colour = 2
	Blue  Colour = 4
	Amber        = Red | Green
	White        = Red | Green | Blue
)

// String names the colours of the table.
func (c Colour) String() string {
	switch c {
	case Off:
		return "off"
	case Blue:
		return "blue"
	case Amber:
		return "amber"
	case White:
		return "white"
	}
	return fmt.Sprintf("colour %d", uint8(c))
}

// MarshalText gives String.
func (c Colour) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

package clock

import (
	"fmt"
	"time"
)

// Source says where a time comes from, the least sure first.
type Source uint8

// The sources: the ladder, from its foot.
const (
	Unknown Source = iota // nobody has said anything
	Floor                 // the later of build time and saved time: it is later than that
	Person                // somebody has said so, at a browser or at the console
	HTTP                  // the Date of several hosts
	Lone                  // one time server, which nobody confirms
	NTP                   // several time servers
	Machine               // the machine: a clock that runs while it is off, or the host of a guest
	Kept                  // another program keeps the clock
	sources
)

// The names stand in JSON: they must not change.
var sourceNames = [sources]string{"unknown", "floor", "person", "http", "lone", "ntp", "machine", "kept"}

// String is the source's name.
func (s Source) String() string {
	if s < sources {
		return sourceNames[s]
	}
	return fmt.Sprintf("Source(%d)", uint8(s))
}

// MarshalText gives String.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText gave.
func (s *Source) UnmarshalText(text []byte) error {
	for i, name := range sourceNames {
		if name == string(text) {
			*s = Source(i)
			return nil
		}
	}
	return fmt.Errorf("parse source of the time: there is none called %q", text)
}

// phrase is how a source is told to people.
func (s Source) phrase() string {
	switch s {
	case Floor:
		return "what this box remembers"
	case Person:
		return "what a person said"
	case HTTP:
		return "several web servers"
	case Lone:
		return "one time server"
	case NTP:
		return "time servers"
	case Machine:
		return "the machine"
	case Kept:
		return "the program that keeps this machine's clock"
	}
	return "nobody"
}

// near is how far behind the clock may be before it is worth a step. A Date counts
// in seconds, and what a person sends has been on its way for some.
func (s Source) near() time.Duration {
	switch s {
	case NTP, Lone:
		return 250 * time.Millisecond
	case Floor:
		return time.Second
	case HTTP:
		return 3 * time.Second
	}
	return 10 * time.Second
}

const (
	// Enough is how far from the truth a clock may be that is taken for right where it
	// cannot be mended: certificates, windows of the day and records mind no more.
	Enough = 5 * time.Minute
	// leap is how far a clock that time servers have verified can be off at the next
	// look; who says that it is farther is wrong.
	leap = 10 * time.Minute
	// stride is how far ahead of the clock a time may be that only web servers or one
	// time server tell. They may be one machine, a gateway that answers for all hosts.
	stride = 365 * 24 * time.Hour
	// horizon is how long after the program was made a time is believed.
	horizon = 20 * 365 * 24 * time.Hour
)

// State is what is known of the clock, as a value: Next gives the one that follows.
// The zero value knows nothing. It does no I/O and has no clock.
type State struct {
	Source   Source
	Verified bool
	// Off is how far the clock is ahead of what the source says, or with a minus sign
	// behind it, where that is too far and could not be mended; else 0.
	Off time.Duration
	// Stuck says why the clock could not be set; "" where it could, or need not be.
	Stuck string
}

// Offer is a time that a source has given.
type Offer struct {
	Source Source
	Time   time.Time // the true time now, as far as the source knows; of Machine and Kept nothing
}

// RefusedError says why an offer was not taken.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// Next weighs an offer against the clock, which shows now. built is when the program
// was made. set is the time to set the clock to, always later than now; zero where it
// is to stay. A *RefusedError leaves the state as it is.
func (s State) Next(o Offer, now, built time.Time) (next State, set time.Time, err error) {
	if o.Source == Machine || o.Source == Kept {
		if s.Verified && s.Source > o.Source {
			return s, time.Time{}, nil
		}
		return State{Source: o.Source, Verified: true}, time.Time{}, nil
	}
	ahead := now.Round(0).Sub(o.Time.Round(0)) // by the calendar: the monotonic clock knows of no step
	switch {
	case o.Time.Before(built):
		return s, time.Time{}, refused("%s is before this program was made (%s)", o.Time.UTC().Format(time.DateTime), built.UTC().Format(time.DateOnly))
	case o.Time.Sub(built) > horizon:
		return s, time.Time{}, refused("%s lies too far in the future to be believed", o.Time.UTC().Format(time.DateTime))
	case s.Verified && s.Source > o.Source && (s.Source != NTP || o.Source != Lone):
		return s, time.Time{}, refused("the clock is right already, by %s", s.Source.phrase())
	case s.Verified && s.Source >= Lone && s.Source >= o.Source && (ahead > leap || ahead < -leap):
		return s, time.Time{}, refused("a clock that was right lately cannot be off by %s", span(max(ahead, -ahead)))
	case (o.Source == HTTP || o.Source == Lone) && ahead < -stride:
		return s, time.Time{}, refused("a time %s ahead is believed of several time servers or a person, not of %s", span(-ahead), o.Source.phrase())
	}
	next = State{Source: o.Source, Verified: o.Source != Floor}
	switch {
	case ahead < -o.Source.near():
		return next, o.Time, nil
	case o.Source == Floor:
		return s, time.Time{}, nil // it is later than that already, which says nothing
	case ahead > Enough:
		// Never backward: what was written since would seem to come from the future.
		next.Verified, next.Off = false, ahead
	}
	return next, time.Time{}, nil
}

// Unset is the state that follows where the clock could not be set to what Next gave.
func (s State) Unset(set, now time.Time, err error) State {
	behind := set.Round(0).Sub(now.Round(0))
	s.Stuck = err.Error()
	if behind > Enough || s.Source == Floor {
		s.Verified, s.Off = false, -behind
	}
	return s
}

func refused(format string, args ...any) error {
	return &RefusedError{fmt.Sprintf(format, args...)}
}

// Sentence tells people how the clock is, which shows now.
func (s State) Sentence(now time.Time) string {
	shows := "it shows " + now.Format("2 January 2006 15:04")
	switch {
	case s.Verified:
		return "The clock is right by " + s.Source.phrase() + "."
	case s.Off > 0:
		return fmt.Sprintf("The clock of this box is %s ahead of %s: %s, and is never set back.", span(s.Off), s.Source.phrase(), shows)
	case s.Off < 0:
		return fmt.Sprintf("The clock of this box is %s behind %s: %s, and cannot be set (%s).", span(-s.Off), s.Source.phrase(), shows, s.Stuck)
	}
	return "The clock of this box is not verified: " + shows + "."
}

// Action is the one next thing that a person can do; "" where there is none.
func (s State) Action() string {
	switch {
	case s.Verified:
		return ""
	case s.Off > 0 && s.Source != NTP && s.Source != Person:
		// What is written down follows only those two.
		return "tell the time at /admin/, then set the clock of the machine by hand (date -s), then start the program again"
	case s.Off > 0:
		return "set the clock of the machine by hand (date -s), then start the program again"
	case s.Off < 0:
		return "set the clock of the machine by hand (date -s), or let the program set it (CAP_SYS_TIME)"
	}
	return "set the clock from a browser at /admin/, or connect the box to its line"
}

// span tells a duration in the one unit that suits it.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d < 2*365*24*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return fmt.Sprintf("%d years", d/(365*24*time.Hour))
}

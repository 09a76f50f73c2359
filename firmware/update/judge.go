package update

import (
	"fmt"
	"time"
)

// Baseline is what the version before had when it handed over: a new version is not
// asked for more. A box that never has a network can be updated from a stick.
type Baseline struct {
	Healthy bool `json:"healthy"`
	Network bool `json:"network"`
}

// Policy bounds a trial. A zero field means the default. In JSON, durations
// are nanoseconds.
type Policy struct {
	Hold     time.Duration `json:"hold,omitempty"`     // how long all has to be well for the commit; 1 minute
	Patience time.Duration `json:"patience,omitempty"` // how long it may be unwell at a stretch once it was ready; 4 minutes
	Deadline time.Duration `json:"deadline,omitempty"` // from the start of the machine; 15 minutes
	Restarts int           `json:"restarts,omitempty"` // so many ends of the program are a crash loop; 3
}

func (p Policy) withDefaults() Policy {
	if p.Hold == 0 {
		p.Hold = time.Minute
	}
	if p.Patience == 0 {
		p.Patience = 4 * time.Minute
	}
	if p.Deadline == 0 {
		p.Deadline = 15 * time.Minute
	}
	if p.Restarts == 0 {
		p.Restarts = 3
	}
	return p
}

// Signs are what init sees of the machine at a moment.
type Signs struct {
	Up       time.Duration // since the kernel started: a clock that is never set
	Ready    bool          // the program that runs now has said that it is ready
	Healthy  bool          // its verdict is at hand, and is not "failed"
	Health   string        // the verdict's sentence; "" where there is none
	Network  bool          // an interface has an address that others gave, or the settings
	Restarts int           // how often the program ended since the machine started
	Ended    string        // how it ended last
}

// Baseline is what a running version hands over to the next one.
func (s Signs) Baseline() Baseline {
	return Baseline{Healthy: s.Ready && s.Healthy, Network: s.Network}
}

// Decision is what a trial comes to.
type Decision int

// The decisions.
const (
	Wait     Decision = iota
	Commit            // make the slot the default
	Rollback          // restart plainly, which leads back
)

// Verdict is a decision, and why.
type Verdict struct {
	Decision Decision
	// Text says of Wait what is still missing ("" while the good state only has to
	// last), of Rollback the reason; sentences without a capital and a full stop.
	Text string
	Left time.Duration // of Wait: until the deadline
}

// Trial is the state of a judgement between two looks. The zero value is that of a
// machine that has just started.
type Trial struct {
	ready      bool          // it was ready once
	wellSince  time.Duration // valid with well
	illSince   time.Duration // valid without
	well, seen bool
}

// Next takes one look, and is pure: the same looks give the same judgement. Looks
// that are far apart count as one moment each, so that a pause of the whole machine
// is neither health nor illness.
func (t Trial) Next(p Policy, base Baseline, s Signs) (Trial, Verdict) {
	p = p.withDefaults()
	missing := missing(base, s)
	well := missing == ""
	if !t.seen || well != t.well || s.Ready && !t.ready {
		t.wellSince, t.illSince = s.Up, s.Up // a start that takes long is no illness
	}
	t.seen, t.well, t.ready = true, well, t.ready || s.Ready
	switch {
	case s.Restarts >= p.Restarts:
		return t, Verdict{Decision: Rollback, Text: fmt.Sprintf("the program ended %d times in %s, last with: %s", s.Restarts, s.Up.Round(time.Second), s.Ended)}
	case well && s.Up-t.wellSince >= p.Hold:
		return t, Verdict{Decision: Commit}
	case s.Up >= p.Deadline && well:
		return t, Verdict{Decision: Rollback, Text: fmt.Sprintf("it was not well for %s at a stretch within %s", p.Hold, p.Deadline)}
	case s.Up >= p.Deadline:
		return t, Verdict{Decision: Rollback, Text: fmt.Sprintf("after %s %s", p.Deadline, missing)}
	case !well && t.ready && s.Up-t.illSince >= p.Patience:
		return t, Verdict{Decision: Rollback, Text: fmt.Sprintf("for %s %s", p.Patience, missing)}
	}
	return t, Verdict{Text: missing, Left: p.Deadline - s.Up}
}

// missing says what is not as well as it was before; "" for nothing.
func missing(base Baseline, s Signs) string {
	switch {
	case !s.Ready && s.Restarts > 0:
		return fmt.Sprintf("the program was not ready; it ended %d times, last with: %s", s.Restarts, s.Ended)
	case !s.Ready:
		return "the program was not ready"
	case base.Network && !s.Network:
		return "there was no network, which the version before had"
	case base.Healthy && !s.Healthy && s.Health != "":
		return "the box was not well: " + s.Health
	case base.Healthy && !s.Healthy:
		return "the program did not say how it is"
	}
	return ""
}

package link

import (
	"fmt"
	"time"
)

// State says whose fault it is.
type State uint8

// The states, in the order of their precedence: where several hold, the last one
// is told, because nothing behind it can be known or mended before it is.
const (
	Unknown      State = iota // nothing has been asked yet
	Well                      // the last request worked
	Slow                      // it works, but slowly
	Unsure                    // one failure, which may be chance
	FilesDown                 // the host of the files does not answer; the index does
	UpstreamDown              // the index does not answer
	ClockWrong                // certificates are refused because of our clock
	NoNames                   // DNS gives no answer
	Portal                    // the network answers itself and wants a login
	NoRoute                   // no gateway leads out of the network
	NoCarrier                 // the cable is unplugged, or the Wi-Fi out of reach
	stateCount
)

// The names stand in records: they must not change.
var stateNames = [stateCount]string{
	Unknown: "unknown", Well: "well", Slow: "slow", Unsure: "unsure",
	FilesDown: "files-down", UpstreamDown: "upstream-down", ClockWrong: "clock-wrong",
	NoNames: "no-names", Portal: "portal", NoRoute: "no-route", NoCarrier: "no-carrier",
}

// States lists them all.
func States() []State {
	out := make([]State, stateCount)
	for i := range out {
		out[i] = State(i)
	}
	return out
}

// String is the state's name in records and in JSON.
func (s State) String() string {
	if s < stateCount {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText gives String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText gave.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("parse state of the line: there is none called %q", text)
}

// Up tells whether the upstream can be asked. A single failure is enough for
// false: clients on the LAN must not wait until it is certain.
func (s State) Up() bool { return s < Unsure }

// Outage tells whether the state is one of an outage: two failures in a row, or
// one and a reason that was seen.
func (s State) Outage() bool { return s > Unsure }

// Subject is what an Observation is about.
type Subject uint8

// The subjects. What is seen of the first five explains failures of the last
// two; alone it means nothing, for it may be seen wrongly.
const (
	Nothing Subject = iota // an observation without news
	Carrier                // an interface has a peer
	Route                  // a gateway leads out of the network
	Names                  // DNS answers for the upstream's name
	Passage                // requests reach the upstream: no portal answers in its place
	Clock                  // our clock is plausible
	Index                  // a request to the index
	Files                  // a request to the host of the files
	subjectCount
)

// Known is what a look at one of the first five subjects gave.
type Known uint8

// The answers. The zero value is that it could not be seen.
const (
	CannotTell Known = iota
	Yes
	No
)

// Fault is how a request to the index or to the files ended.
type Fault uint8

// The faults. Status, Odd and Cut are answers of the upstream: nobody waits for
// them, and one of them may be the trouble of one page or file alone. So they, and
// Late, only raise a doubt, which a probe settles. The others are failures at once.
const (
	None        Fault = iota // it worked, or the answer was a plain no (404)
	Status                   // the answer is an error of the server's (5xx)
	Odd                      // the answer breaks the rules: a login page, perhaps
	Cut                      // the connection ended before the answer did
	Late                     // no answer yet, and a client waits no longer
	Unreachable              // no connection
	Lookup                   // the name was not found
	Stalled                  // connected, then silence
	NotYetValid              // the certificate's time has not begun by our clock
	Expired                  // the certificate's time is over by our clock
	Untrusted                // the certificate is not accepted for another reason
	LoginWanted              // a login page of the network came instead
	faultCount
)

// doubt tells whether a request that ended so raises a doubt and no more.
func (f Fault) doubt() bool { return f == Status || f == Odd || f == Cut || f == Late }

// reached tells whether somebody answered, so that cable and gateway are fine.
func (f Fault) reached() bool {
	switch f {
	case Unreachable, Lookup, Stalled, Cut, Late:
		return false
	}
	return true
}

// Observation is what a request or a probe met. The zero value is no news.
type Observation struct {
	About Subject
	Probe bool // a probe saw it, whose business it is to settle doubts

	// Of the first five subjects.
	Known    Known
	Wireless bool // Carrier: there is no socket for a cable, only Wi-Fi

	// Of Index and Files.
	Fault    Fault
	Code     int           // the HTTP status, of a Status fault
	Host     string        // host, or host:port, that was asked
	Base     string        // scheme://host/ that was asked
	Answered time.Duration // from the question to the head of the answer; 0: not measured
	Rate     int64         // bytes per second while a file came; 0: not measured

	Detail string // the error, for those who look closer
}

// Alive tells whether it is a sign of life from the upstream.
func (o Observation) Alive() bool {
	if o.About != Index && o.About != Files {
		return false
	}
	// A probe has no body that could be cut: it got no answer.
	return o.Fault == None || o.Fault == Status || o.Fault == Odd || o.Fault == Cut && !o.Probe
}

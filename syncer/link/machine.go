package link

import (
	"slices"
	"time"
)

// The times by which the machine judges.
const (
	// FirstProbe and LastProbe are the shortest and the longest pause between two
	// probes of a line that is in trouble. Failures that lie closer together than
	// FirstProbe count as one: they are requests that were under way together.
	FirstProbe = 2 * time.Second
	LastProbe  = time.Minute
	// NearProbe is the longest pause while the cable or the gateway is missing: no
	// probe leaves the box then, and whoever plugs the cable in stands before it.
	NearProbe = 5 * time.Second

	// Calm is how long after a probe that found all well doubts are not heeded:
	// one bad page, or a line that cuts each megabyte, must not cost a probe each.
	Calm = time.Minute

	// SlowAnswer and SlowRate are where an answer, or a file, counts as slow. A
	// line of 25 KB/s is what many have, and no fault.
	SlowAnswer = 5 * time.Second
	SlowRate   = 10 << 10 // bytes per second
	// rateHolds is how long a rate stands for the line when no file comes.
	rateHolds = 10 * time.Minute
)

// Machine is the judgement as a value: Next gives the one that follows. The zero
// value knows nothing. It is comparable, does no I/O and has no clock.
type Machine struct {
	state State
	since time.Time // of state
	flip  time.Time // of the last change of state.Up()

	carrier, route, names, passage, clock fact
	wireless                              bool

	heard         bool // a request has worked
	index, files  target
	answer, speed slowness

	pause time.Duration // between the last two probes; 0: none is due
	probe time.Time     // when the next one is due; zero: none is
}

// fact is what is known of one of the first five subjects.
type fact struct {
	no    bool
	since time.Time // of no
	yes   time.Time // when it was last seen to be fine
}

// told adds what was seen. What is first missed in an outage that began at start
// is taken to be missing since then, unless it was seen in between.
func (f fact) told(k Known, start, now time.Time) fact {
	switch {
	case k == Yes:
		return fact{yes: now}
	case k == CannotTell:
		return fact{yes: f.yes} // what was seen once is not seen any more
	case f.no:
		return f
	case !start.IsZero() && f.yes.Before(start):
		return fact{no: true, since: start, yes: f.yes}
	}
	return fact{no: true, since: now, yes: f.yes}
}

// target is what is known of the index, or of the host of the files.
type target struct {
	fault     Fault // None: it works, as far as is known
	code      int
	first     time.Time // the first failure in a row
	confirmed bool      // there was a second one
	doubted   time.Time // since when there is a doubt that a probe has to settle
	settled   time.Time // when a probe last found a doubt to be nothing
	host      string    // that failed, or else worked last
	base      string    // its address
	served    [4]string // hosts that worked, the last one first
	detail    string

	// An index may have no list of projects, or show people a page in its place.
	strange bool // the last probe met an answer that pages would not give
	poor    bool // and yet requests worked: such answers mean nothing here
}

// serves tells whether a host has worked.
func (t target) serves(host string) bool { return slices.Contains(t.served[:], host) }

// worked adds a success. That of another host says nothing of one that fails,
// unless that one never worked: then it was the trouble of its project alone.
func (t target) worked(o Observation, now time.Time) target {
	if !t.serves(o.Host) {
		copy(t.served[1:], t.served[:len(t.served)-1])
		t.served[0] = o.Host
	}
	if o.About == Files && t.fault != None && t.host != o.Host && t.serves(t.host) {
		return t
	}
	next := target{settled: t.settled, host: o.Host, base: o.Base, served: t.served}
	switch {
	case o.Probe && !t.doubted.IsZero():
		next.settled = now
	case !o.Probe && t.strange:
		next.strange, next.poor = true, true
		if !t.poor {
			next.doubted = now // a probe tells whether that was an outage that ended
		}
	}
	return next
}

// met adds how a request ended.
func (t target) met(o Observation, now time.Time) target {
	strange := o.Probe && (o.Fault == Status || o.Fault == Odd || o.Fault == LoginWanted)
	t.strange = t.strange || strange
	switch {
	case o.Fault == None:
		return t.worked(o, now)
	case strange && t.poor:
		settled := t.worked(o, now)
		settled.strange, settled.poor = true, true
		return settled
	case strange && t.fault == None && t.doubted.IsZero() && t.served[0] != "":
		return t
	case o.Fault.doubt() && !o.Probe:
		// Somebody answered. Where a failure stands, plan lets the probe come soon.
		if t.fault == None && t.doubted.IsZero() && (t.settled.IsZero() || now.Sub(t.settled) >= Calm) {
			t.doubted, t.host, t.base = now, o.Host, o.Base
		}
		return t
	case t.fault == None && (o.Fault.doubt() || strange) && !t.doubted.IsZero():
		t.first, t.confirmed = t.doubted, true
	case t.fault == None:
		t.first, t.confirmed = now, false
	case now.Sub(t.first) >= FirstProbe:
		t.confirmed = true
	}
	t.fault, t.code, t.detail, t.doubted = o.Fault, o.Code, o.Detail, time.Time{}
	t.host, t.base = o.Host, o.Base
	return t
}

// away tells whether it fails without anybody answering.
func (t target) away() bool { return t.fault != None && !t.fault.reached() }

// slowness judges one measure of speed: two slow ones in a row count, and one
// that is not slow ends it.
type slowness struct {
	first     time.Time
	last      time.Time
	confirmed bool
	answer    time.Duration // as it was measured last
	rate      int64
}

func (s slowness) measured(slow bool, o Observation, now time.Time) slowness {
	switch {
	case !slow:
		return slowness{}
	case s.first.IsZero():
		s.first = now
	case now.Sub(s.first) >= FirstProbe:
		s.confirmed = true
	}
	s.last, s.answer, s.rate = now, o.Answered, o.Rate
	return s
}

// Next adds an observation, made at the time now.
func (m Machine) Next(o Observation, now time.Time) Machine {
	start, failing := m.start(), m.failing()
	switch o.About {
	case Carrier:
		m.carrier = m.carrier.told(o.Known, start, now)
		m.wireless = o.Wireless
	case Route:
		m.route = m.route.told(o.Known, start, now)
	case Names:
		m.names = m.names.told(o.Known, start, now)
	case Passage:
		m.passage = m.passage.told(o.Known, start, now)
	case Clock:
		m.clock = m.clock.told(o.Known, start, now)
	case Index, Files:
		m = m.request(o, now)
	default:
		return m
	}
	state, since := m.judge(now)
	if state.Up() != m.state.Up() || m.flip.IsZero() && state != Unknown {
		m.flip = now
		if !state.Up() {
			m.flip = since
		}
	}
	if state != m.state {
		m.state, m.since = state, since
	}
	return m.plan(o, m.failing() != failing, now)
}

// failing counts the targets that fail.
func (m Machine) failing() int {
	n := 0
	if m.index.fault != None {
		n++
	}
	if m.files.fault != None {
		n++
	}
	return n
}

// start is when the present trouble began; zero where there is none.
func (m Machine) start() time.Time {
	if m.index.fault != None {
		return m.index.first
	}
	return m.files.first
}

// request adds how a request ended, and what that says of the way there.
func (m Machine) request(o Observation, now time.Time) Machine {
	if o.About == Index {
		m.index = m.index.met(o, now)
		if o.Fault == None || o.Fault.reached() || o.Fault == Unreachable {
			m.names = m.names.told(Yes, time.Time{}, now)
		}
	} else if o.Fault == None || !m.foreign(o.Host) {
		m.files = m.files.met(o, now)
	} else {
		return m
	}
	if o.Fault == None || o.Fault.reached() {
		m.carrier = m.carrier.told(Yes, time.Time{}, now)
		m.route = m.route.told(Yes, time.Time{}, now)
	}
	switch {
	case o.Fault == None:
		m.heard = true
		m.passage = m.passage.told(Yes, time.Time{}, now)
	case o.Fault == LoginWanted && !m.start().IsZero():
		m.passage = m.passage.told(No, m.start(), now)
	}
	if o.Answered > 0 {
		m.answer = m.answer.measured(o.Answered >= SlowAnswer, o, now)
	}
	if o.Rate > 0 {
		m.speed = m.speed.measured(o.Rate < SlowRate, o, now)
	} else if now.Sub(m.speed.last) >= rateHolds {
		m.speed = slowness{}
	}
	return m
}

// foreign tells whether a host is not the one that files come from: an index may
// name files of any host, and one that is dead is the trouble of its project only.
func (m Machine) foreign(host string) bool {
	return m.files.served[0] != "" && !m.files.serves(host)
}

// judge finds the state, by precedence, and since when it holds.
func (m Machine) judge(now time.Time) (State, time.Time) {
	// What is seen of the way explains failures; it does not make them.
	away := m.index.away()
	failing := m.failing() > 0
	switch {
	case away && m.carrier.no:
		return NoCarrier, m.carrier.since
	case away && m.route.no:
		return NoRoute, m.route.since
	case failing && m.passage.no:
		return Portal, m.passage.since
	case away && m.names.no:
		return NoNames, m.names.since
	case m.index.fault == Lookup && m.index.confirmed && m.names.yes.Before(m.index.first):
		return NoNames, m.index.first
	case m.index.byClock(m.clock.no):
		return ClockWrong, m.index.first
	case m.files.byClock(m.clock.no):
		return ClockWrong, m.files.first
	case m.index.confirmed:
		return UpstreamDown, m.index.first
	case m.files.confirmed:
		return FilesDown, m.files.first
	case failing:
		return Unsure, m.start()
	case m.answer.confirmed && (!m.speed.confirmed || m.answer.first.Before(m.speed.first)):
		return Slow, m.answer.first
	case m.speed.confirmed:
		return Slow, m.speed.first
	case m.heard:
		return Well, now
	}
	return Unknown, time.Time{}
}

// byClock tells whether a certificate is refused because of our clock. No host
// shows a certificate before its time: where we see one, our clock is slow. One
// that is over may be the host's neglect, unless the clock is seen to be wrong.
func (t target) byClock(wrong bool) bool {
	switch t.fault {
	case NotYetValid:
		return wrong || t.confirmed
	case Expired:
		return wrong
	}
	return false
}

// uneasy tells whether a probe has something to find out.
func (m Machine) uneasy() bool {
	return m.failing() > 0 || m.state == Slow || !m.answer.first.IsZero() || !m.index.doubted.IsZero() || !m.files.doubted.IsZero()
}

// plan sets the next probe. It comes after FirstProbe, then after pauses that
// double up to LastProbe; never while all is well, for the line may be metered.
// What begins to fail, or to work again, is looked at soon: it may be chance.
func (m Machine) plan(o Observation, fresh bool, now time.Time) Machine {
	t := m.index
	if o.About == Files {
		t = m.files
	}
	answers := (o.About == Index || o.About == Files) && !o.Probe && o.Fault.doubt() && o.Fault != Late &&
		(t.fault == Unreachable || t.fault == Lookup || t.fault == Stalled)
	switch {
	case !m.uneasy():
		m.pause, m.probe = 0, time.Time{}
	case m.pause == 0, fresh:
		m.pause, m.probe = FirstProbe, now.Add(FirstProbe)
	case answers && m.probe.Sub(now) > FirstProbe:
		// An answer, if a poor one, where there was none: look soon.
		m.pause, m.probe = FirstProbe, now.Add(FirstProbe)
	case !now.Before(m.probe) && (o.About == Index && o.Probe || o.Fault != None):
		// Before that it was a request that was under way: no news. What is seen of
		// the way comes before the index is asked, in the same round.
		m.pause = min(2*m.pause, LastProbe)
		if m.state == NoCarrier || m.state == NoRoute {
			m.pause = min(m.pause, NearProbe)
		}
		m.probe = now.Add(m.pause)
	}
	return m
}

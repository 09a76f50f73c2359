package link

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 3, 1, 14, 2, 0, 0, time.UTC)

// tester drives a machine by hand.
type tester struct {
	Machine
	now time.Time
}

func (m *tester) meet(after time.Duration, list ...Observation) {
	m.now = m.now.Add(after)
	for _, o := range list {
		m.Machine = m.Next(o, m.now)
	}
}

func (m *tester) sentence() string { return m.Verdict(m.now).Sentence(m.now) }

func asked(f Fault) Observation {
	return Observation{About: Index, Fault: f, Host: "pypi.example", Base: "https://pypi.example/"}
}

func probed(f Fault) Observation {
	o := asked(f)
	o.Probe = true
	return o
}

func fetched(host string, f Fault) Observation {
	return Observation{About: Files, Fault: f, Host: host, Base: "https://" + host + "/"}
}

func seen(s Subject, k Known) Observation { return Observation{About: s, Known: k, Probe: true} }

func TestOneFailureStopsTheWaitingTwoMakeAnOutage(t *testing.T) {
	m := &tester{now: epoch}
	if v := m.Verdict(m.now); !v.Up || v.State != Unknown || !v.Since.IsZero() {
		t.Fatalf("nothing is known, yet %+v", v)
	}
	m.meet(0, asked(None))
	m.meet(time.Minute, asked(Unreachable))
	first := m.now
	if v := m.Verdict(m.now); v.Up || v.State != Unsure || v.Since != first || v.Probe != first.Add(FirstProbe) {
		t.Fatalf("after one failure %+v", v)
	}
	m.meet(time.Second, asked(Stalled), asked(Unreachable)) // they were under way
	if v := m.Verdict(m.now); v.State != Unsure || v.Probe != first.Add(FirstProbe) {
		t.Fatalf("failures at once count for more than one: %+v", v)
	}
	m.meet(time.Second, probed(Unreachable))
	if v := m.Verdict(m.now); v.State != UpstreamDown || v.Began != first || v.Since != first || v.Probe != m.now.Add(2*FirstProbe) {
		t.Fatalf("after two failures %+v", v)
	}
	if s := m.sentence(); s != "The upstream pypi.example cannot be reached since 14:03; next try in 4 s." {
		t.Error(s)
	}
	m.meet(time.Second, asked(None))
	if v := m.Verdict(m.now); !v.Up || v.State != Well || v.Since != m.now || v.Cause != "" || !v.Probe.IsZero() {
		t.Fatalf("after an answer %+v", v)
	}
}

func TestFlappingIsNoOutage(t *testing.T) {
	m := &tester{now: epoch}
	for range 100 {
		m.meet(time.Second, asked(Unreachable))
		if v := m.Verdict(m.now); v.State != Unsure || v.Up || v.Probe != m.now.Add(FirstProbe) {
			t.Fatalf("after a failure %+v", v)
		}
		m.meet(time.Second, probed(None))
		if v := m.Verdict(m.now); v.State != Well || !v.Up {
			t.Fatalf("after an answer %+v", v)
		}
	}
}

func TestPausesGrow(t *testing.T) {
	m := &tester{now: epoch}
	m.meet(0, asked(Unreachable))
	var pauses []time.Duration
	for range 8 {
		due := m.Verdict(m.now).Probe
		pauses = append(pauses, due.Sub(m.now))
		m.meet(due.Sub(m.now), probed(Unreachable))
	}
	want := []time.Duration{2, 4, 8, 16, 32, 60, 60, 60}
	for i := range want {
		if pauses[i] != want[i]*time.Second {
			t.Fatalf("pauses %v", pauses)
		}
	}
	// An answer, if a poor one, brings the next look nearer.
	m.meet(time.Second, asked(Status))
	if d := m.Verdict(m.now).Probe.Sub(m.now); d != FirstProbe {
		t.Errorf("after a sign of life the next probe comes in %s", d)
	}
	// Without a cable nothing leaves the box: it may look often.
	m.meet(0, seen(Carrier, No))
	for range 8 {
		m.meet(m.Verdict(m.now).Probe.Sub(m.now), seen(Carrier, No), probed(Unreachable))
	}
	if d := m.Verdict(m.now).Probe.Sub(m.now); m.state != NoCarrier || d != NearProbe {
		t.Errorf("%s: the next look at the cable comes in %s", m.state, d)
	}
}

// Each line holds all the evidence of those below it.
func TestPrecedence(t *testing.T) {
	evidence := []struct {
		state State
		see   []Observation
	}{
		{Slow, []Observation{{About: Index, Answered: SlowAnswer, Host: "pypi.example"}}},
		{FilesDown, []Observation{fetched("files.example", Unreachable)}},
		{UpstreamDown, []Observation{asked(Stalled)}},
		{ClockWrong, []Observation{asked(NotYetValid), seen(Clock, No)}},
		{NoNames, []Observation{asked(Lookup), seen(Names, No)}},
		{Portal, []Observation{seen(Passage, No)}},
		{NoRoute, []Observation{seen(Route, No)}},
		{NoCarrier, []Observation{seen(Carrier, No)}},
	}
	m := &tester{now: epoch}
	m.meet(0, asked(None))
	for i, e := range evidence {
		m.meet(time.Second, e.see...)
		m.meet(FirstProbe, e.see...)
		if m.state != e.state {
			t.Fatalf("%s: got %s: %s", e.state, m.state, m.sentence())
		}
		if i > 0 && e.state <= evidence[i-1].state {
			t.Errorf("%s does not come before %s", e.state, evidence[i-1].state)
		}
	}
	// What is seen of the way is no news where somebody answers.
	m.meet(time.Minute, probed(Untrusted), seen(Passage, Yes), seen(Names, Yes), seen(Clock, Yes), seen(Carrier, No), seen(Route, No))
	if m.state != UpstreamDown {
		t.Errorf("somebody answers, and yet: %s", m.sentence())
	}
	quick := asked(None)
	quick.Answered = time.Second
	m.meet(time.Minute, quick, fetched("files.example", None), seen(Carrier, No), seen(Route, No), seen(Passage, No), seen(Names, No), seen(Clock, No))
	if m.state != Well {
		t.Errorf("all works, and yet: %s", m.sentence())
	}
}

func TestSinceIsTheFirstFailure(t *testing.T) {
	m := &tester{now: epoch}
	m.meet(0, asked(None), seen(Carrier, Yes))
	m.meet(time.Hour, asked(Unreachable))
	failed := m.now
	m.meet(12*time.Second, seen(Carrier, No))
	if v := m.Verdict(m.now); v.State != NoCarrier || v.Began != failed {
		t.Errorf("the cable was there before the failure: %s began %s, want %s", v.State, v.Began, failed)
	}
	m.meet(time.Minute, seen(Carrier, Yes), probed(Unreachable))
	if v := m.Verdict(m.now); v.State != UpstreamDown || v.Began != failed {
		t.Errorf("the upstream never answered since: %s began %s, want %s", v.State, v.Began, failed)
	}
	m.meet(time.Minute, seen(Carrier, No))
	if v := m.Verdict(m.now); v.State != NoCarrier || v.Began != m.now || v.Since != failed {
		t.Errorf("the cable was there a minute ago: %s began %s, down since %s", v.State, v.Began, v.Since)
	}
}

func TestDoubtsAreSettledByAProbe(t *testing.T) {
	for _, fault := range []Fault{Status, Odd, Cut, Late} {
		m := &tester{now: epoch}
		m.meet(0, asked(None))
		m.meet(time.Minute, asked(fault))
		if v := m.Verdict(m.now); !v.Up || v.State != Well || v.Probe != m.now.Add(FirstProbe) {
			t.Fatalf("%d: one page in trouble: %+v", fault, v)
		}
		m.meet(time.Second, asked(fault), asked(fault))
		m.meet(time.Second, probed(None))
		if v := m.Verdict(m.now); v.State != Well || !v.Probe.IsZero() {
			t.Fatalf("%d: after the probe %+v", fault, v)
		}
		m.meet(time.Second, asked(fault))
		if v := m.Verdict(m.now); !v.Probe.IsZero() {
			t.Errorf("%d: a page in trouble costs a probe each time: %+v", fault, v)
		}
		m.meet(Calm, asked(fault))
		doubted := m.now
		m.meet(FirstProbe, probed(Status))
		if v := m.Verdict(m.now); v.State != UpstreamDown || v.Up || v.Began != doubted || v.Since != doubted {
			t.Errorf("%d: the probe agrees: %+v", fault, v)
		}
	}
}

// An index without a list of projects answers every probe with an error.
func TestIndexWithoutAList(t *testing.T) {
	for _, fault := range []Fault{Status, Odd, LoginWanted} {
		m := &tester{now: epoch}
		m.meet(0, asked(None))
		m.meet(time.Minute, probed(fault)) // nobody had a doubt
		if m.state != Well {
			t.Fatalf("%d: %s", fault, m.sentence())
		}
		m.meet(time.Minute, asked(None))
		m.meet(time.Minute, asked(Unreachable))
		m.meet(FirstProbe, probed(fault))
		if m.state != Well {
			t.Errorf("%d: after an outage: %s", fault, m.sentence())
		}
		m.meet(time.Minute, asked(Status))
		m.meet(FirstProbe, probed(fault))
		if m.state != Well {
			t.Errorf("%d: one bad page: %s", fault, m.sentence())
		}
		m.meet(time.Minute, probed(None)) // it has a list after all
		m.meet(time.Hour, asked(Status))
		m.meet(FirstProbe, probed(fault))
		if m.state == Well {
			t.Errorf("%d: the list is gone and pages fail, and all is well", fault)
		}
	}
}

// An outage that a page ends looks like an index without a list: a probe tells.
func TestAnOutageThatAPageEnds(t *testing.T) {
	m := &tester{now: epoch}
	m.meet(0, asked(None))
	for range 2 {
		m.meet(time.Hour, asked(Status))
		m.meet(FirstProbe, probed(Status))
		if m.state != UpstreamDown {
			t.Fatal(m.sentence())
		}
		m.meet(time.Minute, asked(None))
		if v := m.Verdict(m.now); v.State != Well || v.Probe != m.now.Add(FirstProbe) {
			t.Fatalf("a page came: %+v", v)
		}
		m.meet(FirstProbe, probed(None))
		if v := m.Verdict(m.now); v.State != Well || !v.Probe.IsZero() {
			t.Fatalf("the list is there: %+v", v)
		}
	}
}

func TestANewFailureIsLookedAtSoon(t *testing.T) {
	m := &tester{now: epoch}
	m.meet(0, asked(None), fetched("files.example", Unreachable))
	for range 8 {
		m.meet(m.Verdict(m.now).Probe.Sub(m.now), probed(None), fetched("files.example", Unreachable))
	}
	if d := m.Verdict(m.now).Probe.Sub(m.now); m.state != FilesDown || d < 8*FirstProbe {
		t.Fatalf("%s, next probe in %s", m.state, d)
	}
	m.meet(time.Second, asked(Unreachable))
	if d := m.Verdict(m.now).Probe.Sub(m.now); d != FirstProbe {
		t.Errorf("the index fails too, and the next probe comes in %s", d)
	}
}

// Somebody's name was not found, yet not the upstream's: a proxy's, perhaps.
func TestTheUpstreamsNameIsFound(t *testing.T) {
	m := &tester{now: epoch}
	m.meet(0, asked(None))
	m.meet(time.Minute, asked(Lookup))
	m.meet(FirstProbe, probed(Lookup))
	if m.state != NoNames {
		t.Errorf("twice no name: %s", m.sentence())
	}
	m.meet(time.Second, seen(Names, Yes))
	if m.state != UpstreamDown {
		t.Errorf("DNS answers: %s", m.sentence())
	}
}

func TestCertificatesAndTheClock(t *testing.T) {
	for _, tc := range []struct {
		fault Fault
		clock Known
		want  State
	}{
		{NotYetValid, No, ClockWrong}, {NotYetValid, CannotTell, ClockWrong}, // no host shows one before its time
		{Expired, No, ClockWrong}, {Expired, CannotTell, UpstreamDown}, {Expired, Yes, UpstreamDown},
		{Untrusted, No, UpstreamDown}, {Unreachable, No, UpstreamDown},
	} {
		m := &tester{now: epoch}
		m.meet(0, asked(tc.fault), seen(Clock, tc.clock))
		m.meet(FirstProbe, probed(tc.fault))
		if m.state != tc.want {
			t.Errorf("fault %d, clock %d: %s, want %s", tc.fault, tc.clock, m.state, tc.want)
		}
		files := &tester{now: epoch}
		files.meet(0, asked(None), fetched("files.example", tc.fault), seen(Clock, tc.clock))
		files.meet(FirstProbe, fetched("files.example", tc.fault))
		if tc.want == ClockWrong && files.state != ClockWrong || tc.want != ClockWrong && files.state != FilesDown {
			t.Errorf("files, fault %d, clock %d: %s", tc.fault, tc.clock, files.state)
		}
	}
}

func TestHostsOfFiles(t *testing.T) {
	m := &tester{now: epoch}
	m.meet(0, asked(None), fetched("files.example", None))
	m.meet(time.Minute, fetched("dead.example", Unreachable))
	m.meet(time.Minute, fetched("dead.example", Unreachable))
	if m.state != Well {
		t.Errorf("one project's own host: %s", m.sentence())
	}
	m.meet(time.Minute, fetched("more.example", None), fetched("files.example", Unreachable))
	m.meet(time.Minute, fetched("files.example", Unreachable), asked(None), fetched("more.example", None))
	if v := m.Verdict(m.now); v.State != FilesDown || v.Files != "https://files.example/" {
		t.Errorf("the host of the files is down: %+v", v)
	}
	fresh := &tester{now: epoch}
	fresh.meet(0, asked(None), fetched("dead.example", Unreachable))
	fresh.meet(time.Minute, fetched("dead.example", Unreachable))
	if fresh.state != FilesDown {
		t.Errorf("no other host is known: %s", fresh.sentence())
	}
	fresh.meet(time.Minute, fetched("files.example", None))
	if fresh.state != Well {
		t.Errorf("another host delivers: %s", fresh.sentence())
	}
}

func TestSlowNeedsTwoMeasures(t *testing.T) {
	slow, quick := asked(None), asked(None)
	slow.Answered, quick.Answered = 8*time.Second, time.Second
	m := &tester{now: epoch}
	m.meet(0, slow, slow)
	if m.state != Well {
		t.Errorf("two answers at once: %s", m.sentence())
	}
	slow.Probe = true
	m.meet(FirstProbe, slow)
	if v := m.Verdict(m.now); v.State != Slow || !v.Up || v.Began != epoch || v.Probe.IsZero() {
		t.Errorf("two slow answers: %+v", v)
	}
	if s := m.sentence(); s != "The upstream pypi.example is slow: 8 s for an answer since 14:02; next try in 4 s." {
		t.Error(s)
	}
	m.meet(time.Second, quick)
	if m.state != Well {
		t.Errorf("a quick answer: %s", m.sentence())
	}
	thin := fetched("files.example", None)
	thin.Rate = 2 << 10
	m.meet(time.Second, thin)
	m.meet(time.Minute, thin, quick)
	if m.state != Slow {
		t.Errorf("two slow files, and a quick page: %s", m.sentence())
	}
	m.meet(rateHolds, quick)
	if m.state != Well {
		t.Errorf("the measure is old: %s", m.sentence())
	}
}

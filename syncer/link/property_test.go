package link

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// whatever draws an observation, likely or not.
func whatever(r *rand.Rand) Observation {
	hosts := [...]string{"", "pypi.example", "files.example", "other.example"}
	o := Observation{
		About: Subject(r.IntN(int(subjectCount) + 1)), Probe: r.IntN(2) == 0, Known: Known(r.IntN(3)), Wireless: r.IntN(4) == 0,
		Host: hosts[r.IntN(len(hosts))], Code: r.IntN(600),
	}
	if r.IntN(2) == 0 {
		o.Fault = Fault(r.IntN(int(faultCount) + 1))
	}
	if r.IntN(4) == 0 {
		o.Answered, o.Rate = time.Duration(r.Int64N(int64(2*SlowAnswer))), r.Int64N(2*SlowRate)
	}
	return o
}

func check(t *testing.T, old, m Machine, o Observation, now time.Time) {
	t.Helper()
	before, v := old.Verdict(now), m.Verdict(now)
	s := v.Sentence(now)
	switch {
	case s == "" || !strings.HasSuffix(s, ".") || strings.Contains(s, "  "):
		t.Fatalf("%+v: sentence %q", o, s)
	case v.State == before.State && v.Began != before.Began:
		t.Fatalf("%+v: still %s, but since %s, not %s", o, v.State, v.Began, before.Began)
	case v.Up == before.Up && v.Since != before.Since && before.State != Unknown:
		t.Fatalf("%+v: up %t as before, but since %s, not %s", o, v.Up, v.Since, before.Since)
	case v.Up != v.State.Up():
		t.Fatalf("%s and up %t", v.State, v.Up)
	case (v.Cause == "") != (v.State == Well || v.State == Unknown):
		t.Fatalf("%s for the cause %q", v.State, v.Cause)
	case v.Began.After(now) || v.Since.After(now) || v.State != Unknown && v.Began.IsZero():
		t.Fatalf("%s since %s and up since %s, but now it is %s", v.State, v.Began, v.Since, now)
	case !v.Up && (v.Probe.IsZero() || v.Probe.Sub(now) > LastProbe):
		t.Fatalf("%s and the next probe %s after now", v.State, v.Probe.Sub(now))
	case v.State.Outage() && v.Action() == "":
		t.Fatalf("%s and nothing can be done", v.State)
	case o.About == Nothing && m != old:
		t.Fatal("no news changed the machine")
	}
}

func TestNothingUpsetsTheMachine(t *testing.T) {
	reached := make(map[State]int)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var m Machine
		now := epoch
		for range 500 {
			now = now.Add(time.Duration(r.Int64N(int64(4 * time.Second))))
			if r.IntN(50) == 0 {
				now = now.Add(time.Duration(r.Int64N(int64(time.Hour))))
			}
			o := whatever(r)
			old := m
			m = m.Next(o, now)
			check(t, old, m, o, now)
			reached[m.state]++
		}
		now = now.Add(time.Hour)
		for _, o := range []Observation{probed(None), asked(None)} {
			m = m.Next(o, now)
		}
		if !m.index.doubted.IsZero() || m.index.fault != None || m.names.no || m.passage.no {
			t.Fatalf("seed %d: the index answers, and yet: %+v", seed, m)
		}
	}
	for s := Well; s < stateCount; s++ {
		if reached[s] == 0 {
			t.Errorf("%s was never reached: the test does not test it", s)
		}
	}
}

func FuzzMachine(f *testing.F) {
	f.Add([]byte{7, 0, 7, 6, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Machine
		now := epoch
		for len(b) >= 4 {
			o := Observation{
				About: Subject(b[0] & 15), Fault: Fault(b[1] & 15), Known: Known(b[0] >> 4 & 3), Probe: b[0]&64 != 0,
				Host: string(b[2]%3 + 'a'), Answered: time.Duration(b[3]) * time.Second / 16, Rate: int64(b[2]) << 8,
			}
			now = now.Add(time.Duration(b[3]) * time.Second / 4)
			b = b[4:]
			old := m
			m = m.Next(o, now)
			check(t, old, m, o, now)
		}
	})
}

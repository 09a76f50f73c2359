package link

import (
	"encoding/json"
	"testing"
	"time"
)

func TestTheClockIsSetInAnOutage(t *testing.T) {
	in1970 := time.Date(1970, 1, 1, 0, 2, 0, 0, time.UTC)
	if got := moment(in1970, epoch, time.Hour); !got.Equal(epoch.Add(-time.Hour)) {
		t.Errorf("an hour before %s it was %s", epoch, got)
	}
	// The clock is being slewed: a time that people have seen must not tremble.
	seen := epoch.Add(-time.Hour)
	if got := moment(seen, epoch.Add(300*time.Millisecond), time.Hour); !got.Equal(seen) {
		t.Errorf("%s became %s", seen, got)
	}
	if got := restamp(time.Time{}, epoch); !got.IsZero() {
		t.Errorf("nothing became %s", got)
	}
}

func TestSentencesTellTheDay(t *testing.T) {
	for now, want := range map[time.Time]string{
		time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC): "since 14:02",
		time.Date(2026, 3, 2, 0, 1, 0, 0, time.UTC):   "since 1 March 14:02",
		time.Date(2027, 3, 1, 15, 0, 0, 0, time.UTC):  "since 1 March 2026 14:02",
	} {
		v := Verdict{State: NoCarrier, Began: epoch, Cause: "the cable is unplugged", Probe: now.Add(20 * time.Second)}
		if s := v.Sentence(now); s != "The cable is unplugged "+want+"; next try in 20 s." {
			t.Error(s)
		}
	}
	m := &tester{now: epoch}
	m.meet(0, asked(Unreachable), Observation{About: Carrier, Known: No, Wireless: true})
	if s := m.sentence(); s != "The Wi-Fi is not connected since 14:02; next try in 2 s." {
		t.Error(s)
	}
	east := time.FixedZone("east", 3600)
	v := Verdict{State: Well, Began: epoch}
	if s := v.Sentence(epoch.In(east)); s != "All is well since 15:02." {
		t.Error(s)
	}
	for d, want := range map[time.Duration]string{
		0: "1 s", 1500 * time.Millisecond: "2 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min",
		3 * time.Hour: "3 h", 49 * time.Hour: "2 days",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestStatesHaveNamesThatCanBeReadBack(t *testing.T) {
	seen := make(map[string]bool)
	for s := range stateCount {
		b, err := json.Marshal(s)
		if err != nil || s.String() == "" || seen[s.String()] {
			t.Fatalf("%d: %s %v", s, b, err)
		}
		seen[s.String()] = true
		var back State
		if err := json.Unmarshal(b, &back); err != nil || back != s {
			t.Errorf("%s became %s (%v)", s, back, err)
		}
		if s.Outage() && s.Up() {
			t.Errorf("%s is an outage and up", s)
		}
	}
	var s State
	if err := s.UnmarshalText([]byte("broken")); err == nil {
		t.Error("a state that does not exist is read")
	}
	if stateCount.String() != "State(11)" {
		t.Errorf("out of range: %s", stateCount)
	}
}

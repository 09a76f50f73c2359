package link

import (
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := &Line{Now: func() time.Time { return now }}
	if v := l.Verdict(); !v.Up || !v.Since.IsZero() {
		t.Fatalf("nothing is known, yet %+v", v)
	}
	changed := l.Changed()
	l.Failed("no route")
	select {
	case <-changed:
	default:
		t.Error("the change is not told")
	}
	if v := l.Verdict(); v.Up || v.Cause != "no route" || v.Since != now || v.Probe != now.Add(FirstProbe) {
		t.Fatalf("after a failure %+v", v)
	}
	down := now
	l.Failed("no name") // another request that was under way
	if v := l.Verdict(); v.Probe != down.Add(FirstProbe) || v.Cause != "no name" {
		t.Errorf("a second failure at once moves the probe: %+v", v)
	}
	var last time.Duration
	for range 12 {
		now = l.Verdict().Probe
		l.Failed("no route")
		last = l.Verdict().Probe.Sub(now)
	}
	if last != LastProbe {
		t.Errorf("probes end up %s apart, want %s", last, LastProbe)
	}
	if v := l.Verdict(); v.Since != down {
		t.Errorf("down since %s, want %s", v.Since, down)
	}
	l.Worked()
	if v := l.Verdict(); !v.Up || v.Since != now || v.Cause != "" || !v.Probe.IsZero() {
		t.Errorf("after an answer %+v", v)
	}
	l.Failed("again")
	if d := l.Verdict().Probe.Sub(now); d != FirstProbe {
		t.Errorf("the first probe after a good time comes after %s", d)
	}
}

package app_test

import (
	"context"
	"testing"
	"time"

	"cheeseboard/board/clock"
	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
)

const decade = 10 * 365 * 24 * time.Hour

// tell are n time servers that are ahead of the truth.
func tell(ahead time.Duration, n int) func(context.Context) []clock.Sample {
	return func(context.Context) (out []clock.Sample) {
		for range n {
			out = append(out, clock.Sample{Time: time.Now().Add(ahead), At: time.Now()})
		}
		return out
	}
}

// startAt serves a box with the clock of a machine.
func startAt(t *testing.T, c app.Config, machine *fakeClock, facts clock.Facts, ntp func(context.Context) []clock.Sample) *served {
	return serveBox(t, c, func(a *app.App) {
		a.Clock = func(o *clock.Options) {
			o.Now, o.Set, o.Facts = machine.now, machine.set, func() clock.Facts { return facts }
			o.NTP, o.Date, o.Built = ntp, nil, time.Now().AddDate(0, -1, 0)
		}
	})
}

// off is how far a clock is from the truth.
func (f *fakeClock) off() time.Duration { return time.Until(f.now()) }

// TestClockTooFarAhead writes down a time that is ten years ahead, as several wrong time
// servers have it. A box that starts there says so, and does not go back; but when the
// truth is heard, the clock is set by hand as the box asks, and it is started again, it
// is right: from time servers, from a person, and where somebody keeps the clock.
func TestClockTooFarAhead(t *testing.T) {
	board, nobody := clock.Facts{Board: true}, tell(0, 0)
	for name, c := range map[string]struct {
		facts clock.Facts
		ntp   func(context.Context) []clock.Sample
		truth func(*served)
	}{
		"time servers": {board, tell(0, 2), func(*served) {}},
		"a person": {board, nobody, func(s *served) {
			if err := s.SetClock(time.Now()); err == nil {
				t.Error("a person set the clock back")
			}
		}},
		"kept": {clock.Facts{Board: true, Kept: true}, nobody, func(*served) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, _ := many(t, 1)
			conf := boxConfig(server, t.TempDir(), nil)
			s := startAt(t, conf, &fakeClock{ahead: -time.Since(time.Unix(5, 0))}, board, tell(decade, 2))
			s.diary.await(t, "the time is known")
			s.end()

			machine := &fakeClock{ahead: -time.Since(time.Unix(5, 0))}
			if c.facts.Kept {
				machine.ahead = 0
			}
			s = startAt(t, conf, machine, c.facts, c.ntp)
			if !c.facts.Kept && (machine.off() < decade-time.Minute || machine.off() > decade+time.Hour) {
				t.Errorf("what was written down puts the clock off by %v", machine.off())
			}
			c.truth(s)
			s.diary.await(t, "the time that was written down was too late")
			s.end()
			if off := machine.off(); !c.facts.Kept && off < decade-time.Minute || c.facts.Kept && off.Abs() > time.Minute {
				t.Errorf("the clock was set, and is off by %v", off)
			}

			machine = &fakeClock{} // date -s
			startAt(t, conf, machine, board, c.ntp)
			if off := machine.off(); off.Abs() > time.Minute {
				t.Errorf("set by hand and started again, the clock is off by %v", off)
			}
		})
	}
}

// TestClockLoneIsNotSaved: what one time server or a person says is not written down.
func TestClockLoneIsNotSaved(t *testing.T) {
	const month = 30 * 24 * time.Hour
	for name, c := range map[string]struct {
		ntp   func(context.Context) []clock.Sample
		truth func(*served)
	}{
		"one time server": {tell(month, 1), func(*served) {}},
		"a person": {tell(0, 0), func(s *served) {
			if err := s.SetClock(time.Now().Add(decade)); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, _ := many(t, 1)
			conf := boxConfig(server, t.TempDir(), nil)
			conf.Clock.Verify = config.VerifyAlways
			machine := &fakeClock{}
			s := startAt(t, conf, machine, clock.Facts{Board: true}, c.ntp)
			c.truth(s)
			s.diary.await(t, "the time is known")
			s.end()
			if machine.off() < month-time.Minute {
				t.Fatalf("the clock is off by %v", machine.off())
			}
			machine = &fakeClock{}
			startAt(t, conf, machine, clock.Facts{Board: true}, tell(0, 0))
			if off := machine.off(); off.Abs() > time.Minute {
				t.Errorf("after a start anew the clock is off by %v", off)
			}
		})
	}
}

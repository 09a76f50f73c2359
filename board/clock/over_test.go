package clock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestOver: what is written down for the next start follows those who are sure, also
// where the clock cannot; a person only takes it back.
func TestOver(t *testing.T) {
	const decade = 10 * 365 * 24 * time.Hour
	for _, c := range []struct {
		name      string
		ntp, date func(context.Context) []Sample
		kept      bool
		floor     time.Duration // ahead of the truth
		person    time.Duration // ahead of the truth
		over      time.Duration // ahead of the truth
		sure      bool
	}{
		{"several time servers", says(0, 2), nobody, false, -time.Hour, 0, 0, true},
		{"several time servers, and a floor too late", says(0, 2), nobody, false, decade, 0, 0, true},
		{"one time server does not raise it", says(0, 1), nobody, false, -time.Hour, 0, -time.Hour, true},
		{"one time server does not take it back", says(0, 1), nobody, false, decade, 0, decade, true},
		{"web servers do not raise it", nobody, says(0, 4), false, -time.Hour, 0, -time.Hour, true},
		{"a person does not raise it", nobody, nobody, false, -time.Hour, decade, -time.Hour, true},
		{"a person takes it back", nobody, nobody, false, decade, time.Second, time.Second, false},
		{"who keeps the clock", nobody, nobody, true, decade, 0, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, o := at1970(t)
				o.NTP, o.Date, o.DateHosts = c.ntp, c.date, 4
				if c.kept {
					m.behind = 0
					o.Facts = func() Facts { return Facts{Board: true, Kept: true} }
				}
				floor := time.Now().Add(c.floor)
				o.Floor = func() time.Time { return floor }
				k := New(o)
				if c.kept && (m.sets != 0 || k.Doubted()) {
					t.Errorf("a clock that is kept was set to %v", m.now())
				}
				stop := running(t, k)
				defer stop()
				synctest.Wait()
				if c.person != 0 {
					_ = k.Person(time.Now().Add(c.person)) // it may be refused, and be heard all the same
				}
				time.Sleep(time.Minute)
				at, sure := k.Over()
				if off := time.Until(at) - c.over; off.Abs() > 2*time.Second || sure != c.sure {
					t.Errorf("%v, off by %v, sure: %t", at, off, sure)
				}
			})
		})
	}
}

// TestKeptIsLeftAlone: a floor too late moves no clock that somebody keeps, and none of
// a machine that is no board.
func TestKeptIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, facts := range []Facts{{Kept: true}, {Board: true, Kept: true}, {}} {
			m, o := at1970(t)
			m.behind = 0
			o.Facts = func() Facts { return facts }
			o.Floor = func() time.Time { return time.Now().AddDate(10, 0, 0) }
			if k := New(o); m.sets != 0 || k.Doubted() || !k.Verified() {
				t.Errorf("%+v: %+v, the clock shows %v", facts, k.State(), m.now())
			}
		}
	})
}

package clock

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// machine is one whose clock the tests set: it shows the truth, less what it is behind.
type machine struct {
	t      *testing.T
	mu     sync.Mutex
	behind time.Duration
	locked bool // nobody may set it
	sets   int
	last   time.Time // that was read
}

func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now().Add(-m.behind)
	if now.Before(m.last) {
		m.t.Errorf("the clock went from %v back to %v", m.last, now)
	}
	m.last = now
	return now
}

func (m *machine) set(to time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked {
		return errors.New("operation not permitted")
	}
	m.sets++
	m.behind = time.Since(to)
	return nil
}

// at1970 is a machine whose clock begins in 1970, and the options of its keeper.
// Within synctest the truth is in the year 2000.
func at1970(t *testing.T) (*machine, Options) {
	m := &machine{t: t, behind: time.Since(epoch)}
	return m, Options{
		Now: m.now, Set: m.set, Built: time.Now().AddDate(0, -6, 0), Facts: func() Facts { return Facts{Board: true} },
		Floor: func() time.Time { return time.Now().AddDate(0, -1, 0) },
	}
}

func says(ahead time.Duration, n int) func(context.Context) []Sample {
	return func(context.Context) []Sample {
		var out []Sample
		for range n {
			out = append(out, Sample{Time: time.Now().Add(ahead), At: time.Now(), Within: time.Millisecond})
		}
		return out
	}
}

// same is one machine that answers by many names.
func same(ahead time.Duration, n int) func(context.Context) []Sample {
	return func(ctx context.Context) []Sample {
		out := says(ahead, n)(ctx)
		for i := range out {
			out[i].From = netip.AddrFrom4([4]byte{192, 0, 2, 1})
		}
		return out
	}
}

func nobody(context.Context) []Sample { return nil }

func running(t *testing.T, k *Keeper) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { k.Run(ctx) })
	return func() { cancel(); run.Wait() }
}

// TestLadder starts at 1970 and climbs, rung by rung.
func TestLadder(t *testing.T) {
	for _, c := range []struct {
		name      string
		ntp, date func(context.Context) []Sample
		source    Source
	}{
		{"time servers", says(0, 3), says(time.Hour, 3), NTP},
		{"one time server", says(0, 1), nobody, Lone},
		{"one time server from the far future, and web servers", says(10*365*24*time.Hour, 1), says(0, 2), HTTP},
		{"four names of one machine from the far future", same(10*365*24*time.Hour, 4), nobody, Floor},
		{"a gateway from the far future that answers for all", nobody, says(10*365*24*time.Hour, 4), Floor},
		{"web servers where UDP is blocked", nobody, says(0, 2), HTTP},
		{"one web server of several is not enough", nobody, says(0, 1), Floor},
		{"nobody", nobody, nobody, Floor},
		{"a lie from the far future", says(50*365*24*time.Hour, 3), says(0, 2), Floor},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, o := at1970(t)
				o.NTP, o.Date, o.DateHosts = c.ntp, c.date, 4
				var told []State
				o.Changed = func(s State) { told = append(told, s) }
				k := New(o)
				if s := k.State(); s.Verified || s.Source != Floor || !k.Doubted() || m.now().Before(o.Floor()) {
					t.Fatalf("at the start: %+v, the clock shows %v", s, m.now())
				}
				stop := running(t, k)
				synctest.Wait()
				s := k.State()
				if s.Source != c.source || s.Verified != (c.source != Floor) {
					t.Fatalf("%+v", s)
				}
				off := time.Until(m.now()).Abs()
				if s.Verified && off > time.Second || !s.Verified && off < time.Hour {
					t.Errorf("off by %v", off)
				}
				if !s.Verified {
					if err := k.Person(time.Now().Add(-time.Second)); err != nil || !k.Verified() || time.Until(m.now()).Abs() > 2*time.Second {
						t.Errorf("the browser: %v, %+v", err, k.State())
					}
				}
				stop()
				if len(told) == 0 || told[len(told)-1] != k.State() {
					t.Errorf("told of %+v", told)
				}
			})
		})
	}
}

// TestPatience: it goes on trying, more and more seldom, and at once when it is poked.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, o := at1970(t)
		tries := 0
		var answer []Sample
		o.NTP = func(context.Context) []Sample { tries++; return answer }
		k := New(o)
		defer running(t, k)()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if least, most := int(24*time.Hour/LastPause)-5, int(24*time.Hour/LastPause)+10; tries < least || tries > most {
			t.Errorf("%d tries in a day", tries)
		}
		answer, tries = says(0, 1)(t.Context()), 0
		k.Poke()
		synctest.Wait()
		if tries != 1 || !k.Verified() {
			t.Errorf("%d tries, %+v", tries, k.State())
		}
	})
}

// TestCannotSet: a clock that may not be set is verified where it is right, and else
// stays doubtful.
func TestCannotSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for behind, want := range map[time.Duration]bool{time.Minute: true, 24 * time.Hour: false} {
			m, o := at1970(t)
			m.behind, m.locked, o.NTP = behind, true, says(0, 1)
			k := New(o)
			stop := running(t, k)
			synctest.Wait()
			stop()
			if s := k.State(); s.Verified != want || s.Stuck == "" || m.sets != 0 {
				t.Errorf("%v behind: %+v", behind, s)
			}
		}
	})
}

// TestMany has many offer times at once: the machine sees that its clock never goes back.
func TestMany(t *testing.T) {
	m, o := at1970(t)
	k := New(o)
	var offering sync.WaitGroup
	for i := range 8 {
		offering.Go(func() {
			for j := range 200 {
				ahead := time.Duration((i*7919+j*104729)%600-300) * time.Hour
				if err := k.take(Offer{Source(i % int(Machine)), time.Now().Add(ahead)}); err != nil {
					var refused *RefusedError
					if !errors.As(err, &refused) {
						t.Error(err)
					}
				}
				m.now()
				k.Sentence()
			}
		})
	}
	offering.Wait()
}

// TestBelieved: where there is no doubt, nothing is asked and nothing waits.
func TestBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := false
		k := New(Options{Built: time.Now().AddDate(0, -1, 0), Facts: func() Facts { return Facts{Kept: true} }, NTP: func(context.Context) []Sample { asked = true; return nil }})
		k.Run(t.Context()) // it returns
		if asked || !k.Verified() || k.Doubted() {
			t.Errorf("%+v", k.State())
		}
		var refused *RefusedError
		if err := k.Person(time.Now().AddDate(1, 0, 0)); !errors.As(err, &refused) {
			t.Errorf("a person set a clock that is kept: %v", err)
		}
	})
}

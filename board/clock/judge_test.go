package clock

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	built = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	truth = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	epoch = time.Date(1970, 1, 1, 0, 0, 7, 0, time.UTC)
)

func TestNext(t *testing.T) {
	good := State{Source: NTP, Verified: true}
	for _, c := range []struct {
		name    string
		state   State
		offer   Offer
		now     time.Time
		want    State
		set     time.Time
		refused bool
	}{
		{"the machine keeps it", State{}, Offer{Source: Kept}, truth, State{Source: Kept, Verified: true}, time.Time{}, false},
		{"1970, and the build is later", State{}, Offer{Floor, built}, epoch, State{Source: Floor}, built, false},
		{"later than the floor says nothing", State{}, Offer{Floor, built}, truth, State{}, time.Time{}, false},
		{"a time server knows it", State{Source: Floor}, Offer{NTP, truth}, built, good, truth, false},
		{"it was right", State{}, Offer{NTP, truth}, truth.Add(100 * time.Millisecond), good, time.Time{}, false},
		{"a little ahead is right enough", State{}, Offer{NTP, truth}, truth.Add(time.Minute), good, time.Time{}, false},
		{"far ahead is never set back", State{}, Offer{NTP, truth}, truth.Add(time.Hour), State{Source: NTP, Off: time.Hour}, time.Time{}, false},
		{"before the program was made", State{}, Offer{NTP, built.Add(-time.Hour)}, epoch, State{}, time.Time{}, true},
		{"far in the future", State{}, Offer{HTTP, truth.AddDate(30, 0, 0)}, epoch, State{}, time.Time{}, true},
		{"a person does not know better", good, Offer{Person, truth.Add(time.Hour)}, truth, good, time.Time{}, true},
		{"what was verified cannot be far off", good, Offer{NTP, truth.Add(time.Hour)}, truth, good, time.Time{}, true},
		{"a drift is mended", good, Offer{NTP, truth.Add(time.Second)}, truth, good, truth.Add(time.Second), false},
		{"time servers correct a person", State{Source: Person, Verified: true}, Offer{NTP, truth.Add(time.Hour)}, truth, good, truth.Add(time.Hour), false},
		{"several time servers may go far", State{Source: Floor}, Offer{NTP, built.AddDate(10, 0, 0)}, built, good, built.AddDate(10, 0, 0), false},
		{"a person may go far", State{Source: Floor}, Offer{Person, built.AddDate(10, 0, 0)}, built, State{Source: Person, Verified: true}, built.AddDate(10, 0, 0), false},
		{"a person may not go everywhere", State{Source: Floor}, Offer{Person, built.AddDate(21, 0, 0)}, built, State{Source: Floor}, time.Time{}, true},
		{"one time server may go near", State{Source: Floor}, Offer{Lone, truth}, built, State{Source: Lone, Verified: true}, truth, false},
		{"one time server may not go far", State{Source: Floor}, Offer{Lone, built.AddDate(2, 0, 0)}, built, State{Source: Floor}, time.Time{}, true},
		{"web servers may not go far", State{Source: Floor}, Offer{HTTP, built.AddDate(2, 0, 0)}, built, State{Source: Floor}, time.Time{}, true},
		{"web servers confirm what a person said", State{Source: Person, Verified: true}, Offer{HTTP, built.AddDate(10, 0, 0)}, built.AddDate(10, 0, 0), State{Source: HTTP, Verified: true}, time.Time{}, false},
		{"several time servers correct one", State{Source: Lone, Verified: true}, Offer{NTP, truth.Add(time.Hour)}, truth, good, truth.Add(time.Hour), false},
		{"one time server mends a drift", good, Offer{Lone, truth.Add(time.Second)}, truth, State{Source: Lone, Verified: true}, truth.Add(time.Second), false},
		{"one time server does not know better than several", good, Offer{Lone, truth.Add(time.Hour)}, truth, good, time.Time{}, true},
	} {
		got, set, err := c.state.Next(c.offer, c.now, built)
		var refused *RefusedError
		if got != c.want || !set.Equal(c.set) || errors.As(err, &refused) != c.refused {
			t.Errorf("%s: %+v, set %v, %v", c.name, got, set, err)
		}
	}
}

// TestNeverBack offers whatever comes to a clock, and reads it after each.
func TestNeverBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	offsets := []time.Duration{0, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour, 60 * 365 * 24 * time.Hour}
	stepped, verified, kept := 0, 0, 0
	for range 2000 {
		now, state := epoch.Add(time.Duration(rng.Int64N(int64(80*365*24*time.Hour)))), State{}
		for range 50 {
			source := Source(rng.IntN(int(Machine)))
			if rng.IntN(50) == 0 {
				source = Source(rng.IntN(int(sources)))
			}
			o := Offer{source, now.Add(offsets[rng.IntN(len(offsets))] * time.Duration(rng.IntN(21)-10))}
			next, set, err := state.Next(o, now, built)
			switch {
			case !set.IsZero() && !set.After(now):
				t.Fatalf("%+v made it %v, and the clock shows %v", o, set, now)
			case err != nil && (next != state || !set.IsZero()):
				t.Fatalf("%+v was refused, and changed something", o)
			case !set.IsZero() && (set.Before(built) || set.Sub(built) > horizon):
				t.Fatalf("%+v set the clock to %v", o, set)
			}
			switch {
			case set.IsZero():
				kept++
			case rng.IntN(4) == 0: // the program may not set it
				next = next.Unset(set, now, errors.New("operation not permitted"))
				if next.Verified && set.Sub(now) > Enough {
					t.Fatalf("%+v is off by %v and counts as verified", next, set.Sub(now))
				}
			default:
				now, stepped = set, stepped+1
			}
			if next.Verified {
				verified++
			} else if next.Sentence(now) == "" || next.Action() == "" {
				t.Fatalf("%+v is not explained", next)
			}
			state = next
			now = now.Add(time.Duration(rng.Int64N(int64(time.Hour))))
		}
	}
	if stepped < 1000 || verified < 1000 || kept < 1000 {
		t.Errorf("only %d steps, %d times verified, %d times left alone", stepped, verified, kept)
	}
}

func TestAgree(t *testing.T) {
	at := time.Now()
	say := func(offsets ...time.Duration) (out []Sample) {
		for _, o := range offsets {
			out = append(out, Sample{Time: truth.Add(o - time.Minute), At: at.Add(-time.Minute), Within: 50 * time.Millisecond})
		}
		return out
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name    string
		samples []Sample
		needed  int
		want    time.Duration
		none    bool
	}{
		{"one alone", say(0), 1, 0, false},
		{"one alone where two are needed", say(0), 2, 0, true},
		{"two that agree", say(0, 20*time.Millisecond), 2, 20 * time.Millisecond, false},
		{"two that do not", say(0, day), 1, 0, true},
		{"one of three lies", say(0, 900*day, 10*time.Millisecond), 1, 10 * time.Millisecond, false},
		{"half of four lie", say(0, 0, day, day), 1, 0, true},
		{"all differ", say(0, day, 2*day), 1, 0, true},
		{"nobody", nil, 1, 0, true},
	} {
		got, err := Agree(c.samples, at, c.needed, slack)
		if c.none {
			if !errors.Is(err, ErrDisagree) {
				t.Errorf("%s: %v, %v", c.name, got, err)
			}
			continue
		}
		if err != nil || !got.Equal(truth.Add(c.want)) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestDoubt(t *testing.T) {
	floor := truth.Add(-time.Hour)
	for _, c := range []struct {
		name  string
		facts Facts
		now   time.Time
		want  bool
	}{
		{"an office PC", Facts{Kept: true, RTC: truth}, truth, false},
		{"a PC that nobody keeps", Facts{RTC: truth}, truth, false},
		{"a guest without a clock of its own", Facts{}, truth, false},
		{"any machine at 1970", Facts{}, epoch, true},
		{"one that is kept, before what is written down", Facts{Kept: true}, floor.Add(-time.Minute), false},
		{"a PC, before what is written down", Facts{RTC: truth}, floor.Add(-6 * time.Hour), false},
		{"a board that somebody keeps, before what is written down", Facts{Board: true, Kept: true}, floor.AddDate(0, -1, 0), false},
		{"a board with a battery, before what is written down", Facts{Board: true, RTC: floor.Add(-time.Hour)}, floor.Add(-time.Hour), true},
		{"any machine in 2100", Facts{}, truth.AddDate(74, 0, 0), true},
		{"a board", Facts{Board: true}, truth, true},
		{"a board that somebody keeps", Facts{Board: true, Kept: true}, truth, false},
		{"a board with a battery", Facts{Board: true, RTC: truth}, truth, false},
		{"a board whose battery is empty", Facts{Board: true, RTC: epoch}, truth, true},
	} {
		if got := c.facts.Doubt(c.now, floor, built); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

package button

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sample is what a line shows from a moment on.
type sample struct {
	at      time.Duration
	pressed bool
}

// feed shows a recogniser a line, and ticks whenever it asks for that.
func feed(samples []sample) (out []Event, at []time.Duration) {
	var r Recogniser
	zero := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	add := func(now time.Time, events []Event) {
		for _, e := range events {
			if e.Mark == 0 && e.Press == None {
				continue
			}
			out, at = append(out, e), append(at, now.Sub(zero))
		}
	}
	end := samples[len(samples)-1].at + time.Minute
	for i := 0; ; {
		next := r.Next()
		switch {
		case i < len(samples) && (next.IsZero() || !next.Before(zero.Add(samples[i].at))):
			now := zero.Add(samples[i].at)
			add(now, r.See(now, samples[i].pressed, true))
			i++
		case !next.IsZero() && next.Sub(zero) <= end:
			add(next, r.Tick(next))
			if again := r.Next(); again.Equal(next) {
				panic("it asks for the same moment again, without end")
			}
		default:
			return out, at
		}
	}
}

// held makes samples of presses: each time down, then up.
func held(times ...time.Duration) (out []sample) {
	now, down := time.Second, true
	for _, d := range times {
		out = append(out, sample{now, down})
		now += d
		down = !down
	}
	return append(out, sample{now, down})
}

var presses = []struct {
	name  string
	times []time.Duration // down, up, down, ...
	want  string
}{
	{"one short", []time.Duration{100 * time.Millisecond}, "[Once]"},
	{"one not so short", []time.Duration{1400 * time.Millisecond}, "[Once]"},
	{"a mistake", []time.Duration{3 * time.Second}, "[]"},
	{"two short", []time.Duration{120 * time.Millisecond, 200 * time.Millisecond, 150 * time.Millisecond}, "[Twice]"},
	{"two with a pause", []time.Duration{120 * time.Millisecond, 900 * time.Millisecond, 150 * time.Millisecond}, "[Once Once]"},
	{"three short", []time.Duration{100 * time.Millisecond, 150 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 100 * time.Millisecond}, "[]"},
	{"just not five", []time.Duration{4900 * time.Millisecond}, "[]"},
	{"five", []time.Duration{5100 * time.Millisecond}, "[mark1 Hold5]"},
	{"fourteen", []time.Duration{14 * time.Second}, "[mark1 Hold5]"},
	{"fifteen", []time.Duration{16 * time.Second}, "[mark1 mark2 Hold15]"},
	{"twenty-six", []time.Duration{26 * time.Second}, "[mark1 mark2 mark3]"},
	{"an hour", []time.Duration{time.Hour}, "[mark1 mark2 mark3]"},
	{"a short one, then a long one", []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 6 * time.Second}, "[mark1 Hold5]"},
	{"a long one, then a short one", []time.Duration{6 * time.Second, 200 * time.Millisecond, 100 * time.Millisecond}, "[mark1 Hold5 Once]"},
	{"a glitch", []time.Duration{5 * time.Millisecond}, "[]"},
}

func text(events []Event) string {
	names := []string{}
	for _, e := range events {
		if e.Mark > 0 {
			names = append(names, fmt.Sprintf("mark%d", e.Mark))
			continue
		}
		names = append(names, []string{"None", "Once", "Twice", "Hold5", "Hold15"}[e.Press])
	}
	return fmt.Sprint(names)
}

func TestPresses(t *testing.T) {
	for _, c := range presses {
		events, at := feed(held(c.times...))
		if got := text(events); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		// What a hold means is done when it is let go, not before.
		for i, e := range events {
			if e.Press == Hold5 || e.Press == Hold15 {
				if up := time.Second + c.times[0]; len(c.times) == 1 && (at[i] < up || at[i] > up+Settle) {
					t.Errorf("%s: done after %s, let go after %s", c.name, at[i], up)
				}
			}
			if e.Mark > 0 && len(c.times) == 1 && at[i] != time.Second+thresholds[e.Mark-1].after {
				t.Errorf("%s: mark %d after %s", c.name, e.Mark, at[i])
			}
		}
	}
}

// bounce puts, behind each sample, contacts that open and close at random for up to 25
// ms; a glitch between two may be wherever it was still.
func bounce(random *rand.Rand, clean []sample) []sample {
	var out []sample
	for _, s := range clean {
		out = append(out, s)
		now, level := s.at, s.pressed
		for n := random.IntN(12); n > 0; n-- {
			now += time.Duration(random.Int64N(int64(2 * time.Millisecond)))
			level = !level
			out = append(out, sample{now, level})
		}
		out = append(out, sample{now + time.Duration(random.Int64N(int64(time.Millisecond))), s.pressed})
	}
	return slices.Clip(out)
}

// glitches puts pulses between the samples that are too short to be anything.
func glitches(random *rand.Rand, clean []sample) []sample {
	var out []sample
	for i, s := range clean {
		out = append(out, s)
		end := s.at + 10*time.Second
		if i+1 < len(clean) {
			end = clean[i+1].at
		}
		for now := s.at + 40*time.Millisecond; ; {
			now += Settle + time.Duration(random.Int64N(int64(2*time.Second)))
			long := time.Duration(random.Int64N(int64(Settle - time.Millisecond)))
			if now+long+2*Settle >= end {
				break
			}
			out = append(out, sample{now, !s.pressed}, sample{now + long, s.pressed})
			now += long
		}
	}
	return out
}

// TestBounce: each press gives its action once, whatever the contacts do.
func TestBounce(t *testing.T) {
	seeds := uint64(400)
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 7))
		for _, c := range presses {
			if c.name == "just not five" || c.name == "one not so short" { // bouncing may take it over the edge
				continue
			}
			for name, samples := range map[string][]sample{
				"bouncing":  bounce(random, held(c.times...)),
				"disturbed": glitches(random, held(c.times...)),
			} {
				if c.times[0] == time.Hour && seed > 5 && name == "disturbed" || c.name == "a glitch" && name == "bouncing" {
					continue // thousands of glitches, or a bounce that is a press
				}
				if events, _ := feed(samples); text(events) != c.want {
					t.Fatalf("seed %d, %s, %s: %s, want %s", seed, c.name, name, text(events), c.want)
				}
			}
		}
	}
}

// TestNoise: a line that never keeps still is no press.
func TestNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var samples []sample
	for now := time.Duration(0); now < time.Minute; now += time.Duration(random.Int64N(int64(Settle))) {
		samples = append(samples, sample{now, random.IntN(2) == 0})
	}
	samples = append(samples, sample{time.Minute, false})
	if events, _ := feed(samples); len(events) > 0 {
		t.Errorf("%s", text(events))
	}
}

func FuzzRecogniser(f *testing.F) {
	f.Add([]byte{1, 200, 3, 4})
	f.Add([]byte{255, 255, 255, 0, 0, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		samples := []sample{{0, false}}
		now, downs := time.Duration(0), 0
		for i, b := range raw {
			now += time.Duration(b) * time.Duration(b) * time.Millisecond
			down := i%2 == 0
			if down {
				downs++
			}
			samples = append(samples, sample{now, down})
		}
		events, _ := feed(append(samples, sample{now + time.Minute, false}))
		done := 0
		for _, e := range events {
			if e.Press != None {
				done++
			}
		}
		if done > downs {
			t.Errorf("%d presses made %d actions", downs, done)
		}
	})
}

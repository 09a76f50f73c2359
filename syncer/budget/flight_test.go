package budget

import (
	"math"
	"testing"
	"time"
)

// way is a line with a round trip, a rate, and requests of one size. What does
// not fit onto the line waits in front of it.
type way struct {
	trip time.Duration
	rate float64 // bytes per second
	size float64 // bytes of an answer
	// window is what comes in the first round trip, and twice as much in each after
	// it, on a connection that all share; 0: as much as the line takes.
	window float64
}

// at is the rate after some time: what the line takes, or the window in a trip.
func (w way) at(passed time.Duration) float64 {
	if w.window == 0 {
		return w.rate
	}
	trips := float64(passed) / float64(w.trip)
	return min(w.rate, w.window*math.Exp2(min(trips, 30))/w.trip.Seconds())
}

// rounds lets a flight make requests over the way for so many measurements, and
// tells how many requests were under way most, and in the end.
func (w way) rounds(f *Flight, measurements int) (most, last int) {
	var begun time.Duration
	for range measurements {
		var came float64
		every := f.Every()
		for passed := time.Duration(0); passed < every; {
			n := float64(f.Allowed())
			// n answers leave together and arrive one behind the other.
			each := time.Duration(w.size / w.at(begun+passed) * float64(time.Second))
			for i := range int(n) {
				f.Answered("host", w.trip+time.Duration(i)*each, true)
			}
			came += n * w.size
			passed += w.trip + time.Duration(n)*each
			most = max(most, f.Allowed())
		}
		begun += every
		f.Measured(min(came/every.Seconds(), w.at(begun)), true)
	}
	return most, f.Allowed()
}

// TestFlight lets a flight find out what ways of different kinds carry.
func TestFlight(t *testing.T) {
	for _, c := range []struct {
		name      string
		way       way
		max       int
		within    int // measurements
		most      int // that may ever be under way; 0: any number
		low, high int // where it is in the end
	}{
		{"a weak line", way{trip: 50 * time.Millisecond, rate: 25_000, size: 20_000}, 96, 30, 8, 2, 4},
		{"a weak line with much to bring", way{trip: 50 * time.Millisecond, rate: 25_000, size: 500_000}, 96, 30, 8, 2, 4},
		{"a weak line and a long way", way{trip: 600 * time.Millisecond, rate: 25_000, size: 20_000}, 96, 30, 10, 2, 8},
		{"a good line and a long way", way{trip: 600 * time.Millisecond, rate: 2_000_000, size: 100_000}, 96, 6, 0, 12, 60},
		{"a fast line and a long way", way{trip: 600 * time.Millisecond, rate: 10_000_000, size: 100_000}, 96, 6, 0, 50, 96},
		{"small things over a long way", way{trip: 600 * time.Millisecond, rate: 10_000_000, size: 2_000}, 64, 4, 0, 64, 64},
		{"one connection that finds its speed", way{trip: 100 * time.Millisecond, rate: 10_000_000, size: 100_000, window: 15_000}, 96, 8, 0, 14, 48},
		{"one connection over a long way", way{trip: 600 * time.Millisecond, rate: 2_000_000, size: 100_000, window: 15_000}, 96, 12, 0, 12, 60},
		{"only one allowed", way{trip: 600 * time.Millisecond, rate: 1e6, size: 2_000}, 1, 10, 1, 1, 1},
		{"none given", way{trip: 600 * time.Millisecond, rate: 1e6, size: 2_000}, 0, 10, 1, 1, 1},
	} {
		f := &Flight{Max: c.max}
		most, last := c.way.rounds(f, c.within)
		if last < c.low || last > c.high {
			t.Errorf("%s: %d requests at once in the end, want %d to %d", c.name, last, c.low, c.high)
		}
		if c.most > 0 && most > c.most {
			t.Errorf("%s: %d requests at once, want %d at most", c.name, most, c.most)
		}
	}
}

// TestFlightFollowsTheLine makes a good line weak under way, and good again.
func TestFlightFollowsTheLine(t *testing.T) {
	f := &Flight{Max: 96}
	good := way{trip: 100 * time.Millisecond, rate: 10_000_000, size: 50_000}
	if _, n := good.rounds(f, 10); n < 16 {
		t.Fatalf("%d requests at once on a good line", n)
	}
	weak := way{trip: 100 * time.Millisecond, rate: 50_000, size: 50_000}
	if _, n := weak.rounds(f, 30); n > 4 {
		t.Errorf("%d requests at once on a line that has become weak", n)
	}
	if _, n := good.rounds(f, 100); n < 8 {
		t.Errorf("%d requests at once on a line that is good again", n)
	}
}

// TestFlightOverABreakingLine counts what breaks off together once.
func TestFlightOverABreakingLine(t *testing.T) {
	f := &Flight{Max: 96}
	for range 30 {
		f.Answered("host", time.Second, true)
	}
	before := f.Allowed()
	for range before {
		f.Failed()
	}
	if n := f.Allowed(); n != before/2 {
		t.Errorf("%d of %d requests at once after a cut", n, before)
	}
	for range 10 {
		f.Measured(1000, false)
		f.Failed()
	}
	if n := f.Allowed(); n != leastFlight {
		t.Errorf("%d requests at once over a line that is cut all the time", n)
	}
	// One that is not full says nothing of how much there could be.
	f.Measured(1000, false)
	if n := f.Allowed(); n != leastFlight {
		t.Errorf("%d requests at once after an idle time", n)
	}
}

// TestFlightKeepsHostsApart has one slow host among quick ones.
func TestFlightKeepsHostsApart(t *testing.T) {
	f := &Flight{Max: 64}
	for range 100 {
		f.Answered("pages", 20*time.Millisecond, true)
		f.Answered("files", 900*time.Millisecond, true)
		f.Measured(float64(f.Allowed()), true)
	}
	if n := f.Allowed(); n != 64 {
		t.Errorf("%d requests at once; a host that is always slow is no crowd", n)
	}
	if d := f.Every(); d != 1800*time.Millisecond {
		t.Errorf("measured every %v", d)
	}
}

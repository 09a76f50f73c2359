package budget

import "testing"

// TestPace lets a pace run against lines of different kinds and looks at where
// it stays most of the time.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		name string
		max  int
		line func(connections int) float64
		want int
	}{
		{"full with one", 8, func(int) float64 { return 25_000 }, 2},
		{"a long way: each brings the same", 8, func(n int) float64 { return float64(n) * 100_000 }, 8},
		{"carries four", 16, func(n int) float64 { return float64(min(n, 4)) * 100_000 }, 4},
		{"more is worse", 8, func(n int) float64 { return 100_000 / float64(n) }, 2},
		{"only one allowed", 1, func(n int) float64 { return float64(n) }, 1},
		{"none given", 0, func(n int) float64 { return float64(n) }, 1},
	} {
		p := &Pace{Max: c.max}
		at := make(map[int]int)
		for range 500 {
			at[p.Connections()]++
			p.Measured(c.line(p.Connections()))
		}
		most := 0
		for n, times := range at {
			if n < 1 || n > max(c.max, 1) {
				t.Fatalf("%s: %d connections of %d", c.name, n, c.max)
			}
			if times > at[most] {
				most = n
			}
		}
		if most != c.want {
			t.Errorf("%s: stays at %d connections, want %d (%v)", c.name, most, c.want, at)
		}
	}
}

// TestPaceFollowsTheLine changes the line under way.
func TestPaceFollowsTheLine(t *testing.T) {
	p := &Pace{Max: 8}
	for range 100 {
		p.Measured(25_000)
	}
	if n := p.Connections(); n > 3 {
		t.Fatalf("%d connections on a full line", n)
	}
	for range 200 {
		p.Measured(float64(p.Connections()) * 50_000)
	}
	if n := p.Connections(); n < 7 {
		t.Errorf("%d connections on a line that carries eight", n)
	}
}

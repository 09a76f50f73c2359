package farline

import (
	"testing"
	"time"
)

// start is when the clock of these tests begins.
var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return start.Add(d) }

// arrivals lets a pipe carry packets that were all given to it at the start, and
// tells when each arrived.
func arrivals(p *pipe) (at []time.Duration) {
	for now := start; ; {
		arrived, next := p.advance(nil, now)
		for range arrived {
			at = append(at, now.Sub(start))
		}
		if next.IsZero() {
			return at
		}
		now = next
	}
}

func TestPipeTakesItsTime(t *testing.T) {
	p := newPipe(Options{Delay: 300 * time.Millisecond, Rate: 10_000, Queue: 100_000}, 1, nil)
	for range 5 {
		p.take(make([]byte, 1000), start)
	}
	got := arrivals(p)
	for i, at := range got {
		if want := 300*time.Millisecond + time.Duration(i+1)*100*time.Millisecond; at != want {
			t.Errorf("packet %d arrives after %v, want %v", i, at, want)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d packets arrive", len(got))
	}
}

func TestPipeIsIdleForNothing(t *testing.T) {
	p := newPipe(Options{Rate: 10_000, Queue: 100_000}, 1, nil)
	p.take(make([]byte, 1000), start)
	_, _ = p.advance(nil, after(time.Hour))
	// The hour in which nothing was sent is no credit.
	p.take(make([]byte, 1000), after(time.Hour))
	if arrived, next := p.advance(nil, after(time.Hour)); len(arrived) != 0 || next != after(time.Hour+100*time.Millisecond) {
		t.Errorf("%d arrive at once, the next at %v", len(arrived), next)
	}
}

func TestPipeRefuses(t *testing.T) {
	p := newPipe(Options{Rate: 10_000, Queue: 5_000}, 1, nil)
	for range 50 {
		p.take(make([]byte, 1000), start)
	}
	if n := len(arrivals(p)); n != 5 || p.traffic().Refused != 45 {
		t.Errorf("%d arrive, traffic %+v", n, p.traffic())
	}
}

func TestPipeQueueByDefault(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		want  int
	}{{0, 100_000}, {10 * time.Millisecond, 100_000}, {300 * time.Millisecond, 600_000}} {
		if got := newPipe(Options{Rate: 1_000_000, Delay: c.delay}, 1, nil).opts.Queue; got != c.want {
			t.Errorf("one way %v: %d bytes wait, want %d", c.delay, got, c.want)
		}
	}
}

func TestPipeChangesItsRate(t *testing.T) {
	p := newPipe(Options{Rate: 10_000, Queue: 100_000}, 1, nil)
	for range 3 {
		p.take(make([]byte, 1000), start)
	}
	_, _ = p.advance(nil, after(100*time.Millisecond))
	p.change(func() { p.opts.Rate = 1000 })
	if _, next := p.advance(nil, after(100*time.Millisecond)); next != after(1100*time.Millisecond) {
		t.Errorf("the second packet arrives at %v", next)
	}
}

func TestPipeLoses(t *testing.T) {
	sequence := func(seed uint64) (s string) {
		p := newPipe(Options{Loss: 0.2, Seed: seed}, 1, nil)
		for range 2000 {
			before := p.traffic().Lost
			p.take(make([]byte, 100), start)
			if p.traffic().Lost > before {
				s += "x"
			} else {
				s += "."
			}
		}
		if lost := p.traffic().Lost; lost < 340 || lost > 460 {
			t.Errorf("%d of 2000 packets are lost, want a fifth", lost)
		}
		return s
	}
	first := sequence(1)
	if again := sequence(1); again != first {
		t.Error("the same seed loses other packets")
	}
	if other := sequence(2); other == first {
		t.Error("another seed loses the same packets")
	}
}

func TestPipeSwallows(t *testing.T) {
	p := newPipe(Options{Delay: time.Second, Rate: 1000, Queue: 100_000}, 1, nil)
	p.take(make([]byte, 1000), start)
	p.take(make([]byte, 1000), start)
	_, _ = p.advance(nil, after(1500*time.Millisecond)) // one flies, one waits
	p.swallow(true)
	p.take(make([]byte, 1000), after(1500*time.Millisecond))
	if n := len(arrivals(p)); n != 0 || p.traffic().Dropped != 3 {
		t.Errorf("%d arrive, traffic %+v", n, p.traffic())
	}
	p.swallow(false)
	p.take(make([]byte, 1000), start)
	if n := len(arrivals(p)); n != 1 {
		t.Errorf("%d arrive after it", n)
	}
}

// TestFIFO keeps its order while it is filled and emptied, and lets go of what
// has left it.
func TestFIFO(t *testing.T) {
	var f fifo
	in, out := 0, 0
	for round := range 5000 {
		for range 3 + round%3 {
			f.push(parcel{bytes: []byte{byte(in), byte(in >> 8), byte(in >> 16)}})
			in++
		}
		for range 3 {
			b := f.pop().bytes
			if got := int(b[0]) | int(b[1])<<8 | int(b[2])<<16; got != out {
				t.Fatalf("%d came out, want %d", got, out)
			}
			out++
		}
	}
	if f.len() != in-out || cap(f.items) > 4*f.len()+4096 {
		t.Errorf("%d are left, want %d; room for %d", f.len(), in-out, cap(f.items))
	}
}

package budget

import "time"

// Flight finds how many small requests may be under way at once. On a long way
// that is many: each brings little, and takes a round trip. It begins with few
// and lets one more begin with each that came to its end, so that they double
// with each round trip. While answers take longer to begin than they would on an
// empty line it waits; when then no more comes than before, or where twice as many
// bring no more, the line is full. Then it goes on carefully.
//
// It is not safe for concurrent use.
type Flight struct {
	Max int // requests at most; at least 1

	n        int // may be under way
	cruising bool
	full     bool              // in the beginning: answers took longer since the last measurement
	delays   map[string]*delay // by host
	crowd    crowding          // at the last answer

	before float64 // bytes per second at the last measurement, or before the last step
	at     int     // n then
	step   bool    // more was tried at the last measurement
	hold   int     // measurements to wait before more is tried
	failed bool    // since the last measurement
}

// delay is how long the answers of a host take to begin.
type delay struct{ floor, lately time.Duration }

type crowding int8

const (
	light crowding = iota
	crowded
	jammed
)

const (
	firstFlight = 4
	leastFlight = 2
	// slack is what an answer may take longer to begin than on an empty line: a
	// host takes its time for one and not for the other.
	slack = 30 * time.Millisecond
	// quickest and slowest bound the time over which a line is measured.
	quickest = 300 * time.Millisecond
	slowest  = 3 * time.Second
	// worthDoubling is the gain that twice as many requests must bring in the
	// beginning, and worthMore that of a quarter more later on.
	worthDoubling = 1.25
	worthMore     = 1.05
)

// Allowed is how many may be under way now.
func (f *Flight) Allowed() int {
	if f.n == 0 {
		f.n = min(firstFlight, f.most())
	}
	return f.n
}

func (f *Flight) most() int  { return max(f.Max, 1) }
func (f *Flight) least() int { return min(leastFlight, f.most()) }

// Answered tells that an answer came to its end, and how long it took to begin;
// 0: not known. full: as many as are allowed were under way.
func (f *Flight) Answered(host string, first time.Duration, full bool) {
	f.Allowed()
	if first > 0 {
		f.crowd = f.delay(host).took(first)
	}
	switch {
	case f.cruising || !full || f.full:
	case f.crowd == light:
		f.n = min(f.n+2, 4*max(f.at, firstFlight), f.most())
	default:
		// What is under way is as much as the line takes now. It may take more in a
		// moment: a connection that is new finds its speed with the round trips, and
		// answers that share it wait for one another meanwhile.
		f.full = true
	}
}

// Light tells whether the last answers began as soon as on an empty line, as far
// as is known.
func (f *Flight) Light() bool { return f.crowd == light }

// Failed tells that an answer broke off. What breaks off together counts once.
func (f *Flight) Failed() {
	if !f.failed {
		f.failed = true
		f.cruise(f.Allowed() / 2)
	}
}

// cruise ends the beginning, with n requests.
func (f *Flight) cruise(n int) {
	f.n, f.cruising = max(n, f.least()), true
	f.before, f.step, f.hold = 0, false, 1
}

// Every is the time over which the line should be measured.
func (f *Flight) Every() time.Duration {
	d := quickest
	for _, host := range f.delays {
		d = max(d, 2*host.lately)
	}
	return min(d, slowest)
}

// Measured tells what came in since the last time, in bytes per second. full: as
// many requests as are allowed were under way; else it says nothing of the line.
func (f *Flight) Measured(rate float64, full bool) {
	f.Allowed()
	f.failed = false
	if !full {
		f.step = false
		return
	}
	if !f.cruising {
		f.climb(rate)
		return
	}
	switch {
	case f.crowd == jammed:
		f.n, f.step, f.hold = max(f.n*3/4, f.least()), false, 1
	case f.step && rate < f.before*worthMore:
		f.n, f.step, f.hold = f.at, false, settle
	case f.hold > 0:
		f.step = false
		f.hold--
	case f.crowd == light && f.n < f.most():
		f.before, f.at, f.step = rate, f.n, true
		f.n = min(f.n+max(f.n/4, 1), f.most())
	default:
		f.step = false
	}
}

// climb judges a measurement in the beginning: it ends when more comes no longer.
func (f *Flight) climb(rate float64) {
	before, at, full := f.before, f.at, f.full
	f.before, f.at = rate, f.n
	switch {
	case before == 0: // nothing to compare it with
	case rate >= before*worthDoubling:
		f.full = false
	case full:
		f.cruise(f.n * 3 / 4) // more than what fills the line
	case 2*f.n >= 3*at:
		f.cruise(at)
	}
}

func (f *Flight) delay(host string) *delay {
	if f.delays == nil {
		f.delays = make(map[string]*delay)
	}
	d := f.delays[host]
	if d == nil {
		d = new(delay)
		f.delays[host] = d
	}
	return d
}

// took notes how long an answer took to begin, and judges by the last few.
func (d *delay) took(first time.Duration) crowding {
	if d.floor == 0 {
		d.floor, d.lately = first, first
	}
	d.floor = min(d.floor, first)
	d.lately += (first - d.lately) / 6
	switch {
	case d.lately > 4*(d.floor+slack):
		return jammed
	case d.lately > 2*(d.floor+slack):
		return crowded
	}
	return light
}

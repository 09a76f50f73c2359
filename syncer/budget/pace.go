package budget

// Pace finds how many connections a line carries: one more as long as that
// brings more, one less where it did not. A line that is full gains nothing from
// another connection but cuts and timeouts; one with a long way does.
//
// It is fed with measurements of equal length and is not safe for concurrent use.
type Pace struct {
	Max int // connections at most; at least 1

	n      int     // in use
	before float64 // bytes per second before the last step
	step   int     // the last step: +1, -1, or 0 for none
	hold   int     // measurements to wait before the next try
}

const (
	// better is the gain that another connection must bring.
	better = 1.10
	// settle is how many measurements pass before a step is tried again that did
	// not help.
	settle = 10
	// firstPace is where it starts: a second connection hides the pauses of the
	// first on every line.
	firstPace = 2
)

// Connections is how many may be used now.
func (p *Pace) Connections() int {
	if p.n == 0 {
		p.n = min(firstPace, max(p.Max, 1))
	}
	return p.n
}

// Measured tells what came in, in bytes per second, while all connections were
// busy. It returns how many may be used from now on.
func (p *Pace) Measured(rate float64) int {
	p.Connections()
	switch {
	case p.step > 0 && rate < p.before*better:
		// The last one brought nothing: back, and leave it for a while.
		p.n--
		p.step, p.hold = -1, settle
	case p.hold > 0:
		p.hold--
		p.step = 0
	case p.n < p.Max:
		p.before = rate
		p.n++
		p.step = 1
	default:
		p.step = 0
	}
	return p.n
}

package fetch

// What a bounded range asks for at once, in bytes.
const (
	// sureSpan is small enough for whatever limits the size of one answer, and
	// leastSpan what a line is asked for that resets each connection: below it
	// the heads of the answers would weigh more than 2 %.
	sureSpan  = 64 << 10
	leastSpan = 16 << 10
)

// manner is how the rest of a file is asked for. An upstream, or a box on the
// way to it, may fail in one manner and serve in another. The zero value asks
// for all that is left at once. It is a plain value: next gives the one that
// follows.
type manner struct {
	anew      bool  // over a connection of its own
	whole     bool  // without a range: what is here already is passed over
	noIfRange bool  // the ETag differs from one answer to the next
	span      int64 // bytes asked for at once; 0: all that is left
	limit     int64 // the smallest span that failed; 0: none did
	good      int   // answers of this span in a row that came whole
	need      int   // how many there must be before a longer one is tried
	resets    int   // answers in a row that ended in a reset
	least     int64 // the fewest bytes that one of these brought
}

// outcome is what became of one request.
type outcome struct {
	fresh   bool  // it asked for the file from its beginning
	began   bool  // the head of an answer with bytes of the file came
	whole   bool  // every byte came that the answer promised
	got     int64 // bytes that were new
	reset   bool  // it ended in a reset of the connection
	refused bool  // its status may be meant for the range, or for the size of the answer
	odd     bool  // range or length break the rules
	cut     bool  // it ended before its time, twice at this byte
	worn    bool  // it broke off with nothing new, over a connection that had served before
}

// next is the manner after an outcome; the same where there is nothing to learn,
// or nothing left to try.
func (m manner) next(o outcome) manner {
	switch {
	case o.worn:
		// Something may end connections once they have carried so much: of this
		// one others had their part.
		m.anew = true
		return m
	case m.whole:
		return m
	case o.reset && o.got > 0:
		return m.afterReset(o.got)
	case o.whole:
		return m.grown()
	case o.got > 0:
		m.resets, m.good = 0, 0
		return m
	case o.refused, o.odd:
		n := m.shorter()
		if n == m {
			// At the beginning, a request without a range has been made already.
			n.whole = !o.fresh
		}
		return n
	case o.cut:
		return m.shorter()
	}
	return m
}

// afterReset asks for less when answers end in resets: a reset loses what was
// under way, which cannot be more than was asked for. One may be chance.
func (m manner) afterReset(got int64) manner {
	m.good = 0
	m.resets++
	if m.resets == 1 || got < m.least {
		m.least = got
	}
	if m.resets == 1 && m.span == 0 {
		return m
	}
	span := m.least
	if m.span > 0 {
		m.limit = m.span
		span = min(span, m.span/2)
		m.need = min(2*max(m.need, patienceToGrow), mostPatience)
	}
	m.span = max(span&^(4<<10-1), leastSpan)
	return m
}

// A longer span is tried after so many answers that came whole; after each that
// failed, after twice as many.
const (
	patienceToGrow = 8
	mostPatience   = 512
)

// grown tries twice the span when that which is asked for comes whole for long
// enough.
func (m manner) grown() manner {
	m.resets, m.anew = 0, false
	if m.span == 0 {
		return m
	}
	if m.good++; m.good < max(m.need, patienceToGrow) {
		return m
	}
	m.good = 0
	if longer := 2 * m.span; longer > 0 && (m.limit == 0 || longer < m.limit || m.need > patienceToGrow) {
		m.span = longer
	}
	return m
}

// shorter tries bounded ranges, and shorter ones down to sureSpan.
func (m manner) shorter() manner {
	switch {
	case m.span == 0:
		m.span = sureSpan
	case m.span > sureSpan:
		m.limit = m.span
		m.span = max(m.span/4, sureSpan)
		m.need = min(2*max(m.need, patienceToGrow), mostPatience)
	default:
		return m
	}
	m.good = 0
	return m
}

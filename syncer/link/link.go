// Package link judges the line: whether the upstream can be asked now. It is a
// pure machine, fed by what requests met; whoever uses it asks and probes.
package link

import (
	"sync"
	"time"
)

// Verdict is what is known of the line.
type Verdict struct {
	Up    bool      // the upstream can be asked
	Since time.Time // of the last change of Up
	Cause string    // why it is down; "" while it is up
	Probe time.Time // when the next probe is due; zero while it is up
}

// The pauses between two probes of a line that is down.
const (
	FirstProbe = 2 * time.Second
	LastProbe  = time.Minute
)

// Line is the judgement. It is safe for concurrent use. The zero value is a line
// of which nothing is known: it counts as up, so that the first request tries.
type Line struct {
	Now func() time.Time // nil: the clock

	mu      sync.Mutex
	verdict Verdict
	down    bool
	pause   time.Duration
	changed chan struct{}
}

func (l *Line) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// Worked says that the upstream answered, whatever it answered.
func (l *Line) Worked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down || l.verdict.Since.IsZero() {
		l.verdict = Verdict{Up: true, Since: l.now()}
		l.down, l.pause = false, 0
		l.broadcast()
	}
}

// Failed says that the upstream could not be reached, or stayed silent, and why.
func (l *Line) Failed(cause string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !l.down {
		l.verdict = Verdict{Since: now}
		l.down, l.pause = true, FirstProbe
	} else if now.Before(l.verdict.Probe) {
		// A request that was under way when the line went down: no news.
		l.verdict.Cause = cause
		return
	} else {
		l.pause = min(2*l.pause, LastProbe)
	}
	l.verdict.Cause, l.verdict.Probe = cause, now.Add(l.pause)
	l.broadcast()
}

// Verdict gives the judgement as it stands.
func (l *Line) Verdict() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.verdict
	v.Up = !l.down
	return v
}

// Up tells whether the upstream can be asked.
func (l *Line) Up() bool { return l.Verdict().Up }

// Changed gives a channel that is closed when the verdict changes.
func (l *Line) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

func (l *Line) broadcast() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

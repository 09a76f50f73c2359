// Package link judges the line: whether the upstream can be asked now, and where
// it cannot, whose fault that is.
//
// Machine is the judgement as a pure value (machine.go), fed with observations
// (state.go, observe.go) and put into words by Verdict (sentence.go). Line holds
// one for many goroutines and records its changes (record.go). Prober looks at
// the cable, the gateway and the rest of the way while something is wrong
// (probe.go, local.go, portal.go).
package link

import (
	"sync"
	"time"
)

// Line is the judgement of one line. It is safe for concurrent use. The zero value
// is a line of which nothing is known: it counts as up, so that the first request
// tries. Its exported fields must not change once it is in use.
type Line struct {
	Now      func() time.Time // nil: the clock
	Recorder Recorder         // is told each change of the state; nil: nobody is
	Boot     Boot             // zero: what ReadBoot reads below / at the first event

	mu        sync.Mutex
	machine   Machine
	changed   chan struct{}
	pending   []Event // not yet given to the Recorder
	recording bool    // somebody is giving it the events
}

func (l *Line) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// Met adds what a request or a probe met. The Recorder has the change when Met
// returns, unless another goroutine is giving it one at this moment.
func (l *Line) Met(o Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	old := l.machine
	l.machine = old.Next(o, now)
	if old.state != l.machine.state || !old.probe.Equal(l.machine.probe) {
		if l.changed != nil {
			close(l.changed)
			l.changed = nil
		}
	}
	if old.state != l.machine.state && l.Recorder != nil {
		if l.Boot.ID == "" {
			l.Boot = ReadBoot("/")
		}
		l.pending = append(l.pending, l.Boot.event(old, l.machine, now))
	}
	l.record()
}

// record gives the Recorder what is pending, without the lock: it may be slow.
func (l *Line) record() {
	if l.recording {
		return
	}
	l.recording = true
	for len(l.pending) > 0 {
		events := l.pending
		l.pending = nil
		l.mu.Unlock()
		for _, e := range events {
			l.Recorder.Record(e)
		}
		l.mu.Lock()
	}
	l.recording = false
}

// Verdict gives the judgement as it stands.
func (l *Line) Verdict() Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.machine.Verdict(l.now())
}

// Sentence tells a person the cause, since when, and when the next try is.
func (l *Line) Sentence() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return l.machine.Verdict(now).Sentence(now)
}

// Up tells whether the upstream can be asked.
func (l *Line) Up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.machine.state.Up()
}

// Changed gives a channel that is closed when the state changes, or the time of
// the next probe.
func (l *Line) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

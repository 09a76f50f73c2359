package syncer

import (
	"context"
	"sync"
	"time"

	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/wire"
)

// kind is how a job uses the line.
type kind int8

const (
	looking kind = iota // pages and metadata
	quick               // files that pass quickly
	slow                // those that do not
	kinds
)

// turns says how many jobs of a pass may be under way: of those that are small as
// many as the way needs to be filled, of large files as many as bring more. One
// kind never takes the turns of the other, so that large files do not starve
// small ones. It is guarded by the pass's lock.
type turns struct {
	active [kinds]int
	flight budget.Flight
	pace   budget.Pace
}

const (
	// mostLarge is how many large files may come in at once.
	mostLarge = 8
	// wide is from how many turns on a line counts as one that carries many.
	wide = 16
)

func newTurns(most int) turns {
	return turns{flight: budget.Flight{Max: most}, pace: budget.Pace{Max: min(most, mostLarge)}}
}

func (t *turns) idle() bool { return t.active == [kinds]int{} }

// room tells whether one more small job may begin. On a line that carries many,
// pages and metadata count half: they bring next to nothing, and without them
// there are no files.
func (t *turns) room() bool {
	n := t.flight.Allowed()
	looks, files := t.active[looking], t.active[quick]
	if n >= wide {
		looks /= 2
	}
	return looks+files < n && t.active[looking]+files < max(t.flight.Max, 1)
}

// share tells whether pages have as much of the line as they may have while there
// are files: all of one that they fill, as they do a weak one.
func (t *turns) share() bool {
	n, looks := t.flight.Allowed(), t.active[looking]
	if n >= wide {
		return looks >= min(n, t.flight.Max*2/3)
	}
	return t.flight.Light() && looks >= (n+1)/2
}

func (t *turns) roomForLarge() bool { return t.active[slow] < t.pace.Connections() }

// work does all jobs, each in its turn, until nothing is left to do.
func (p *pass) work() {
	wake := context.AfterFunc(p.ctx, func() { p.mu.Lock(); p.turn.Broadcast(); p.mu.Unlock() })
	defer wake()
	done := make(chan struct{})
	var measuring, jobs sync.WaitGroup
	measuring.Go(func() { p.measure(done) })
	for {
		job, k := p.next()
		if job == nil {
			break
		}
		jobs.Go(func() {
			job()
			p.mu.Lock()
			p.turns.active[k]--
			p.turn.Signal()
			p.mu.Unlock()
		})
	}
	jobs.Wait()
	close(done)
	measuring.Wait()
}

// timed hears of each answer from the upstream, and lets a running pass do more
// or less at once.
func (e *Engine) timed(a wire.Answer) {
	e.mu.Lock()
	p := e.pass
	e.mu.Unlock()
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.Whole {
		p.turns.flight.Answered(a.Host, a.First, !p.turns.room())
	} else {
		p.turns.flight.Failed()
	}
	p.turn.Signal()
}

// measureEvery is the time over which the line is measured for people, and for
// large files.
const measureEvery = 3 * time.Second

// gauge measures what comes in.
type gauge struct {
	at    time.Time
	bytes int64
}

// read gives the bytes per second since it was last read.
func (g *gauge) read(now time.Time, bytes int64) float64 {
	rate := float64(bytes-g.bytes) / max(now.Sub(g.at).Seconds(), 0.001)
	g.at, g.bytes = now, bytes
	return rate
}

// measure watches what comes in while the pass works.
func (p *pass) measure(done <-chan struct{}) {
	short := gauge{time.Now(), p.wire.Received()}
	long := short
	p.mu.Lock()
	timer := time.NewTimer(p.turns.flight.Every())
	p.mu.Unlock()
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
		}
		now, received := time.Now(), p.wire.Received()
		p.mu.Lock()
		p.turns.flight.Measured(short.read(now, received), !p.turns.room())
		if now.Sub(long.at) >= measureEvery {
			p.rate = long.read(now, received)
			if !p.turns.roomForLarge() { // else it was not the line that held it up
				p.turns.pace.Measured(p.rate)
			}
		}
		timer.Reset(p.turns.flight.Every())
		p.log.Debug("turns", "small", p.turns.flight.Allowed(), "large", p.turns.pace.Connections(), "active", p.turns.active, "rate", int64(p.rate))
		p.turn.Signal()
		p.mu.Unlock()
	}
}

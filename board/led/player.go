package led

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Light is what is drawn on. The player calls it from one goroutine.
type Light interface {
	// Set lights it in a colour, or not. A light without colours is lit by any.
	Set(Colour) error
}

// Patience is how long a player goes on without hearing from whoever knows the state.
// After that the light stays lit: a box of which nobody knows how it is must not say
// that all is well.
const Patience = 8 * time.Second

// apart is the least time between two moments at which the light goes on, also where
// states change quickly.
const apart = 340 * time.Millisecond

// Marks is the highest number that Mark takes.
const Marks = 3

// mark is what a number looks like: so many times dark.
func mark(n int) Timeline {
	var steps []Step
	for range min(n, Marks) {
		steps = append(steps, Step{false, 300 * time.Millisecond}, Step{true, 300 * time.Millisecond})
	}
	return Timeline{steps, White}
}

// Player draws states on a light. Its methods may be called by anybody; Run, once.
type Player struct {
	light Light
	log   *slog.Logger
	wake  chan struct{} // holds one

	mu    sync.Mutex
	state State
	marks int // to be shown once
	heard time.Time
	began bool
}

// NewPlayer makes a player that begins with Wait. A nil log is one that nobody reads.
func NewPlayer(light Light, log *slog.Logger) *Player {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Player{light: light, log: log, state: Wait, wake: make(chan struct{}, 1), heard: time.Now()}
}

// Show says how the box is. A state other than the one that is shown takes its place
// at once. It must be called again within Patience.
func (p *Player) Show(s State) {
	p.mu.Lock()
	now := time.Now()
	same := p.state == s && p.began && now.Sub(p.heard) < Patience // after that it sleeps
	p.heard, p.state = now, s
	p.mu.Unlock()
	if !same {
		p.poke()
	}
}

// Mark shows a number from 1 to Marks, once, by going dark so often.
func (p *Player) Mark(n int) {
	p.mu.Lock()
	p.marks = n
	p.mu.Unlock()
	p.poke()
}

func (p *Player) poke() {
	select {
	case p.wake <- struct{}{}:
	default: // it looks anyway
	}
}

// next gives what is to be drawn now, and until when that holds without a word.
func (p *Player) next() (s State, marks int, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = true
	marks, p.marks = p.marks, 0
	until = p.heard.Add(Patience)
	if !time.Now().Before(until) {
		return Dead, marks, time.Time{}
	}
	return p.state, marks, until
}

// Run plays until ctx ends, and then sets the light as the last state says: it is for
// whoever ends the program to say Safe before.
func (p *Player) Run(ctx context.Context) {
	d := drawing{light: p.light, log: p.log}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s, marks, until := p.next()
		if ctx.Err() != nil {
			d.set(Pattern(s).Steps[0].On, Pattern(s).Colour)
			return
		}
		at := d.draw(s, marks, time.Now())
		if !until.IsZero() && (at.IsZero() || until.Before(at)) {
			at = until
		}
		if at.IsZero() { // nothing changes by itself
			timer.Stop()
		} else {
			timer.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// drawing is how far a timeline has been drawn.
type drawing struct {
	light Light
	log   *slog.Logger

	state   State
	once    []Step // marks that are still to be shown, before the state
	colour  Colour // of the marks, or of the state
	begun   bool
	step    int
	ends    time.Time // of the step; zero: never
	lit     bool
	went    time.Time // when it last went on
	trouble bool      // the light did not take the last setting
}

// draw sets the light as it has to be now, and gives the moment at which it has to be
// looked at again; zero for never.
func (d *drawing) draw(s State, marks int, now time.Time) time.Time {
	if marks > 0 {
		d.once, d.begun = mark(marks).Steps, false
	}
	if s != d.state {
		d.state = s
		if len(d.once) == 0 {
			d.begun = false
		}
	}
	switch {
	case !d.begun:
		d.begun = true
		d.begin(0, now)
	case d.ends.IsZero() || now.Before(d.ends):
		return d.ends // woken for nothing
	default:
		d.advance(now)
	}
	step := d.steps()[d.step]
	if step.On && !d.lit && !d.went.IsZero() {
		if from := d.went.Add(apart); now.Before(from) { // dark a little longer
			d.begun = d.step > 0
			d.step--
			d.ends = from
			return from
		}
	}
	if step.On && !d.lit {
		d.went = now
	}
	d.set(step.On, d.colour)
	return d.ends
}

// steps are those that are being drawn.
func (d *drawing) steps() []Step {
	if len(d.once) > 0 {
		d.colour = White
		return d.once
	}
	t := Pattern(d.state)
	d.colour = t.Colour
	return t.Steps
}

// advance goes on to the step that follows.
func (d *drawing) advance(now time.Time) {
	from := d.ends
	if now.Sub(from) > time.Second { // the program was held up: what was missed is not made up for
		from = now
	}
	next := d.step + 1
	if next >= len(d.steps()) {
		d.once, next = nil, 0
	}
	d.begin(next, from)
}

func (d *drawing) begin(step int, from time.Time) {
	d.step, d.ends = step, time.Time{}
	if lasts := d.steps()[step].For; lasts > 0 {
		d.ends = from.Add(lasts)
	}
}

// set passes it on to the light, and says once what is wrong with it.
func (d *drawing) set(on bool, c Colour) {
	d.lit = on
	if !on {
		c = Off
	}
	err := d.light.Set(c)
	if (err != nil) != d.trouble {
		d.trouble = err != nil
		if err != nil {
			d.log.Warn("the light cannot be set", "reason", err)
		} else {
			d.log.Info("the light can be set again")
		}
	}
}

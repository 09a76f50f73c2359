package button

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Actions are what presses do. Each is called from one goroutine, and must not take
// long: the button is not read meanwhile.
type Actions interface {
	// Pressed does what a press means. It is called once for each.
	Pressed(Press)
	// Marked shows that a press is held for 5, 15 or 25 s: n is 1, 2 or 3.
	Marked(n int)
}

// Line is what is read of a GPIO line, as periph has it.
type Line interface {
	In(gpio.Pull, gpio.Edge) error
	Read() gpio.Level
	// WaitForEdge waits so long for a change, and tells whether there was one. Its
	// implementations differ in what 0 and -1 mean: neither is ever asked for.
	WaitForEdge(timeout time.Duration) bool
}

const (
	// longest is the longest that is waited for an edge: so long may Watch take to end.
	longest = time.Second
	// rest is the least time between two looks at a line that does not keep still, or
	// whose driver does not wait.
	rest = 5 * time.Millisecond
	// idle is the time between two looks at a line whose driver does not wait although
	// nothing is due.
	idle = 50 * time.Millisecond
)

// Prepare sets a line up for a button that connects it to ground. An error means that
// it cannot be read at all.
func Prepare(line Line) error {
	if err := line.In(gpio.PullUp, gpio.BothEdges); err != nil {
		// Drivers without pulls: the board may have a resistor of its own.
		if err := line.In(gpio.PullNoChange, gpio.BothEdges); err != nil {
			return fmt.Errorf("read the button: %w", err)
		}
	}
	return nil
}

// Watch reads a button, until ctx ends and up to a second longer, and has the actions
// done. It prepares the line; who gives up rights before has done so already. A nil log
// is one that nobody reads.
func Watch(ctx context.Context, line Line, actions Actions, log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := Prepare(line); err != nil {
		log.Error("the button does nothing", "reason", err)
		return
	}
	w := watch{line: line, actions: actions}
	if w.pressed() {
		// One that is held while the program starts is none of ours: it may be stuck.
		log.Warn("the button is pressed, or its line is connected to ground; it does nothing until it is let go")
		w.stuck = true
	}
	for ctx.Err() == nil {
		w.look(ctx)
	}
}

type watch struct {
	line    Line
	actions Actions
	seen    Recogniser
	stuck   bool
}

func (w *watch) pressed() bool { return w.line.Read() == gpio.Low }

// look waits for an edge, or until something is due, and sees to it.
func (w *watch) look(ctx context.Context) {
	wait := longest
	if next := w.seen.Next(); !next.IsZero() {
		wait = min(max(time.Until(next), time.Millisecond), longest)
	}
	begun := time.Now()
	edge := w.line.WaitForEdge(wait)
	took := time.Since(begun)
	w.tell(edge)
	switch {
	case edge && took < rest:
		pause(ctx, rest-took) // a line that flickers must not keep a processor busy
	case !edge && took < wait/2:
		// It did not wait. What is due soon is not missed, all else can wait longer.
		pause(ctx, min(idle, wait))
	}
}

// tell passes on what the line shows now.
func (w *watch) tell(edge bool) {
	pressed := w.pressed()
	if w.stuck {
		if pressed {
			return
		}
		w.stuck = false
	}
	for _, e := range w.seen.See(time.Now(), pressed, edge) {
		switch {
		case e.Mark > 0:
			w.actions.Marked(e.Mark)
		case e.Press != None:
			w.actions.Pressed(e.Press)
		}
	}
}

// pause sleeps, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

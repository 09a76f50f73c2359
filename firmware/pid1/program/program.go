// Package program keeps one program running: it starts it, hears by the protocol of
// sd_notify(3) how it is, ends it when it gives no sign of life, starts it again after a
// pause that grows, and remembers why it ended.
package program

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Running is a program that was started.
type Running interface {
	PID() int
	Ended() <-chan struct{} // is closed when it has ended
	Why() string            // how it ended: "exit status 1: the disk is full"
	Signal(unix.Signal)     // of one that has ended nobody hears
}

// Options are what a Keeper is built from; a zero duration is its default.
type Options struct {
	Start    func() (Running, error) // required
	Messages <-chan Message          // what comes over the notify socket; required
	// StartPatience is how long it may take from its start to READY=1; what it sends
	// meanwhile, WATCHDOG=1 or EXTEND_TIMEOUT_USEC, gives it that time anew.
	StartPatience time.Duration
	// Watchdog is how long it may say nothing once it is ready. It is told so.
	Watchdog time.Duration
	// StopPatience is how long it may take to end after SIGTERM.
	StopPatience time.Duration
	// First and Longest are the pauses before it is started again: each is double the
	// one before. After Settled without an end the first one counts again.
	First, Longest, Settled time.Duration
	Changed                 func(State) // is told each change; nil: nobody is. It must be quick
	Log                     *slog.Logger
}

// The defaults of Options.
const (
	DefaultStartPatience = 10 * time.Minute
	DefaultWatchdog      = time.Minute
	DefaultStopPatience  = 20 * time.Second
	DefaultFirst         = time.Second
	DefaultLongest       = time.Minute
	DefaultSettled       = 10 * time.Minute
)

// Watched is the reason of an end that a Keeper brought about, since it heard nothing.
const Watched = "watchdog"

// State is how the program is.
type State struct {
	Ready    bool      // it serves
	Status   string    // what it says of itself
	Since    time.Time // when it was started last
	Restarts int       // how often it was started again
	Last     string    // why it ended last; "": it never did
	LastAt   time.Time
	// Useful is when it was last known to do what it is for, or to be on the way there: it
	// was ready and gave a sign of life, or asked for more time to start.
	Useful time.Time
}

// Keeper keeps the program.
type Keeper struct {
	o Options

	mu     sync.Mutex
	state  State
	served time.Time // when it last was ready, and gave a sign of life
}

// New makes a Keeper; Run starts the program.
func New(o Options) *Keeper {
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{
		{&o.StartPatience, DefaultStartPatience}, {&o.Watchdog, DefaultWatchdog}, {&o.StopPatience, DefaultStopPatience},
		{&o.First, DefaultFirst}, {&o.Longest, DefaultLongest}, {&o.Settled, DefaultSettled},
	} {
		if *d.at == 0 {
			*d.at = d.is
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	now := time.Now()
	return &Keeper{o: o, state: State{Useful: now}, served: now}
}

// State tells how the program is.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

func (k *Keeper) change(do func(*State)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	do(&k.state)
	if k.o.Changed != nil {
		k.o.Changed(k.state)
	}
}

// Run keeps the program until ctx ends; then it ends it, and returns when it has ended.
func (k *Keeper) Run(ctx context.Context) {
	pause := k.o.First
	for {
		began := time.Now()
		why := k.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) >= k.o.Settled {
			pause = k.o.First
		}
		k.o.Log.Error("the program ended", "reason", why, "again in", pause)
		k.change(func(s *State) {
			s.Ready, s.Status, s.Last, s.LastAt = false, "", why, time.Now()
			s.Useful = k.served // what it wanted more time for came to nothing
		})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		pause = min(2*pause, k.o.Longest)
		k.change(func(s *State) { s.Restarts++ })
	}
}

// once starts the program, and tells why it ended.
func (k *Keeper) once(ctx context.Context) string {
	p, err := k.o.Start()
	if err != nil {
		return err.Error()
	}
	k.o.Log.Info("the program is started", "pid", p.PID())
	k.change(func(s *State) { s.Since = time.Now() })
	until := time.Now().Add(k.o.StartPatience)
	deadline := time.NewTimer(k.o.StartPatience)
	defer deadline.Stop()
	for {
		select {
		case <-ctx.Done():
			k.end(p, unix.SIGTERM)
			return p.Why()
		case <-p.Ended():
			return p.Why()
		case m := <-k.o.Messages:
			if m.PID == p.PID() {
				until = k.heard(m, until)
				deadline.Reset(time.Until(until))
			}
			if m.Trigger && m.PID == p.PID() {
				k.end(p, unix.SIGABRT)
				return Watched + ": it asked for it; " + p.Why()
			}
		case <-deadline.C:
			reason := Watched + ": no sign of life for " + k.o.Watchdog.String()
			if !k.State().Ready {
				reason = Watched + ": it did not come up within " + k.o.StartPatience.String()
			}
			// The Go runtime answers with what each goroutine does: the log has it.
			k.end(p, unix.SIGABRT)
			return reason
		}
	}
}

// heard takes a message of the program, which has until a time to send one, and gives the
// time that it has now. Who asks for more never gets less.
func (k *Keeper) heard(m Message, until time.Time) time.Time {
	k.change(func(s *State) {
		now := time.Now()
		if m.Ready && !s.Ready {
			s.Ready = true
			k.o.Log.Info("the program is ready", "after", now.Sub(s.Since).Round(time.Millisecond))
		}
		if m.Status != "" {
			s.Status = m.Status
		}
		switch {
		case s.Ready && (m.Alive || m.Ready):
			s.Useful, k.served = now, now
		case !s.Ready && m.Extend > 0:
			s.Useful = now
		}
		switch {
		case m.Extend > 0:
			if more := now.Add(m.Extend); more.After(until) {
				until = more
			}
		case !m.Alive && !m.Ready: // only a word
		case s.Ready:
			until = now.Add(k.o.Watchdog)
		default:
			until = now.Add(k.o.StartPatience)
		}
	})
	return until
}

// end sends the program a signal, and one that cannot be refused when it does not heed
// it.
func (k *Keeper) end(p Running, signal unix.Signal) {
	p.Signal(signal)
	timer := time.NewTimer(k.o.StopPatience)
	defer timer.Stop()
	for {
		select {
		case <-p.Ended():
			return
		case <-k.o.Messages: // nobody is kept waiting
		case <-timer.C:
			k.o.Log.Warn("the program does not end, and is killed", "after", k.o.StopPatience)
			p.Signal(unix.SIGKILL)
			<-p.Ended()
			return
		}
	}
}

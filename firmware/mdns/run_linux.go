package mdns

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// settle is how long changes are awaited that come together with one.
	settle = 50 * time.Millisecond
	// lookAnyway is the time between two looks at the links that nobody has asked for.
	lookAnyway = time.Minute
	// waiting messages that nobody has looked at; of 9 KB each at most.
	waiting = 64
)

// Run makes the box known until ctx ends, and then says goodbye. An error says that the
// port cannot be had, or that a socket broke; then the box is not known any more.
func (r *Responder) Run(ctx context.Context) error {
	if r.o.Name == "" || len(r.o.ID) < 4*stages {
		return fmt.Errorf("make the name known: a name and an identity of %d characters are needed, not %q and %q", 4*stages, r.o.Name, r.o.ID)
	}
	s, err := openSockets(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	messages, changed, failed := make(chan incoming, waiting), make(chan struct{}, 1), make(chan error, 3)
	start := func(run func() error) {
		running.Go(func() {
			if err := run(); err != nil {
				failed <- err
			}
		})
	}
	start(func() error { return watchLinks(ctx, changed) })
	if s.v4 != nil {
		start(func() error { return s.read(false, messages) })
	}
	if s.v6 != nil {
		start(func() error { return s.read(true, messages) })
	}
	err = r.loop(ctx, s, messages, changed, failed, &running)
	cancel()
	err = errors.Join(err, s.Close())
	running.Wait()
	r.set("", r.State().Silent)
	return err
}

// loop is the one goroutine that decides.
func (r *Responder) loop(ctx context.Context, s *sockets, messages <-chan incoming, changed <-chan struct{}, failed <-chan error, running *sync.WaitGroup) error {
	e := newEngine(r.o, func(below time.Duration) time.Duration { return rand.N(below) })
	look := time.NewTimer(0) // at once
	defer look.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	var keeping sync.Mutex
	soon := true // a look is about to come
	for {
		select {
		case <-ctx.Done():
			e.goodbye(time.Now())
			r.flush(e, s)
			return nil
		case err := <-failed:
			return err
		case in := <-messages:
			e.receive(time.Now(), in)
		case <-changed:
			if !soon {
				soon = true
				look.Reset(settle)
			}
		case <-look.C:
			soon = false
			r.look(e, s)
			look.Reset(lookAnyway)
		case <-due.C:
		}
		e.tick(time.Now())
		r.flush(e, s)
		if label := e.took; label != "" && r.o.Keep != nil {
			running.Go(func() {
				keeping.Lock()
				defer keeping.Unlock()
				r.o.Keep(label)
			})
		}
		e.took = ""
		r.set(e.known(), e.silent)
		if at := e.next(); !at.IsZero() {
			due.Reset(time.Until(at))
		}
	}
}

// look asks the kernel what links there are.
func (r *Responder) look(e *engine, s *sockets) {
	links, err := readLinks()
	if err != nil {
		r.o.Log.Warn("the links cannot be told; the old ones count", "reason", err)
		return
	}
	if links, err = s.join(links); err != nil {
		r.o.Log.Warn("the name is not known on all links", "reason", err)
	}
	e.setLinks(time.Now(), links)
}

// flush sends what the engine has to say.
func (r *Responder) flush(e *engine, s *sockets) {
	for _, o := range e.drain() {
		if err := s.send(o); err != nil {
			r.o.Log.Debug("a message on the name could not be sent", "interface", o.link.index, "reason", err)
		}
	}
}

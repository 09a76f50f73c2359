package app

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"cheeseboard/board/watchdog"
	"cheeseboard/firmware/notify"
)

const (
	// extendEvery is the time between two requests for more time, each of which asks for
	// three times as much.
	extendEvery = 10 * time.Second
	// effortLeast is what a process that is at work does in that time at least: two
	// hundredths of a processor. A light that winks needs less.
	effortLeast = 200 * time.Millisecond
	// effortBlock is what a block counts for that was read or written: who waits for a
	// card uses no processor.
	effortBlock = 10 * time.Millisecond
)

// Supervisor is whoever has started this program and looks after it: systemd, or the
// init of our image. It lives longer than the App: it hears that the box is being
// opened, and closed. nil is nobody.
type Supervisor struct {
	to     *notify.Supervisor
	log    *slog.Logger
	effort func() time.Duration // that the process has made so far

	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	since  time.Time // when it began to start, or to stop
	serves bool
	failed bool // the last message did not arrive
}

// OpenSupervisor finds whoever supervises this process, and begins to ask for time while
// the box is being opened: after a cut that may take longer than anybody thought. nil
// where there is nobody.
func OpenSupervisor(log *slog.Logger) *Supervisor {
	to, err := notify.Open(os.Getenv)
	for _, name := range notify.Variables() {
		_ = os.Unsetenv(name) // a name of ours is never refused; children are not meant
	}
	if err != nil {
		log.Error("nobody is told how this box is", "reason", err)
	}
	if to == nil {
		return nil
	}
	return newSupervisor(to, log, effort)
}

func newSupervisor(to *notify.Supervisor, log *slog.Logger, effort func() time.Duration) *Supervisor {
	s := &Supervisor{to: to, log: log, effort: effort, since: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.running.Go(func() { s.extend(ctx, s.say) })
	return s
}

// Close says no more.
func (s *Supervisor) Close() error {
	if s == nil {
		return nil
	}
	s.cancel()
	s.running.Wait()
	return s.to.Close()
}

// say tells it something. That it does not arrive is no reason to stop serving.
func (s *Supervisor) say(assignments ...string) {
	err := s.to.Say(assignments...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !s.failed {
		s.log.Warn("the supervisor does not hear this box", "reason", err)
	}
	s.failed = err != nil
}

// extend asks for more time while the box is opened or closed, as long as the process is
// seen to work: one that hangs is to be ended.
func (s *Supervisor) extend(ctx context.Context, say func(...string)) {
	ticker := time.NewTicker(extendEvery)
	defer ticker.Stop()
	for last := s.effort(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := s.effort()
		done := now - last
		last = now
		s.mu.Lock()
		wanted := !s.serves && time.Since(s.since) < pauseBound
		s.mu.Unlock()
		if wanted && done >= effortLeast {
			say(notify.Extend(3 * extendEvery))
		}
	}
}

// enter notes that the box serves, or that it stops.
func (s *Supervisor) enter(serves bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serves, s.since = serves, time.Now()
}

// effort is the time that this process had of the processors, and what it moved.
func effort() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano()+u.Stime.Nano()) + time.Duration(u.Inblock+u.Oublock)*effortBlock
}

// Supervised has the box tell its supervisor how it is. It is called before Serve, and
// the supervisor must be closed after the App.
func (a *App) Supervised(s *Supervisor) { a.supervisor = s }

// tellReady tells the supervisor that the box can be reached.
func (a *App) tellReady() {
	if s := a.supervisor; s != nil {
		s.enter(true)
		s.say(notify.Ready, notify.Status(a.oneLine()))
	}
}

// tellStopping tells the supervisor that the box ends, as it was asked to.
func (a *App) tellStopping() {
	if s := a.supervisor; s != nil {
		s.enter(false)
		s.say(notify.Stopping, notify.Status("stopping"))
	}
}

// report tells the supervisor how the box is when that changes, and that it is of use as
// long as the same proofs hold as for a hardware watchdog; until ctx ends.
func (a *App) report(ctx context.Context, address net.Addr) {
	s := a.supervisor
	if s == nil {
		return
	}
	var petting sync.WaitGroup
	defer petting.Wait()
	if every := s.to.Watchdog(); every > 0 {
		petting.Go(func() {
			err := watchdog.Run(ctx, watchdog.Options{
				What: "watchdog of the supervisor", Open: func() (watchdog.Device, error) { return leash{s, every}, nil },
				Log: a.log, Checks: a.proofs(address),
			})
			if err != nil {
				a.log.Error("the watchdog of the supervisor is not kept", "reason", err)
			}
		})
	}
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for told := ""; ; {
		if line := a.oneLine(); line != told {
			told = line
			s.say(notify.Status(line))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// leash is the supervisor as a watchdog.
type leash struct {
	s     *Supervisor
	every time.Duration
}

// Ping implements watchdog.Device.
func (l leash) Ping() error { l.s.say(notify.Alive); return nil }

// Timeout implements watchdog.Device.
func (l leash) Timeout() (time.Duration, error) { return l.every, nil }

// Close implements watchdog.Device. The supervisor has heard that the box stops, and has
// its own time for that.
func (l leash) Close() error { return nil }

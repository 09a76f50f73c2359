// Package watchdog keeps the hardware watchdog quiet as long as the box is of use, and
// no longer: a machine that does not answer, or whose disk takes nothing any more, is
// restarted by it.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"
)

// Device is a watchdog that is open: it restarts the machine unless it is petted.
type Device interface {
	Ping() error
	// Timeout is how long after a Ping the machine is restarted.
	Timeout() (time.Duration, error)
	// Close disarms it.
	Close() error
}

// Check proves that a part of the box works, by using it. It ends with its context.
type Check struct {
	Name string
	Try  func(context.Context) error
}

// Options are what a watchdog is kept by.
type Options struct {
	What   string                 // is kept, in the log; "": "hardware watchdog"
	Open   func() (Device, error) // nil: OpenDevice
	Checks []Check
	// Every is the time between two rounds of checks, and so often something is written
	// to the card. 0: DefaultEvery.
	Every time.Duration
	// Patience is how old the last success of a check may be for the device to be
	// petted: a box that is merely slow must not be restarted. 0: DefaultPatience.
	Patience time.Duration
	Log      *slog.Logger // nil discards
}

// The defaults of Options. What hangs is restarted after DefaultPatience and the
// time-out of the device, 15 s on a Raspberry Pi.
const (
	DefaultEvery    = 2 * time.Minute
	DefaultPatience = 5 * time.Minute
)

// Run keeps the device quiet until ctx ends, and then disarms it. Where there is no
// device it says so in the log, and returns. It starts nothing before it has the device.
func Run(ctx context.Context, o Options) error {
	if o.What == "" {
		o.What = "hardware watchdog"
	}
	if o.Open == nil {
		o.Open = OpenDevice
	}
	if o.Every == 0 {
		o.Every = DefaultEvery
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	device, err := o.Open()
	if errors.Is(err, fs.ErrNotExist) {
		o.Log.Info("there is no " + o.What + ": a machine that hangs is not restarted")
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the watchdog: %w; watchdog.enabled = false does without, where an init keeps it", err)
	}
	timeout, err := device.Timeout()
	if err != nil || timeout <= 0 {
		o.Log.Warn("the watchdog does not tell its time-out, and is taken for one of 10 s", "reason", err)
		timeout = 10 * time.Second
	}
	o.Log.Info("the "+o.What+" is armed", "timeout", timeout, "after", o.Patience)
	k := &keeper{o: o, last: make([]time.Time, len(o.Checks)), why: make([]error, len(o.Checks))}
	for i := range k.last {
		k.last[i] = time.Now() // the box has just started
	}
	var checking sync.WaitGroup
	for i := range o.Checks {
		checking.Go(func() { k.check(ctx, i) })
	}
	checked := make(chan struct{})
	go func() { defer close(checked); checking.Wait() }()
	// A stop waits for checks that are under way, and the device does not: one that hangs
	// has it bite.
	k.pet(device, timeout, checked)
	if err := device.Close(); err != nil {
		return fmt.Errorf("disarm the watchdog: %w", err)
	}
	o.Log.Info("the " + o.What + " is disarmed")
	return nil
}

// keeper knows when each check last succeeded.
type keeper struct {
	o Options

	mu   sync.Mutex
	last []time.Time
	why  []error // of the last try; nil: it went well
}

// check tries one part again and again, until ctx ends. Each has a goroutine of its own:
// one that hangs is not tried again, and holds up no other.
func (k *keeper) check(ctx context.Context, i int) {
	ticker := time.NewTicker(k.o.Every)
	defer ticker.Stop()
	for {
		err := k.try(ctx, i)
		k.mu.Lock()
		if k.why[i] = err; err == nil {
			k.last[i] = time.Now()
		}
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (k *keeper) try(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, k.o.Patience)
	defer cancel()
	return k.o.Checks[i].Try(ctx)
}

// stale names the checks that have not succeeded for too long.
func (k *keeper) stale() (names []string, why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, check := range k.o.Checks {
		if time.Since(k.last[i]) >= k.o.Patience {
			names, why = append(names, check.Name), errors.Join(why, k.why[i])
		}
	}
	return names, why
}

// pet pets the device while all checks have succeeded lately, until they have ended.
func (k *keeper) pet(device Device, timeout time.Duration, ended <-chan struct{}) {
	ticker := time.NewTicker(timeout / 4)
	defer ticker.Stop()
	warned := false
	for {
		names, why := k.stale()
		switch {
		case len(names) == 0:
			if err := device.Ping(); err != nil {
				k.o.Log.Error("the "+k.o.What+" could not be petted", "reason", err)
			}
			warned = false
		case !warned:
			warned = true
			k.o.Log.Error("the box does not work: the "+k.o.What+" will bite", "failed", names, "for", k.o.Patience, "reason", why)
		}
		select {
		case <-ended:
			return
		case <-ticker.C:
		}
	}
}

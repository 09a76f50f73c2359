package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"cheeseboard/firmware/health"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/update"
	"cheeseboard/syncer/budget"
)

// The image of a box is renewed by its init, which alone has the card. The program
// brings bundles to it: from the LAN, from a command, from the releases; and chooses
// the hour. What a bundle is worth, init judges for itself.

const (
	// lookAtMachine is the time between two looks at what init says.
	lookAtMachine = 5 * time.Second
	// staleMachine is how old such a look may be before it counts no more.
	staleMachine = time.Minute
	// refusedFor is how long a version that was rolled back asks for attention.
	refusedFor = 14 * 24 * time.Hour
)

// MachineState is what the init of our image says.
type MachineState = machine.State

// UpdateOptions are those of the command.
type UpdateOptions struct {
	Again bool // also a version that is not newer
	// Stay does not restart into what was installed: the box does so at an hour of its
	// settings, or when it is told to.
	Stay bool
}

// UpdateProgress is how far an installation is.
type UpdateProgress = machine.Progress

// Updated is what an update did.
type Updated struct {
	Version    string `json:"version"`
	Slot       int    `json:"slot"`
	Restarting bool   `json:"restarting"` // into it, on trial
}

// updates is what is known of the box's image. The zero value is that of a machine
// whose init is not ours.
type updates struct {
	keys func() ([]ed25519.PublicKey, error) // nil: those of the image

	installing sync.Mutex // held while a bundle is brought to init

	mu      sync.Mutex
	state   machine.State
	looked  time.Time // zero: never
	problem string    // why init does not answer
	offer   *update.Offer
	checked time.Time // when the releases were last asked with success
	failed  string    // why they could not be asked, or fetched; "" for nothing
	tried   time.Time
	fetched int64 // bytes of the offer's bundle
}

// now is the last that init has said; false where that is too long ago.
func (u *updates) now() (machine.State, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state, !u.looked.IsZero() && time.Since(u.looked) < staleMachine
}

// look asks init.
func (a *App) look(ctx context.Context) (machine.State, error) {
	if a.machine == nil {
		return machine.State{}, errNoMachine
	}
	s, err := a.machine.State(ctx)
	u := &a.updates
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil {
		u.problem = err.Error()
		return s, err
	}
	u.state, u.looked, u.problem = s, time.Now(), ""
	return s, nil
}

var errNoMachine = errors.New("this machine was not started from our image: it is updated by what its system has for that")

// tendUpdates looks at the machine, asks for releases, and does by itself what the
// settings allow, until ctx ends.
func (a *App) tendUpdates(ctx context.Context) {
	if a.machine == nil {
		return
	}
	ticker := time.NewTicker(lookAtMachine)
	defer ticker.Stop()
	warned := ""
	for {
		why := ""
		if err := a.tendUpdate(ctx); err != nil && ctx.Err() == nil {
			if why = err.Error(); why != warned {
				a.log.Warn("the box could not see to its updates; it is tried again", "reason", err)
			}
		}
		warned = why
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tendUpdate is one round of it.
func (a *App) tendUpdate(ctx context.Context) error {
	s, err := a.look(ctx)
	if err != nil || s.Trial != nil || s.NoUpdate != "" {
		return err
	}
	if a.config.Update.Automatic && s.Waiting != nil && a.mayRestart(time.Now()) {
		a.log.Info("the box restarts into its new version, on trial", "version", s.Waiting.Version)
		return a.machine.Restart(ctx, machine.TryOther)
	}
	if !a.dueForReleases(time.Now()) {
		return nil
	}
	ctx = budget.With(ctx, budget.Background)
	offer, err := a.checkReleases(ctx)
	if err == nil && offer != nil && a.config.Update.Automatic && update.Worth(s, offer.Version) {
		_, err = a.takeOffer(ctx, *offer, UpdateOptions{Stay: true}, func(Event) {})
	}
	a.noteReleases(err)
	return err
}

// mayRestart tells whether the box may restart by itself now.
func (a *App) mayRestart(now time.Time) bool {
	var hours budget.Windows
	for _, text := range a.config.Update.Hours {
		w, err := budget.ParseWindow(text)
		if err != nil {
			return false // the settings were checked
		}
		hours = append(hours, w)
	}
	open, _ := hours.Open(now)
	return open && !a.busy() && a.moving.Load() == 0 && (len(hours) == 0 || a.timing.verified())
}

// install brings a bundle to init and, unless it is to stay, has the machine restart
// into it. size is -1 where it is not known.
func (a *App) install(ctx context.Context, bundle io.Reader, size int64, o UpdateOptions, report func(Event)) (Updated, error) {
	if a.machine == nil {
		return Updated{}, errNoMachine
	}
	if !a.updates.installing.TryLock() {
		return Updated{}, &machine.Refusal{Kind: machine.NotNow, Text: "another update is being installed: wait for its end"}
	}
	defer a.updates.installing.Unlock()
	last := time.Time{}
	got, err := a.machine.Update(ctx, bundle, machine.UpdateOptions{Again: o.Again, Size: size}, func(p machine.Progress) {
		if now := time.Now(); now.Sub(last) >= tick || p.Done == p.Total {
			last = now
			report(Event{Update: &p})
		}
	})
	if err != nil {
		return Updated{}, err
	}
	a.log.Info("a new version was installed", "version", got.Version, "slot", got.Slot)
	done := Updated{Version: got.Version, Slot: got.Slot}
	if !o.Stay {
		if err := a.machine.Restart(ctx, machine.TryOther); err != nil {
			return done, fmt.Errorf("version %s is installed, and the box could not restart into it: %w", got.Version, err)
		}
		done.Restarting = true
	}
	return done, nil
}

// installFile is install for a file.
func (a *App) installFile(ctx context.Context, path string, o UpdateOptions, report func(Event)) (Updated, error) {
	f, err := os.Open(path)
	if err != nil {
		return Updated{}, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return Updated{}, err
	}
	return a.install(ctx, f, info.Size(), o, report)
}

// probeUpdate tells how the image is.
func (a *App) probeUpdate() health.Finding {
	u := &a.updates
	u.mu.Lock()
	problem, failed, offer := u.problem, u.failed, u.offer
	u.mu.Unlock()
	s, known := u.now()
	if !known {
		return notMeasured("init does not answer: " + problem)
	}
	return judgeUpdate(s, offer, failed, time.Now())
}

// judgeUpdate makes a finding of what is known.
func judgeUpdate(s machine.State, offer *update.Offer, failed string, now time.Time) health.Finding {
	text := fmt.Sprintf("version %s runs from slot %d", s.Version, s.Slot)
	switch r := s.Refused; {
	case s.Slot == 0:
		return notMeasured(s.NoUpdate)
	case s.NoUpdate != "" && s.Data.State == "read-only":
		return attention("replace the card", "%s, and cannot be updated: %s", text, s.NoUpdate)
	case s.NoUpdate != "":
		return attention("write the card anew with the image; what is on the data partition can be kept", "%s, and cannot be updated: %s", text, s.NoUpdate)
	case s.Trial != nil && s.Trial.Missing != "":
		return well("%s, on trial: %s", text, s.Trial.Missing)
	case s.Trial != nil:
		return well("%s, on trial, and all is well so far", text)
	case r != nil && (s.Waiting == nil || s.Waiting.Version == r.Version) && now.Sub(r.When) < refusedFor:
		return attention("nothing by hand: a newer version is taken when there is one", "%s; version %s was tried and given back: %s", text, r.Version, r.Reason)
	case s.Waiting != nil:
		return well("%s; version %s is installed and waits to be started", text, s.Waiting.Version)
	case r != nil:
		text += fmt.Sprintf("; version %s was tried and given back: %s", r.Version, r.Reason)
	}
	if offer != nil && update.Worth(s, offer.Version) {
		text += fmt.Sprintf("; version %s is released", offer.Version)
	}
	if failed != "" {
		text += "; " + failed
	}
	return well("%s", text)
}

// probeData tells what init has met on the data partition.
func (a *App) probeData() health.Finding {
	s, known := a.updates.now()
	if !known {
		return notMeasured("init does not answer")
	}
	return judgeData(s.Data)
}

// judgeData makes a finding of what init says of the data partition.
func judgeData(d machine.Data) health.Finding {
	switch d.State {
	case "clean", "":
		return well("the data partition is sound")
	case "repaired":
		return well("the data partition was repaired at the start: %s", d.Detail)
	case "read-only":
		return attention("save what is only here, such as private packages, and replace the card", "the data partition can only be read: %s", d.Detail)
	case "memory":
		return health.Finding{Severity: health.Attention, Action: "look at the card, and replace it",
			Summary: "there is no data partition: all that is stored is lost when the box restarts. " + d.Detail}
	default:
		return attention("look at the card; what was lost comes again by itself", "the data partition was begun anew: %s", d.Detail)
	}
}

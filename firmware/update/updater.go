package update

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"cheeseboard/firmware/machine"
	"cheeseboard/storage/durable"
)

// Options are what an Updater is made of.
type Options struct {
	Running Release             // what runs, from ReleasePath
	Keys    []ed25519.PublicKey // whom it trusts
	Boot    Boot
	// Open opens a partition of the card: 1, or a slot. It is called for each use.
	Open func(partition int) (Area, error)
	// Notes is a folder of init's own on the data partition; "" where there is none.
	Notes string
	// Never says why nothing can be installed although there are slots, such as that the
	// card cannot be written any more: what was noted is only read then. "": it can.
	Never string
	Disk  *durable.Disk    // nil: the real one
	Log   *slog.Logger     // nil discards
	Now   func() time.Time // nil: time.Now
}

// Updater is what init has of all this. It is safe for concurrent use.
type Updater struct {
	Options
	chunk   int    // bytes that are written at once
	nothing string // why nothing can be updated; "" where it can

	installing sync.Mutex // held by the one installation

	policy Policy // by which a trial of this slot is judged

	mu      sync.Mutex
	memory  memory
	trial   bool // the running slot is not the default, and not yet judged
	asked   bool // and there is a note that wanted it tried
	state   Trial
	verdict Verdict
	up      time.Duration
}

// New looks at how the machine was started, and settles what became of an update
// that was under way; a slot that is on trial is noted as begun before New returns.
// Call it once, early, when the data partition is mounted. It always gives an
// Updater: one that cannot update says so in its state, and the error is for the log.
func New(o Options) (*Updater, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	o.Now = func() time.Time { return now().UTC().Truncate(time.Second) }
	if o.Disk == nil {
		o.Disk = new(durable.Disk)
	}
	u := &Updater{Options: o, chunk: chunkSize, memory: memory{Format: format}}
	if o.Running.Trial != nil {
		u.policy = *o.Running.Trial
	}
	u.policy = u.policy.withDefaults()
	err := u.begin()
	if err != nil && u.nothing == "" {
		u.nothing = err.Error()
	}
	return u, err
}

// begin is New's work.
func (u *Updater) begin() error {
	if !isSlot(u.Boot.Slot) {
		u.nothing = "this machine was not started by a boot firmware that knows slots"
		return nil
	}
	u.nothing = u.Never
	first, err := u.Open(1)
	if err != nil {
		return err
	}
	auto, _, err := readAutoboot(first)
	if err = errors.Join(err, first.Close()); err != nil {
		return err
	}
	// A slot that is not the default must not stay, whatever is or is not noted.
	u.trial = u.Boot.Slot != auto.Default
	if u.Notes == "" {
		u.nothing = "there is no data partition on which to note how an update goes"
		return nil
	}
	old, err := readMemory(u.Notes)
	if err != nil {
		u.Log.Warn("the note of updates is begun anew", "reason", err)
	}
	u.memory, u.asked = old.settle(u.Boot, auto.Default, u.Now())
	if u.Never != "" {
		return nil // what becomes of an update cannot be noted; a trial ends where it began
	}
	next := u.memory
	if next.Refused != nil && (old.Refused == nil || *old.Refused != *next.Refused) {
		u.Log.Error("a new version was not kept", "version", next.Refused.Version, "reason", next.Refused.Reason)
	}
	if reflect.DeepEqual(old, next) {
		return nil // most starts write nothing
	}
	return next.write(u.Disk, u.Notes)
}

// OnTrial reports whether the running slot is to be judged: then call Judge every
// few seconds.
func (u *Updater) OnTrial() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.trial
}

// Judge takes one look at a slot on trial. On Commit the slot is the default from
// then on, durably. On Rollback the reason is noted, and the caller restarts the
// machine plainly. An error of the card is a reason to try again; it counts against
// the deadline.
func (u *Updater) Judge(s Signs) (Verdict, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.trial {
		return Verdict{Decision: Wait}, nil
	}
	u.up = s.Up
	a := u.memory.Attempt
	if !u.asked {
		u.verdict = Verdict{Decision: Rollback, Text: "nobody asked for a trial of this slot"}
		return u.verdict, nil
	}
	u.state, u.verdict = u.state.Next(u.policy, a.Baseline, s)
	switch u.verdict.Decision {
	case Commit:
		err := u.commit()
		if err == nil {
			return u.verdict, nil
		}
		u.verdict = Verdict{Text: err.Error()}
		if s.Up < u.policy.Deadline {
			return u.verdict, err
		}
		u.verdict.Decision = Rollback
		return u.verdict, errors.Join(err, u.reject(u.verdict.Text))
	case Rollback:
		return u.verdict, u.reject(u.verdict.Text)
	}
	return u.verdict, nil
}

// commit makes the running slot the default, then notes it: a cut in between is
// understood at the next start.
func (u *Updater) commit() error {
	first, err := u.Open(1)
	if err != nil {
		return err
	}
	err = setDefault(first, u.Boot.Slot)
	if err = errors.Join(err, first.Close()); err != nil {
		return err
	}
	u.trial, u.memory = false, u.memory.accept(u.Now())
	if err := u.memory.write(u.Disk, u.Notes); err != nil {
		u.Log.Warn("the update is made, and could not be noted", "reason", err)
	}
	return nil
}

func (u *Updater) reject(reason string) error {
	a := *u.memory.Attempt
	a.Phase, a.Reason = rejected, reason
	u.memory.Attempt = &a
	return u.memory.write(u.Disk, u.Notes)
}

// Install reads a bundle and puts it into the other slot. See machine.Keeper.
func (u *Updater) Install(ctx context.Context, bundle io.Reader, o machine.UpdateOptions, report func(machine.Progress)) (machine.Installed, error) {
	var none machine.Installed
	if u.nothing != "" {
		return none, refuse(machine.NoSlots, "this box cannot be updated: %s", u.nothing)
	}
	if !u.installing.TryLock() {
		return none, refuse(machine.NotNow, "another update is being installed: wait for its end")
	}
	defer u.installing.Unlock()
	if u.OnTrial() {
		return none, refuse(machine.NotNow, "version %s is still on trial: wait until it is kept or given back", u.Running.Version)
	}
	b, err := Open(bundle, u.Keys)
	if err != nil {
		return none, err
	}
	slot := Other(u.Boot.Slot)
	area, err := u.Open(slot)
	if err != nil {
		return none, err
	}
	err = admit(u.Running, b.Manifest, area.Size(), o.Again)
	if err == nil {
		// What lay in the slot is no longer there to be tried.
		err = u.note(nil)
	}
	if err == nil {
		err = write(ctx, area, b, u.chunk, report)
	}
	if err = errors.Join(err, area.Close()); err != nil {
		return none, err
	}
	err = u.note(&attempt{Version: b.Version, From: u.Running.Version, Slot: slot, Phase: installed, When: u.Now()})
	return machine.Installed{Version: b.Version.String(), Slot: slot}, err
}

// note replaces the attempt, durably.
func (u *Updater) note(a *attempt) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	next := u.memory
	next.Attempt = a
	err := next.write(u.Disk, u.Notes)
	if err == nil {
		u.memory = next
	}
	return err
}

// Arm notes that the machine is about to restart into the slot that was installed,
// with what the running version has: the other one will be held to it. The caller
// then restarts with TryCommand. It fails where nothing waits, or while an
// installation is under way; Disarm undoes it where the restart failed.
func (u *Updater) Arm(has Baseline) error {
	if !u.installing.TryLock() {
		return refuse(machine.NotNow, "an update is being installed: wait for its end")
	}
	defer u.installing.Unlock()
	u.mu.Lock()
	a := u.memory.Attempt
	u.mu.Unlock()
	if a == nil || a.Phase != installed || u.nothing != "" {
		return refuse(machine.NotNow, "no installed version waits for its trial: install one first")
	}
	next := *a
	next.Phase, next.Baseline = armed, has
	return u.note(&next)
}

// Disarm takes Arm back.
func (u *Updater) Disarm() error {
	u.mu.Lock()
	a := u.memory.Attempt
	u.mu.Unlock()
	if a == nil || a.Phase != armed {
		return nil
	}
	next := *a
	next.Phase = installed
	return u.note(&next)
}

// Describe fills in what this knows of the machine's state.
func (u *Updater) Describe(s *machine.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.Version, s.Board, s.Slot, s.NoUpdate = u.Running.Version.String(), u.Running.Board, u.Boot.Slot, u.nothing
	s.Refused, s.Accepted = u.memory.Refused, u.memory.Accepted
	if a := u.memory.Attempt; a != nil && a.Slot != u.Boot.Slot && a.Phase == installed {
		s.Waiting = &machine.Waiting{Version: a.Version.String(), Slot: a.Slot}
	}
	if u.trial {
		s.Trial = &machine.Trial{Since: u.up, Missing: u.verdict.Text, Within: u.verdict.Left}
	}
}

// ReadRelease reads what runs, as ReleasePath has it.
func ReadRelease(path string) (Release, error) {
	var r Release
	err := readJSON(path, &r)
	if err == nil && !isBoard(r.Board) {
		err = fmt.Errorf("its board %.40q is no name", r.Board)
	}
	if err != nil {
		return r, fmt.Errorf("read which release runs: %w", err)
	}
	return r, nil
}

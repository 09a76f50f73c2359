// Package clock sees that a box without a battery comes to know what time it is.
//
// A ladder leads there: what the machine knows by itself; the latest time that is
// known to be over; time servers; the Date of web servers; a person. State is the
// judgement as a pure value (judge.go), Agree finds what most hosts say (agree.go),
// QueryNTP and QueryDate ask them (ntp.go, date.go), Look reads what the machine says
// (machine.go). Keeper holds a State for many goroutines and climbs the ladder. The
// clock is never set back.
package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// The times by which the keeper works.
const (
	// FirstPause and LastPause are the shortest and the longest time between two tries.
	FirstPause = 4 * time.Second
	LastPause  = 2 * time.Minute
	// Again is how long after the clock was verified it is looked at once more: a board
	// drifts by seconds a day.
	Again = 6 * time.Hour
	// patience is how long those who are asked for the time may take together.
	patience = 5 * time.Second
)

// Options are what a Keeper is built from; a zero value is the default of each.
type Options struct {
	Now   func() time.Time      // the clock of the machine; nil: time.Now
	Set   func(time.Time) error // sets it; nil: SetSystem
	Built time.Time             // when the program was made
	// Floor is the latest time that is known to be over, of what this box has written
	// down; nil, or a zero time: nothing is known.
	Floor func() time.Time
	Facts func() Facts // nil: Look("/")
	// Always has the clock doubted whatever the machine says, and Never has it believed.
	Always, Never bool
	// NTP and Date ask hosts, all at once, and give the answers that came; nil: there
	// are none to ask. Both end with their context.
	NTP, Date func(context.Context) []Sample
	// DateHosts is how many hosts Date asks: where there are several, two must agree.
	DateHosts int
	// Changed is told each change of the state, one after another; nil: nobody is. It
	// must be quick, and must not call the Keeper.
	Changed func(State)
	Log     *slog.Logger // nil discards
}

// Keeper knows how the clock is. Its methods may be called concurrently.
type Keeper struct {
	o    Options
	wake chan struct{} // holds one

	mu      sync.Mutex
	state   State
	doubted bool // the clock has, or had, to be verified
	word    word // the last of those who may change what is written down
}

// word is what somebody said at a moment of the monotonic clock: who sets the clock by
// hand does not change it.
type word struct {
	source   Source
	time, at time.Time
}

// now is what the word makes of the present moment.
func (w word) now() time.Time { return w.time.Round(0).Add(time.Since(w.at)) }

// New looks at the machine. Where there is reason to doubt its clock, that is set to
// the latest time known to be over, if it is before; all else is Run's.
func New(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Set == nil {
		o.Set = SetSystem
	}
	if o.Facts == nil {
		o.Facts = func() Facts { return Look("/") }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{o: o, wake: make(chan struct{}, 1)}
	floor := o.Built
	if o.Floor != nil {
		if t := o.Floor(); t.After(floor) && t.Sub(o.Built) <= horizon {
			floor = t
		}
	}
	facts := o.Facts()
	k.doubted = !o.Never && (o.Always || facts.Doubt(o.Now(), floor, o.Built))
	switch {
	case k.doubted:
		_ = k.take(Offer{Source: Floor, Time: floor}) // what can be wrong with it, Facts.Doubt has seen
	case facts.Kept:
		_ = k.take(Offer{Source: Kept})
	default:
		_ = k.take(Offer{Source: Machine})
	}
	return k
}

// take weighs an offer, and sets the clock where it is to be set. Under the lock: what
// was weighed must hold when the clock is set.
func (k *Keeper) take(o Offer) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.state
	next, set, err := old.Next(o, k.o.Now(), k.o.Built)
	if err != nil {
		k.o.Log.Info("a time was not believed", "source", o.Source, "reason", err)
		return err
	}
	if !set.IsZero() {
		before := k.o.Now()
		if err := k.o.Set(set); err != nil {
			next = next.Unset(set, before, err)
		} else {
			k.o.Log.Info("the clock was set", "from", before.Format(time.RFC3339), "to", set.Format(time.RFC3339), "source", o.Source)
		}
	}
	k.state = next
	switch o.Source {
	case Kept:
		k.word = word{Kept, k.o.Now(), time.Now()}
	case Floor, NTP:
		k.word = word{o.Source, o.Time, time.Now()}
	case Person:
		if o.Time.Before(k.word.now()) {
			k.word = word{Person, o.Time, time.Now()}
		}
	}
	if next != old {
		k.o.Log.Debug("the state of the clock", "source", next.Source, "verified", next.Verified)
		if k.o.Changed != nil {
			k.o.Changed(next)
		}
	}
	return nil
}

// Person takes the time that a person says it is. A *RefusedError says why it does not.
func (k *Keeper) Person(now time.Time) error {
	err := k.take(Offer{Source: Person, Time: now})
	if err == nil && !k.Verified() {
		s := k.State()
		return &RefusedError{s.Sentence(k.o.Now())}
	}
	return err
}

// Over is the latest time that is known to be over, to be written down for the next
// start (Options.Floor); the zero Time: nothing new is known. By who keeps the clock and
// by several time servers it is true, wherever the clock stands. What only web servers, one
// time server or a person say does not count, but that a person may have it earlier
// than it was written down: then sure is false.
func (k *Keeper) Over() (at time.Time, sure bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.word.source == Unknown {
		return time.Time{}, false
	}
	return k.word.now(), k.word.source != Person
}

// State tells how the clock is.
func (k *Keeper) State() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Verified tells whether the clock can be relied on.
func (k *Keeper) Verified() bool { return k.State().Verified }

// Doubted tells whether the clock had to be verified since the program started.
func (k *Keeper) Doubted() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.doubted
}

// Now is what the clock shows.
func (k *Keeper) Now() time.Time { return k.o.Now() }

// Sentence tells people how the clock is.
func (k *Keeper) Sentence() string { return k.State().Sentence(k.o.Now()) }

// Poke has Run try again now: the line has come up, say.
func (k *Keeper) Poke() {
	select {
	case k.wake <- struct{}{}:
	default: // asked for already
	}
}

// Run climbs the ladder until the clock is verified, looks again now and then, and
// returns when ctx ends. A clock that need not be verified costs it nothing.
func (k *Keeper) Run(ctx context.Context) {
	if !k.Doubted() {
		return
	}
	pause := FirstPause
	for {
		k.climb(ctx)
		wait := Again
		if !k.Verified() {
			wait, pause = pause, min(2*pause, LastPause)
		} else {
			pause = FirstPause
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-k.wake:
			timer.Stop()
			if !k.Verified() {
				pause = FirstPause
			}
		}
	}
}

// slack is how far honest hosts may be apart beside what they say themselves.
const slack = time.Second

// climb makes one try.
func (k *Keeper) climb(ctx context.Context) {
	if k.o.Facts().Kept {
		_ = k.take(Offer{Source: Kept}) // it is never refused
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	if k.o.NTP != nil {
		err := k.ask(ctx, NTP, k.o.NTP, 2)
		if !errors.Is(err, errNobody) {
			return // somebody answers: whoever disagrees now may agree next time
		}
	}
	if k.o.Date != nil && ctx.Err() == nil {
		_ = k.ask(ctx, HTTP, k.o.Date, min(2, k.o.DateHosts)) // it has told the log
	}
}

var errNobody = errors.New("nobody told the time")

// ask asks hosts of one kind, and takes what most of them say. errNobody: nobody
// answered, or one time server alone with what is not believed.
func (k *Keeper) ask(ctx context.Context, source Source, hosts func(context.Context) []Sample, needed int) error {
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	samples := apart(hosts(asked))
	if source == NTP && len(samples) == 1 {
		source, needed = Lone, 1
	}
	if len(samples) == 0 {
		return errNobody
	}
	now, err := Agree(samples, time.Now(), needed, slack)
	if err != nil {
		k.o.Log.Warn("the clock could not be verified", "source", source, "reason", err)
		return err
	}
	err = k.take(Offer{Source: source, Time: now})
	if source == Lone && err != nil {
		return fmt.Errorf("%w: %w", errNobody, err) // it must not keep the box from asking others
	}
	return err
}

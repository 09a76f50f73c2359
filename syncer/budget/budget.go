// Package budget says when and how fast the line may be used, and for what: a
// rate, windows of local time, a cap for the month by counted bytes, and that
// whoever waits comes first.
package budget

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Class is what a request is made for, the most urgent first.
type Class int8

// The classes.
const (
	Person     Class = iota // somebody waits for it: windows do not apply
	Background              // nobody does
)

// Purpose tells what a request is made for. It may change while the request is
// under way: a person may come to wait for what was fetched for nobody.
type Purpose interface{ Class() Class }

// Class makes a Class a Purpose that does not change.
func (c Class) Class() Class { return c }

type purposeKey struct{}

// With says what the requests under a context are made for.
func With(ctx context.Context, p Purpose) context.Context {
	return context.WithValue(ctx, purposeKey{}, p)
}

// ClassOf tells what a context's requests are made for; Person where nothing
// was said.
func ClassOf(ctx context.Context) Class {
	if p, ok := ctx.Value(purposeKey{}).(Purpose); ok {
		return p.Class()
	}
	return Person
}

// Keeper keeps what was counted from one run to the next.
type Keeper interface {
	// Load gives what was saved last; nil where nothing was.
	Load() ([]byte, error)
	// Save makes it durable.
	Save([]byte) error
}

// Options are the settings of a Budget; the zero value sets no limit.
type Options struct {
	Rate    int64 // bytes per second; 0: as fast as it goes
	Windows Windows
	Cap     int64  // bytes per calendar month; 0: none
	Keeper  Keeper // nil: the count begins anew with each run
	// Hold says why what nobody waits for may not use the line now, for a reason that
	// is not the line's; "" where it may. It must be quick. nil: there is none.
	Hold func() string
	Now  func() time.Time // nil: the clock
}

const (
	// lease is how many bytes are written down before they are used. A cut then
	// counts too much, by at most this, and never too little; and the card is
	// written once for so many bytes.
	lease = 16 << 20
	// forPeople is the part of the cap, in percent, that only people who wait
	// may still use.
	forPeople = 10
	// yield is how long what nobody waits for holds still after bytes for
	// somebody who does, and patience how long it does so at a stretch: a
	// trickle, of one connection after the other, keeps them alive.
	yield    = 300 * time.Millisecond
	patience = 3 * time.Second
	// holdLook is when to look again whether Hold still holds; who ends it sooner says so.
	holdLook = 10 * time.Minute
	// burst is what may pass at once under a rate.
	burst = 64 << 10
	// share is how much of what nobody waits for asks for its part of the rate at
	// once: somebody may come to wait behind it.
	share = 4 << 10
)

// Budget is safe for concurrent use.
type Budget struct {
	opts    Options
	limiter *rate.Limiter // nil: no rate

	mu     sync.Mutex
	month  string // "2026-11", local time
	used   int64  // bytes of the month
	leased int64  // bytes of the month that are written down
	person time.Time
	people int       // who wait for their part of the rate
	seep   time.Time // when something passed last for which nobody waits, beside people
}

// saved is what a Keeper keeps.
type saved struct {
	Month string `json:"month"`
	Bytes int64  `json:"bytes"`
}

// New reads what was counted before.
func New(opts Options) (*Budget, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	b := &Budget{opts: opts}
	if opts.Rate > 0 {
		b.limiter = rate.NewLimiter(rate.Limit(opts.Rate), burst)
	}
	if opts.Keeper == nil {
		return b, nil
	}
	raw, err := opts.Keeper.Load()
	if err != nil {
		return nil, fmt.Errorf("read the count of the line's bytes: %w", err)
	}
	var s saved
	if raw != nil && json.Unmarshal(raw, &s) == nil {
		b.month, b.used, b.leased = s.Month, s.Bytes, s.Bytes
	}
	return b, nil
}

// Close writes the exact count down.
func (b *Budget) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leased == b.used {
		return nil
	}
	return b.save(b.used)
}

// Refusal says why the line may not be used now.
type Refusal struct {
	Reason string
	Until  time.Time // when that changes
}

func (r *Refusal) Error() string { return r.Reason }

// Admit tells whether the line may be used for a class now; nil: it may.
func (b *Budget) Admit(c Class) *Refusal {
	now := b.opts.Now()
	b.mu.Lock()
	b.turn(now)
	used := b.used
	b.mu.Unlock()
	if limit := b.limit(c); limit > 0 && used >= limit {
		return &Refusal{
			Reason: fmt.Sprintf("this month's cap for the line (%d MB) is used up", b.opts.Cap/1e6),
			Until:  time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, now.Location()),
		}
	}
	if c == Person {
		return nil
	}
	if b.opts.Hold != nil {
		if reason := b.opts.Hold(); reason != "" {
			return &Refusal{Reason: reason, Until: now.Add(holdLook)}
		}
	}
	if open, change := b.opts.Windows.Open(now); !open {
		return &Refusal{Reason: "outside the times in which the line may be used", Until: change}
	}
	return nil
}

// limit is the part of the cap that a class may use; 0: no limit.
func (b *Budget) limit(c Class) int64 {
	if c == Person {
		return b.opts.Cap
	}
	return b.opts.Cap - b.opts.Cap/100*forPeople
}

// turn begins a new month; b.mu is held. A clock that is set back a little does
// not bring an old month's bytes again: the count goes on. One that was far ahead
// and is right again must not keep the line closed until then.
func (b *Budget) turn(now time.Time) {
	month := now.Format(monthForm)
	ahead := now.AddDate(0, 2, 0).Format(monthForm)
	if month > b.month || b.month >= ahead && now.Year() >= plausible {
		b.month, b.used, b.leased = month, 0, 0
	}
}

const (
	monthForm = "2006-01"
	plausible = 2025 // a clock that shows less was never set
)

// Spend counts bytes that came in, and waits as long as the rate and people who
// wait ask for. ctx says what they were for. Errors: a *Refusal when the cap or
// the window ends here, or the count cannot be written, and ctx's.
func (b *Budget) Spend(ctx context.Context, n int) error {
	class := ClassOf(ctx)
	if err := b.count(class, n); err != nil {
		return err
	}
	if refusal := b.Admit(class); refusal != nil {
		return refusal
	}
	if class == Person {
		b.attend(1)
		defer b.attend(-1)
		return b.wait(ctx, n)
	}
	for n > 0 {
		seeps, err := b.stepAside(ctx)
		if err != nil {
			return err
		}
		part := min(n, share)
		if seeps || b.limiter == nil {
			part = n
		}
		if err := b.wait(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// attend counts who waits for the rate; while they do, others step aside.
func (b *Budget) attend(n int) {
	now := b.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.people += n
	b.person = now
}

// wait waits for a part of the rate.
func (b *Budget) wait(ctx context.Context, n int) error {
	if b.limiter == nil {
		return nil
	}
	for n > 0 {
		part := min(n, burst)
		if err := b.limiter.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

func (b *Budget) count(class Class, n int) error {
	now := b.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if class == Person {
		b.person = now
	}
	b.turn(now)
	b.used += int64(n)
	if b.opts.Keeper == nil || b.used <= b.leased {
		return nil
	}
	if err := b.save(b.used + lease); err != nil {
		// What cannot be counted is not spent: the upstream has no part in it.
		return &Refusal{Reason: err.Error(), Until: now.Add(time.Minute)}
	}
	return nil
}

// save writes down that so many bytes may be used by now; b.mu is held.
func (b *Budget) save(bytes int64) error {
	raw, err := json.Marshal(saved{b.month, bytes})
	if err != nil {
		return err
	}
	if err := b.opts.Keeper.Save(raw); err != nil {
		return fmt.Errorf("write the count of the line's bytes: %w", err)
	}
	b.leased = bytes
	return nil
}

// stepAside waits while somebody who waits is being served. seeps says that it has
// waited long enough, and is let through beside him.
func (b *Budget) stepAside(ctx context.Context) (seeps bool, err error) {
	begun := b.opts.Now()
	for {
		left := b.aside(begun)
		if left <= 0 {
			return left < 0, nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
		if ClassOf(ctx) == Person {
			return false, nil // somebody has come to wait for it
		}
	}
}

// aside tells for how long to hold still, when that began at a time; 0: not any more,
// and less: it is let through beside people.
func (b *Budget) aside(begun time.Time) time.Duration {
	now := b.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	left := yield - now.Sub(b.person)
	switch {
	case b.people > 0:
		left = yield
	case left <= 0 || left > yield: // the clock was set back
		return 0
	}
	if since := now.Sub(b.seep); now.Sub(begun) >= patience && (since < 0 || since >= patience) {
		b.seep = now
		return -1
	}
	return left
}

// Status is the budget for people.
type Status struct {
	Rate    int64     `json:"rate,omitempty"`    // bytes per second
	Cap     int64     `json:"cap,omitempty"`     // bytes per month
	Month   string    `json:"month,omitempty"`   // that Used is of
	Used    int64     `json:"used"`              // bytes
	Waiting string    `json:"waiting,omitempty"` // why what nobody waits for may not use the line now
	Until   time.Time `json:"until,omitzero"`    // when that changes
}

// Status tells how the budget stands.
func (b *Budget) Status() Status {
	s := Status{Rate: b.opts.Rate, Cap: b.opts.Cap}
	if r := b.Admit(Background); r != nil {
		s.Waiting, s.Until = r.Reason, r.Until
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Month, s.Used = b.month, b.used
	return s
}

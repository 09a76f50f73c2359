// Package fetch brings one file over a line that breaks: it goes on where it
// stopped for as long as that makes progress, believes nobody but the stated
// size, and leaves the digest to whoever commits the bytes.
package fetch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"cheeseboard/syncer/wire"
)

// Target is where the bytes go. It is used by one goroutine at a time.
type Target interface {
	// Offset is how many bytes are there: where the download goes on.
	Offset() int64
	// Size is the length that the index states; negative where it states none.
	Size() int64
	// Validator is the strong ETag under which the bytes at hand came; "" unknown.
	Validator() string
	// SetValidator notes the ETag of the bytes that follow.
	SetValidator(etag string)
	// Write appends. An error ends the download; bytes beyond Size must be refused.
	Write(b []byte) (int, error)
	// Reset throws the bytes away.
	Reset() error
}

// TargetError is an error of the Target's: nothing that the line could mend.
type TargetError struct{ Err error }

func (e *TargetError) Error() string { return e.Err.Error() }
func (e *TargetError) Unwrap() error { return e.Err }

// ErrNoRanges is the detail of a *wire.Problem where what is here would have to
// come again, and Elsewhere forbids that.
var ErrNoRanges = errors.New("it ignores or refuses ranges")

// Defaults of a Fetcher.
const (
	DefaultPatience = 6
	DefaultMaxPause = time.Minute
	firstPause      = 500 * time.Millisecond
)

// Fetcher downloads. The zero value of each field but Client is its default.
type Fetcher struct {
	Client   *wire.Client
	Patience int           // attempts in a row that bring nothing before it gives up
	MaxPause time.Duration // longest pause between two attempts; a longer Retry-After ends the call
	// Pause waits; nil: by the clock. It returns ctx's error when that ends first.
	Pause func(ctx context.Context, d time.Duration) error
	// Answered is told when the upstream has answered an attempt, whatever it
	// answered; nil: nobody is.
	Answered func()
	// Attempt is told why an attempt ended that was not the last; nil: nobody is.
	Attempt func(address string, offset int64, err error)
	// Header is sent with each request, besides what a download needs; may be nil.
	Header http.Header
	// Elsewhere says that the bytes can be had from another place, too. Then this
	// one is given up at its first silence, or when it asks for patience, or at the
	// second attempt that brings nothing; and bytes that are here are not asked for
	// again: ErrNoRanges.
	Elsewhere bool
}

// Fetch brings the bytes of address into t until they are all there. A cut is
// followed by another attempt at once; an attempt that brought nothing by a
// pause that grows, or at once where there is another manner of asking. Errors:
// *wire.Problem for what the line or the upstream did (its RetryAfter says when to
// come back), *TargetError for what t did.
func (f *Fetcher) Fetch(ctx context.Context, address string, t Target) error {
	d := &download{Fetcher: f, address: address, target: t, high: t.Offset(), stopped: -1}
	maxPause := f.MaxPause
	if maxPause <= 0 {
		maxPause = DefaultMaxPause
	}
	fruitless := 0
	for {
		before, manner := d.high, d.manner
		done, err := d.attempt(ctx)
		if done {
			return nil
		}
		if err == nil {
			if d.high == before {
				return &wire.Problem{Cause: wire.Lie, URL: address, Err: errors.New("its answers bring nothing")}
			}
			fruitless = 0
			continue // a part, as it was asked for
		}
		var p *wire.Problem
		var own *TargetError
		if errors.As(err, &own) || !errors.As(err, &p) {
			return err
		}
		other := d.manner != manner
		switch {
		case d.high > before:
			fruitless = 0 // progress pays for everything
		case !other:
			fruitless++
		}
		switch {
		case d.stuck != nil:
			return &wire.Problem{Cause: p.Cause, URL: address, Status: p.Status, RetryAfter: p.RetryAfter, Err: d.stuck}
		case p.Permanent() && !other, f.enough(fruitless, p), p.RetryAfter > maxPause:
			return err
		}
		if f.Attempt != nil {
			f.Attempt(address, t.Offset(), err)
		}
		if err := f.pause(ctx, pauseFor(fruitless, p.RetryAfter, maxPause)); err != nil {
			return &wire.Problem{Cause: wire.Canceled, URL: address, Err: err}
		}
	}
}

// enough tells whether so many attempts in a row that brought nothing are enough,
// the last of which ended in p.
func (f *Fetcher) enough(fruitless int, p *wire.Problem) bool {
	patience := f.Patience
	if patience <= 0 {
		patience = DefaultPatience
	}
	if f.Elsewhere {
		patience = min(patience, 2)
		if p.Cause == wire.Stalled || p.Cause == wire.Unreachable || p.RetryAfter > 0 {
			patience = 1
		}
	}
	return fruitless >= patience
}

// pauseFor is exponential backoff with full jitter; what the upstream asked for
// is a lower bound.
func pauseFor(fruitless int, asked, most time.Duration) time.Duration {
	if fruitless == 0 {
		return asked
	}
	d := min(firstPause<<min(fruitless-1, 20), most)
	return max(time.Duration(rand.Int64N(int64(d))), asked)
}

func (f *Fetcher) pause(ctx context.Context, d time.Duration) error {
	if f.Pause != nil {
		return f.Pause(ctx, d)
	}
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package storage

import (
	"context"
	"time"
)

// holdFor is the time between two questions whether to go on.
const holdFor = time.Second

// pacer lets work in the background go on at a rate, and waits while something
// more important goes on. It is for one goroutine. The zero value never waits.
type pacer struct {
	rate int64       // bytes per second; 0: no limit
	hold func() bool // nil: nothing holds it up
	wait func(context.Context, time.Duration) error
	held func(bool) // is told when it begins to wait for hold, and when that ends; nil: nobody is

	due time.Time // when the next bytes may be taken
}

// take waits until n more bytes may be read. The error is that of ctx.
func (p *pacer) take(ctx context.Context, n int) error {
	if err := p.pause(ctx); err != nil {
		return err
	}
	if p.rate <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	if d := p.due.Sub(now); d > 0 {
		if err := p.sleep(ctx, d); err != nil {
			return err
		}
	} else {
		p.due = now // what was not used is not made up for
	}
	p.due = p.due.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	return ctx.Err()
}

// pause waits while it is to be held up.
func (p *pacer) pause(ctx context.Context) error {
	if p.hold == nil || !p.hold() {
		return nil
	}
	tell := p.held
	if tell == nil {
		tell = func(bool) {}
	}
	tell(true)
	defer tell(false)
	for p.hold() {
		if err := p.sleep(ctx, holdFor); err != nil {
			return err
		}
	}
	return nil
}

func (p *pacer) sleep(ctx context.Context, d time.Duration) error {
	if p.wait != nil {
		return p.wait(ctx, d)
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

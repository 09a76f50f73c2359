package syncer

import (
	"context"
	"time"
)

// stay is how long one request of a client may wait, in all: whatever it waits for,
// one after the other, it waits for by the same moments.
type stay struct {
	ctx context.Context
	// sign is until when it waits for a sign of life from whoever is asked, and for
	// anything at all where what is here can be given instead.
	sign time.Time
	// end is until when it waits for what is not here, once there was such a sign.
	end time.Time
}

// stay begins one.
func (e *Engine) stay(ctx context.Context) stay {
	now := time.Now()
	return stay{ctx, now.Add(e.opts.Wait), now.Add(patience)}
}

// heard is the stay of one who has heard from the upstream, and now waits for what
// is not here from somebody else: for a sign of life of his, as long again.
func (s stay) heard(wait time.Duration) stay {
	if sign := time.Now().Add(wait); sign.Before(s.end) {
		s.sign = sign
	} else {
		s.sign = s.end
	}
	return s
}

// until waits for ch to be closed, at the longest until a moment.
func (s stay) until(moment time.Time, ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
	}
	left := time.Until(moment)
	if left <= 0 {
		return false
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ch:
		return true
	case <-timer.C:
	case <-s.ctx.Done():
	}
	return false
}

// patient is until when a client waits for a sign of life of the upstream: not at
// all while it is known to be silent.
func (e *Engine) patient(s stay) time.Time {
	if e.silent.Load() {
		return time.Time{}
	}
	return s.sign
}

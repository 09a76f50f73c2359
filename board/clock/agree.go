package clock

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Sample is what one host says of the time.
type Sample struct {
	Host string
	Time time.Time // the true time at the moment At, by the host
	At   time.Time // with a reading of the monotonic clock
	// From is where the answer came from; the zero Addr: it is not known.
	From netip.Addr
	// Within is how far off Time may be for the way that the answer took, and for the
	// precision of its form.
	Within time.Duration
}

// at is what the sample says of the time at another moment.
func (s Sample) at(moment time.Time) time.Time { return s.Time.Add(moment.Sub(s.At)) }

// apart gives one sample of each address: several names may be one machine.
func apart(samples []Sample) (out []Sample) {
	for _, s := range samples {
		if !s.From.IsValid() || !slices.ContainsFunc(out, func(o Sample) bool { return o.From == s.From }) {
			out = append(out, s)
		}
	}
	return out
}

// ErrDisagree: hosts that were asked for the time do not agree on it.
var ErrDisagree = errors.New("those who were asked for the time do not agree")

// Agree gives the time at a moment as most of the samples have it: more than half of
// them, and at least so many as are needed. It is the middle of those that agree.
// ErrDisagree. slack is how far two honest hosts may be apart besides.
func Agree(samples []Sample, moment time.Time, needed int, slack time.Duration) (time.Time, error) {
	type claim struct {
		at     time.Time
		within time.Duration
	}
	claims := make([]claim, len(samples))
	for i, s := range samples {
		claims[i] = claim{s.at(moment).Round(0), s.Within}
	}
	slices.SortFunc(claims, func(a, b claim) int { return a.at.Compare(b.at) })
	var best []claim
	for i, first := range claims {
		end := i + 1
		for end < len(claims) && claims[end].at.Sub(first.at) <= slack+first.within+claims[end].within {
			end++
		}
		if end-i > len(best) {
			best = claims[i:end]
		}
	}
	if len(best) == 0 || len(best) < needed || 2*len(best) <= len(claims) {
		return time.Time{}, fmt.Errorf("%w: %d of %d answers are alike, and %d are needed", ErrDisagree, len(best), len(claims), max(needed, len(claims)/2+1))
	}
	return best[len(best)/2].at, nil
}

package budget

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPersonUnderARate has somebody wait for a file on a line that is held to a rate,
// beside downloads for which nobody waits: he gets most of the line, however many there
// are, and each of them still gets something.
func TestPersonUnderARate(t *testing.T) {
	const rate, piece, pieces = 25_000, 32 << 10, 100
	for _, others := range []int{1, 4, 8} {
		synctest.Test(t, func(t *testing.T) {
			b := make1(t, Options{Rate: rate})
			ctx, cancel := context.WithCancel(t.Context())
			got := make([]atomic.Int64, others)
			var running sync.WaitGroup
			for i := range others {
				running.Go(func() {
					for b.Spend(With(ctx, Background), piece) == nil {
						got[i].Add(piece)
					}
				})
			}
			<-time.After(time.Minute)
			before := make([]int64, others)
			for i := range others {
				before[i] = got[i].Load()
			}
			begun := time.Now()
			for range pieces {
				if err := b.Spend(With(ctx, Person), piece); err != nil {
					t.Fatal(err)
				}
			}
			alone := time.Duration(pieces*piece) * time.Second / rate
			if took := time.Since(begun); took > 2*alone {
				t.Errorf("beside %d others a person's file takes %s, and alone %s", others, took, alone)
			}
			for i := range others {
				if got[i].Load() == before[i] {
					t.Errorf("of %d others, one got nothing for %s", others, time.Since(begun))
				}
			}
			cancel()
			running.Wait()
		})
	}
}

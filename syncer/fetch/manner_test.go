package fetch

import (
	"math/rand/v2"
	"testing"
)

// TestMannersRunOut: where nothing comes, there is soon no other manner left, so
// that a fetch that changes its manner without counting the attempt ends.
func TestMannersRunOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var m manner
		for range r.IntN(30) { // with any history
			m = m.next(outcome{began: true, whole: r.IntN(3) == 0, got: r.Int64N(1 << 21), reset: r.IntN(3) == 0})
			if m.span < 0 || m.span > 0 && m.span < leastSpan {
				t.Fatalf("it asks for %d bytes at once", m.span)
			}
		}
		changes := 0
		for range 50 {
			next := m.next(outcome{refused: r.IntN(2) == 0, odd: r.IntN(2) == 0, cut: r.IntN(2) == 0, fresh: r.IntN(2) == 0})
			if next != m {
				changes++
			}
			m = next
		}
		if changes > 20 {
			t.Fatalf("%d changes of manner without a byte", changes)
		}
	}
}

// TestMannerSettles: under a limit that it does not know, it asks for nearly as
// much as gets through, and rarely for more.
func TestMannerSettles(t *testing.T) {
	for _, limit := range []int64{20 << 10, 100_000, 1 << 20, 50 << 20} {
		var m manner
		var lost, came int64
		for came < 200*limit {
			asked := m.span
			if asked == 0 {
				asked = 1 << 40
			}
			if asked <= limit {
				m = m.next(outcome{began: true, whole: true, got: asked})
				came += asked
				continue
			}
			m = m.next(outcome{began: true, reset: true, got: limit / 2})
			came += limit / 2
			lost += limit / 2
		}
		if ratio := float64(came+lost) / float64(came); ratio > 1.05 {
			t.Errorf("limit %d: %.3f of the bytes are sent, in spans of %d", limit, ratio, m.span)
		}
	}
}

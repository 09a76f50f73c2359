package led

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// paper records what is drawn on it.
type paper struct {
	mu    sync.Mutex
	begun time.Time
	now   Colour
	marks []stroke
	fail  bool
}

type stroke struct {
	at     time.Duration
	colour Colour
}

func newPaper() *paper { return &paper{begun: time.Now()} }

func (p *paper) Set(c Colour) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail {
		return errors.New("no light")
	}
	if c != p.now || len(p.marks) == 0 {
		p.marks = append(p.marks, stroke{time.Since(p.begun), c})
	}
	p.now = c
	return nil
}

// seen gives the durations for which it was lit (positive) and dark, in milliseconds,
// from a moment on.
func (p *paper) seen(from time.Duration) (out []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range p.marks {
		if m.at < from || i+1 == len(p.marks) {
			continue
		}
		ms := (p.marks[i+1].at - m.at).Milliseconds()
		if m.colour == Off {
			ms = -ms
		}
		out = append(out, ms)
	}
	return out
}

// play runs a player while do is at work, which keeps it informed by show.
func play(t *testing.T, do func(p *Player, on *paper)) *paper {
	t.Helper()
	on := newPaper()
	p := NewPlayer(on, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	synctest.Wait()
	do(p, on)
	cancel()
	running.Wait()
	return on
}

// show keeps a state up for a while.
func show(p *Player, s State, lasts time.Duration) {
	for end := time.Now().Add(lasts); ; {
		p.Show(s)
		synctest.Wait()
		left := time.Until(end)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, 2*time.Second))
	}
}

// TestPlayed: what is to be seen is the table, for each state, again and again.
func TestPlayed(t *testing.T) {
	for _, m := range Legend() {
		if len(m.Timeline.Steps) == 1 {
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var from time.Duration
				on := play(t, func(p *Player, on *paper) {
					show(p, Safe, 5*time.Second)
					from = time.Since(on.begun)
					show(p, m.State, 30*time.Second)
					p.Show(Safe)
				})
				got := on.seen(from)
				if len(got) < 2*int(25*time.Second/m.Timeline.lasts()) {
					t.Errorf("in 30 s only %v", got)
				}
				for i, ms := range got[:len(got)-1] {
					s := m.Timeline.Steps[i%len(m.Timeline.Steps)]
					want := s.For.Milliseconds()
					if !s.On {
						want = -want
					}
					if ms != want {
						t.Fatalf("step %d lasts %d ms, not %d: %v", i, ms, want, got)
					}
				}
				for _, k := range on.marks {
					if k.at >= from && k.colour != Off && k.colour != m.Timeline.Colour {
						t.Errorf("it is %s", k.colour)
					}
				}
				if on.now != Off {
					t.Error("it is not dark at the end, when it is safe to unplug")
				}
			})
		})
	}
}

// TestSwitched: another state takes the place of the old one at once.
func TestSwitched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		play(t, func(p *Player, on *paper) {
			show(p, Healthy, 2*time.Second)
			if on.now != Blue {
				t.Error("it is not blue where all is well")
			}
			p.Show(Attention)
			synctest.Wait()
			if on.now != Amber {
				t.Error("attention does not show at once")
			}
			p.Show(Safe)
			synctest.Wait()
			if on.now != Off {
				t.Error("it is not dark at once")
			}
		})
	})
}

// TestHung: who stops telling how the box is has a light within ten seconds that
// changes no more; a player that is stopped at any moment leaves it as it was.
func TestHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		play(t, func(p *Player, on *paper) {
			for _, m := range Legend() {
				if m.State == Dead {
					continue
				}
				show(p, m.State, 10*time.Second)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				n := len(on.marks)
				if on.now != White {
					t.Errorf("%s: nobody tells how the box is, and it is %s", m.Name, on.now)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(on.marks) != n {
					t.Errorf("%s: it changes %v", m.Name, on.marks[n:])
				}
			}
			show(p, Healthy, 10*time.Second)
			if on.now == White {
				t.Error("it does not come back")
			}
		})
	})
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			on := newPaper()
			p := NewPlayer(on, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(7*time.Second))))
			p.Show(State(rand.IntN(int(Safe))))
			p.Run(ctx)
			cancel()
			n := len(on.marks)
			time.Sleep(time.Minute)
			if len(on.marks) != n || on.now == Off {
				t.Errorf("after its end it changes, or is dark though it was not safe: %v", on.marks)
			}
		}
	})
}

// TestAnySwitching: however states change, and marks between them, there are never
// more than three flashes in a second.
func TestAnySwitching(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			on := play(t, func(p *Player, _ *paper) {
				for range 300 {
					p.Show(State(random.IntN(int(Dead) + 1)))
					if random.IntN(4) == 0 {
						p.Mark(1 + random.IntN(Marks))
					}
					time.Sleep(time.Duration(random.Int64N(int64(700 * time.Millisecond))))
				}
			})
			var rises []time.Duration
			was := Off
			for _, m := range on.marks {
				if was == Off && m.colour != Off {
					rises = append(rises, m.at)
				}
				was = m.colour
			}
			if n := crowded(rises); n > 3 || len(rises) < 50 {
				t.Errorf("seed %d: %d flashes in a second, %d in all", seed, n, len(rises))
			}
		})
	}
}

// TestMark: a mark is so many times dark, once, and then the state begins again.
func TestMark(t *testing.T) {
	for n := 1; n <= Marks; n++ {
		synctest.Test(t, func(t *testing.T) {
			var from time.Duration
			on := play(t, func(p *Player, on *paper) {
				show(p, Healthy, time.Second)
				from = time.Since(on.begun)
				p.Mark(n)
				show(p, Healthy, 6*time.Second)
			})
			// The last 300 ms lead on into the state, which begins lit.
			want := strings.Repeat("-300 300 ", n) + "3950"
			got := strings.TrimSuffix(fmt.Sprint(on.seen(from)), " -50]") + "]"
			if got != "["+want+"]" {
				t.Errorf("mark %d: %s, want %s", n, got, want)
			}
		})
	}
}

// TestTrouble: a light that fails and comes back does not end the player.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := play(t, func(p *Player, on *paper) {
			on.mu.Lock()
			on.fail = true
			on.mu.Unlock()
			show(p, Wait, 3*time.Second)
			on.mu.Lock()
			on.fail = false
			on.mu.Unlock()
			show(p, Wait, 3*time.Second)
		})
		if len(on.marks) < 10 {
			t.Errorf("%v", on.marks)
		}
	})
}

// TestHeardAgain: a player that gave up on whoever knows the state goes on when it
// hears of the same state again.
func TestHeardAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := play(t, func(p *Player, _ *paper) {
			show(p, Healthy, 10*time.Second)
			time.Sleep(time.Minute)
			show(p, Healthy, 20*time.Second)
		})
		if got := on.seen(70 * time.Second); len(got) < 6 {
			t.Errorf("heard of again, it draws %v in 20 s", got)
		}
	})
}

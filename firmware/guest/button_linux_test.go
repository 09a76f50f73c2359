package guest_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"cheeseboard/board/button"
	"cheeseboard/board/lines"
	"cheeseboard/firmware/guest"
)

// presses are what is done with the button, and what it has to mean.
var presses = []struct {
	Held  []time.Duration
	Means []string
}{
	{[]time.Duration{120 * time.Millisecond}, []string{button.Once.String()}},
	{[]time.Duration{120 * time.Millisecond, 150 * time.Millisecond}, []string{button.Twice.String()}},
	{[]time.Duration{6 * time.Second}, []string{"mark 1", button.Hold5.String()}},
	{[]time.Duration{16 * time.Second}, []string{"mark 1", "mark 2", button.Hold15.String()}},
	{[]time.Duration{26 * time.Second}, []string{"mark 1", "mark 2", "mark 3"}},
	{[]time.Duration{3 * time.Second}, nil},
}

// heard notes what the button does.
type heard struct {
	mu    sync.Mutex
	means []string
}

func (h *heard) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.means = append(h.means, s)
}

func (h *heard) Pressed(p button.Press) { h.note(p.String()) }
func (h *heard) Marked(n int)           { h.note("mark " + string(rune('0'+n))) }

func (h *heard) take() (means []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	means, h.means = h.means, nil
	return means
}

// playButton pulls a line as a button that bounces does.
func playButton(s *guest.Stage) error {
	const number = 3
	sim, err := guest.NewLines(8)
	if err != nil {
		return err
	}
	if err := sim.Pull(number, true); err != nil {
		return err
	}
	line, err := lines.Find(sim.Chip + ":3")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var h heard
	var work sync.WaitGroup
	work.Go(func() { button.Watch(ctx, line, &h, nil) })
	<-time.After(time.Second)
	for _, p := range presses {
		for i, held := range p.Held {
			if i > 0 {
				<-time.After(200 * time.Millisecond)
			}
			for _, up := range []bool{false, true} {
				if err := bounce(sim, number, up); err != nil {
					return err
				}
				if !up {
					<-time.After(held)
				}
			}
		}
		<-time.After(button.Pair + time.Second)
		s.Report("pressed", h.take())
	}
	stop()
	work.Wait()
	return nil
}

// bounce changes a line six times within some 10 ms, and leaves it up or down.
func bounce(sim *guest.Lines, number int, up bool) error {
	for i := range 7 {
		if err := sim.Pull(number, up == (i%2 == 0)); err != nil {
			return err
		}
		<-time.After(1500 * time.Microsecond)
	}
	return nil
}

// TestButton presses a button that bounces, on a line of the kernel: each press means
// what it should, once.
func TestButton(t *testing.T) {
	wanted(t)
	g := guest.Boot(t, "button", guest.Machine{Modules: []string{"configfs", "gpio-sim"}, OwnTime: true})
	g.Next("booted", 5*time.Minute, nil)
	for _, p := range presses {
		var got []string
		g.Next("pressed", 5*time.Minute, &got)
		if !slices.Equal(got, p.Means) {
			t.Errorf("held for %s it means %q, want %q", p.Held, got, p.Means)
		}
		t.Logf("held for %s: %q", p.Held, got)
	}
	g.Next("ended", time.Minute, nil)
}

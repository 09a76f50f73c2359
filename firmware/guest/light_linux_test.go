package guest_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"cheeseboard/board/led"
	"cheeseboard/board/lines"
	"cheeseboard/firmware/guest"

	"periph.io/x/conn/v3/gpio"
)

// seen is what was to be seen of a state.
type seen struct {
	State string       `json:"state"`
	Edges []guest.Edge `json:"edges"`
}

// watched is longer than two rounds of any rhythm.
const watched = 9 * time.Second

// playLight shows every state on a line, and watches the line.
func playLight(s *guest.Stage) error {
	sim, err := guest.NewLines(8)
	if err != nil {
		return err
	}
	line, err := lines.Find(sim.Chip + ":5")
	if err != nil {
		return err
	}
	light, err := led.NewWired([]gpio.PinOut{line}, false)
	if err != nil {
		return err
	}
	for _, meaning := range led.Legend() {
		ctx, stop := context.WithCancel(context.Background())
		player := led.NewPlayer(light, nil)
		player.Show(meaning.State)
		var work sync.WaitGroup
		work.Go(func() { player.Run(ctx) })
		work.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for ctx.Err() == nil {
				player.Show(meaning.State)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
		edges, err := sim.Watch(5, watched)
		stop()
		work.Wait()
		if err != nil {
			return err
		}
		s.Report("seen", seen{meaning.Name, edges})
	}
	return nil
}

// TestLight holds the line to the table: each state's edges, as a kernel has them.
func TestLight(t *testing.T) {
	wanted(t)
	g := guest.Boot(t, "light", guest.Machine{Modules: []string{"configfs", "gpio-sim"}, OwnTime: true})
	g.Next("booted", 5*time.Minute, nil)
	for _, meaning := range led.Legend() {
		var got seen
		g.Next("seen", 5*time.Minute, &got)
		if got.State != meaning.Name {
			t.Fatalf("%s was played, not %s", got.State, meaning.Name)
		}
		compare(t, got, meaning.Timeline)
	}
	g.Next("ended", time.Minute, nil)
}

// lag is how much later than it should the program may change the line, on a busy
// machine, beyond what the watching itself tells.
const lag = 30 * time.Millisecond

// compare holds edges to a timeline, from any place in it on.
func compare(t *testing.T, got seen, want led.Timeline) {
	t.Helper()
	edges := got.Edges[min(1, len(got.Edges)-1):] // the first is only what was before
	if want.Steps[0].For == 0 {
		last := got.Edges[len(got.Edges)-1]
		if last.High != want.Steps[0].On || last.To > time.Second {
			t.Errorf("%s is not steady: %+v", got.State, got.Edges)
		}
		return
	}
	if len(edges) <= len(want.Steps) {
		t.Errorf("%s: no whole round of %+v was seen: %+v", got.State, want.Steps, got.Edges)
		return
	}
	for first := range want.Steps {
		if follows(edges, want.Steps, first) {
			t.Logf("%s: %d edges as in the table", got.State, len(edges))
			return
		}
	}
	t.Errorf("%s is %+v, want %+v", got.State, got.Edges, want.Steps)
}

func follows(edges []guest.Edge, steps []led.Step, first int) bool {
	for i := range len(edges) - 1 {
		step := steps[(first+i)%len(steps)]
		least, most := edges[i].Span(edges[i+1])
		if edges[i].High != step.On || least > step.For+lag || most < step.For-lag {
			return false
		}
	}
	return true
}

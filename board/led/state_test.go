package led

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// lasts is the length of one round of a timeline.
func (t Timeline) lasts() (sum time.Duration) {
	for _, s := range t.Steps {
		sum += s.For
	}
	return sum
}

// rises are the moments within a while at which a timeline goes on.
func (t Timeline) rises(within time.Duration) (at []time.Duration) {
	lit, now := false, time.Duration(0)
	for t.lasts() > 0 && now < within {
		for _, s := range t.Steps {
			if s.On && !lit {
				at = append(at, now)
			}
			lit = s.On
			now += s.For
		}
	}
	return at
}

// crowded is the most rises in any second.
func crowded(rises []time.Duration) (most int) {
	for i := range rises {
		n := 0
		for _, r := range rises[i:] {
			if r-rises[i] < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// TestTable holds the vocabulary against the facts sheet, as numbers in milliseconds:
// positive lit, negative dark, 0 for good.
func TestTable(t *testing.T) {
	want := map[State]string{
		CannotServe: "[150 -200 150 -200 150 -200 150 -200 150 -2000] amber",
		Wait:        "[200 -200] white",
		Identify:    "[800 -300 150 -200 150 -1000] blue",
		Attention:   "[150 -200 150 -1600] amber",
		Syncing:     "[1000 -1000] blue",
		Unreachable: "[3600 -50 300 -50] blue",
		Healthy:     "[3950 -50] blue",
		Safe:        "[0] off",
		Dead:        "[0] white",
	}
	rows := Legend()
	if len(rows) != len(want) {
		t.Errorf("%d states", len(rows))
	}
	for i, m := range rows {
		var ms []int64
		for j, s := range m.Timeline.Steps {
			if s.On != (j%2 == 0) && m.State != Safe {
				t.Errorf("%s: step %d follows one like it", m.Name, j)
			}
			if s.On {
				ms = append(ms, s.For.Milliseconds())
			} else {
				ms = append(ms, -s.For.Milliseconds())
			}
		}
		if got := fmt.Sprint(ms, " ", m.Timeline.Colour); got != want[m.State] {
			t.Errorf("%s: %s, want %s", m.Name, got, want[m.State])
		}
		if m.State != State(i) || m.State.String() != m.Name || m.Sentence == "" || m.Rhythm == "" {
			t.Errorf("row %d: %+v", i, m)
		}
		if lit := m.Timeline.Steps[0].On; lit != (m.State != Safe) {
			t.Errorf("%s: begins lit: %t", m.Name, lit)
		}
		if i > 0 && Highest(m.State, rows[i-1].State) != rows[i-1].State {
			t.Errorf("%s goes before %s", m.Name, rows[i-1].Name)
		}
	}
	if Highest() != Healthy {
		t.Error("of no state none is shown")
	}
	rows[0].Timeline.Steps[0].For = 0
	if Pattern(CannotServe).Steps[0].For == 0 {
		t.Error("the legend can be used to change the vocabulary")
	}
}

// TestFlicker: at most three flashes in any second, and no state changes without end
// in a moment.
func TestFlicker(t *testing.T) {
	for _, m := range Legend() {
		if n := crowded(m.Timeline.rises(30 * time.Second)); n > 3 {
			t.Errorf("%s flashes %d times in a second", m.Name, n)
		}
		for _, s := range m.Timeline.Steps {
			if s.For == 0 && len(m.Timeline.Steps) > 1 || s.For > 0 && s.For < wink {
				t.Errorf("%s: a step of %s", m.Name, s.For)
			}
		}
	}
	for n := 1; n <= Marks; n++ {
		if c := crowded(mark(n).rises(time.Second)); c > 3 {
			t.Errorf("mark %d flashes %d times in a second", n, c)
		}
	}
}

// groups are how many long and short flashes stand between two pauses, as one counts
// the codes of the Pi's firmware. What has no pause has no groups.
func (t Timeline) groups() (all [][2]int) {
	const pause, longest, long = 900 * time.Millisecond, 2 * time.Second, 400 * time.Millisecond
	var now [2]int
	for _, s := range t.Steps {
		switch {
		case s.On && s.For >= longest || s.For == 0:
			return nil // not a flash
		case s.On && s.For >= long:
			now[0]++
		case s.On:
			now[1]++
		case s.For >= pause:
			all = append(all, now)
			now = [2]int{}
		}
	}
	return all
}

// TestFirmware: no state looks like a code of the Pi's firmware, which are 3, 4, 7, 8,
// 9 and 10 short flashes, and short ones behind two or more long ones.
func TestFirmware(t *testing.T) {
	owned := []int{3, 4, 7, 8, 9, 10}
	counted := 0
	for _, m := range Legend() {
		for _, g := range m.Timeline.groups() {
			counted++
			if g[0] == 0 && slices.Contains(owned, g[1]) || g[0] > 1 {
				t.Errorf("%s is the firmware's code of %d long and %d short flashes", m.Name, g[0], g[1])
			}
		}
	}
	if counted < 4 {
		t.Errorf("only %d groups of flashes were looked at", counted)
	}
}

// alike tells whether two rhythms could be taken for one another: the same number of
// steps, and from some beginning none that is three times as long as its counterpart.
func alike(a, b Timeline) bool {
	n := len(a.Steps)
	if n != len(b.Steps) {
		return false
	}
	for from := range n {
		differs := false
		for i, x := range a.Steps {
			y := b.Steps[(i+from)%n]
			long, brief := max(x.For, y.For), min(x.For, y.For)
			differs = differs || x.On != y.On || long >= 3*brief && long != brief
		}
		if !differs {
			return true
		}
	}
	return false
}

// TestToldApart: every two states differ on a single light without colours, and none
// that changes looks like one that does not.
func TestToldApart(t *testing.T) {
	rows := Legend()
	for i, a := range rows {
		if !alike(a.Timeline, a.Timeline) {
			t.Errorf("%s is not even like itself", a.Name)
		}
		for _, b := range rows[i+1:] {
			if alike(a.Timeline, b.Timeline) {
				t.Errorf("%s looks like %s", a.Name, b.Name)
			}
		}
		// Who looks for ten seconds sees whether the program lives.
		if a.State != Safe && a.State != Dead && (len(a.Timeline.Steps) < 2 || a.Timeline.lasts() >= 10*time.Second) {
			t.Errorf("%s is steady for ten seconds, as a program that hangs", a.Name)
		}
	}
}

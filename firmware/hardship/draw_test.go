package hardship

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// schedule is what befalls a box. It is drawn from a seed before anything happens.
type schedule struct {
	seed   uint64
	served bool   // the box runs as `cheeseboard serve` does, where it is not the program itself
	named  bool   // the upstream is called by a name
	always []tale // lies that never end
	rounds []round
}

// round is one pass with what goes wrong in it.
type round struct {
	changes int // of the index, before it
	program bool
	stall   time.Duration
	rate    int64 // bytes per second that the upstream gives; 0: as many as it can
	lies    []tale
	faults  []fault
	asks    []ask
	kill    *moment
	shut    bool          // the box is closed at the end
	end     time.Duration // when every fault and lie has ended
}

// moment is so long after the beginning of a round, or when so many bytes of
// files have come in it, whichever is first.
type moment struct {
	after time.Duration
	bytes int64
}

// tale is a lie about something, from a moment on.
type tale struct {
	at    moment
	about string // as upstreamtest.ParseTarget reads it
	lie   string
	times int
}

func (x tale) String() string { return fmt.Sprintf("%s %s %d", x.about, x.lie, x.times) }

// fault is something that happens to the line.
type fault struct {
	at     moment
	kind   string
	toxics []toxic
	lasts  time.Duration
	times  int // of flapping
}

func (f fault) String() string {
	return fmt.Sprintf("%s %v for %v", f.kind, f.toxics, f.lasts)
}

// ask is a client's request for a page, and for a file that it names.
type ask struct {
	at      moment
	project string
	file    bool
	html    bool
}

func (s schedule) String() string {
	text := fmt.Sprintf("served %t, named %t, always %v\n", s.served, s.named, s.always)
	for i, r := range s.rounds {
		text += fmt.Sprintf("round %d: %d changes, program %t, kill %v, end %v\n", i, r.changes, r.program, r.kill, r.end)
		for _, x := range r.lies {
			text += fmt.Sprintf("  %v: tell %v\n", x.at, x)
		}
		for _, x := range r.faults {
			text += fmt.Sprintf("  %v: %v\n", x.at, x)
		}
	}
	return text
}

// draw makes a schedule for a world.
func draw(r *rand.Rand, seed uint64, w *world) schedule {
	s := schedule{seed: seed, served: r.IntN(3) == 0, named: r.IntN(4) == 0}
	if r.IntN(6) == 0 {
		s.always = []tale{{about: []string{"page:", "file:"}[r.IntN(2)] + w.leaf}}
		lies := []string{"garbage", "type:application/octet-stream", "api-version:2.0", "status:404", "half"}
		if strings.HasPrefix(s.always[0].about, "file:") {
			lies = []string{"status:404", "flip:1000", "resize:-9", "type:text/html"}
		}
		s.always[0].lie = lies[r.IntN(len(lies))]
	}
	for i := range 2 + r.IntN(3) {
		one := round{
			program: !s.named && r.IntN(6) == 0, stall: time.Duration(300+r.IntN(700)) * time.Millisecond,
			end: time.Duration(200+r.IntN(1200)) * time.Millisecond, shut: r.IntN(2) == 0,
			rate: []int64{0, 1 << 20, 2 << 20, 4 << 20}[r.IntN(4)],
		}
		if i > 0 {
			one.changes = r.IntN(4)
		}
		for range r.IntN(5) {
			one.lies = append(one.lies, drawLies(r, w, one.end)...)
		}
		for range r.IntN(3) {
			one.faults = append(one.faults, drawFault(r, one.end))
		}
		for range r.IntN(6) {
			one.asks = append(one.asks, ask{drawMoment(r, one.end), w.projects[r.IntN(len(w.projects))], r.IntN(2) == 0, r.IntN(3) == 0})
		}
		if r.IntN(5) < 2 {
			m := drawMoment(r, one.end)
			one.kill = &m
		}
		s.rounds = append(s.rounds, one)
	}
	return s
}

func drawMoment(r *rand.Rand, end time.Duration) moment {
	// Most of a pass happens at its beginning.
	m := moment{time.Duration(float64(end) * math.Pow(r.Float64(), 3)), math.MaxInt64}
	switch r.IntN(4) {
	case 0:
		m.bytes = r.Int64N(2 << 20)
	case 1:
		m.after = 0
	}
	return m
}

// drawLies draws a lie, with the one before it that gives it its occasion.
func drawLies(r *rand.Rand, w *world, end time.Duration) []tale {
	var about, lie, first string
	switch n := r.IntN(10); n {
	case 0:
		about, lie = "feed:*", feedTrials[r.IntN(len(feedTrials))].lie
	case 1:
		root := []string{"empty", "half", "garbage", "status:503,1", "hostile", "cut:100", "never-answer", "api-version:2.0", "login-page"}
		about, lie = "root", root[r.IntN(len(root))]
	case 2:
		all := []string{"cut:20000", "cut-connection:100000", "hang-up", "status:503,1", "status:500", "stall:5000", "no-length", "reset:50000"}
		about, lie = "all", all[r.IntN(len(all))]
	default:
		row := trials[r.IntN(len(trials))]
		lie, first = row.lie, row.first
		pattern := w.projects[r.IntN(len(w.projects))]
		if r.IntN(3) == 0 {
			pattern = "*"
		}
		about = row.on + ":" + pattern
	}
	t := tale{at: drawMoment(r, end), about: about, lie: vary(r, about, lie), times: 1 + r.IntN(4)}
	if strings.HasPrefix(lie, "gzip-bomb") {
		t.times = 1 // they are work for the machine
	} else if r.IntN(4) == 0 {
		t.times = 0
	}
	if first == "" {
		return []tale{t}
	}
	return []tale{{at: t.at, about: about, lie: vary(r, about, first), times: t.times}, t}
}

// vary draws the numbers of a lie anew.
func vary(r *rand.Rand, about, lie string) string {
	kind, argument, _ := strings.Cut(lie, ":")
	small := !strings.HasPrefix(about, "file:")
	switch kind {
	case "cut", "reset", "cut-connection", "stall", "end", "end-chunked":
		most := int64(600_000)
		if small {
			most = 600
		}
		return fmt.Sprintf("%s:%d", kind, r.Int64N(most))
	case "flip":
		if argument != "-1" {
			return fmt.Sprintf("flip:%d", r.Int64N(300_000))
		}
	case "resize":
		return fmt.Sprintf("resize:%d", r.Int64N(2000)-1000)
	case "stale":
		return fmt.Sprintf("stale:%d", 1+r.IntN(3))
	case "gap", "late":
		return fmt.Sprintf("%s:%d", kind, 1+r.IntN(3))
	case "wrong-sizes":
		return fmt.Sprintf("wrong-sizes:%d", r.Int64N(2000)-1000)
	}
	return lie
}

// drawFault draws a fault of the line.
func drawFault(r *rand.Rand, end time.Duration) fault {
	f := fault{at: drawMoment(r, end), lasts: time.Duration(50+r.IntN(700)) * time.Millisecond, times: 1}
	kinds := []string{"toxics", "toxics", "toxics", "toxics", "swallow", "freeze", "drop", "reset", "refuse", "portal", "flap", "no name"}
	f.kind = kinds[r.IntN(len(kinds))]
	switch f.kind {
	case "flap":
		f.times = 3 + r.IntN(8)
		f.lasts = time.Duration(10+r.IntN(90)) * time.Millisecond
	case "toxics":
		all := []toxic{
			{"limit_data", fmt.Sprintf(`"bytes": %d`, 2000+r.IntN(300_000))},
			{"latency", fmt.Sprintf(`"latency": %d, "jitter": %d`, r.IntN(150), r.IntN(50))},
			{"bandwidth", fmt.Sprintf(`"rate": %d`, 200+r.IntN(4000))},
			{"slicer", `"average_size": 3000, "size_variation": 1000, "delay": 20`},
			{"slow_close", fmt.Sprintf(`"delay": %d`, r.IntN(300))},
			{"reset_peer", fmt.Sprintf(`"timeout": %d`, r.IntN(100))},
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		f.toxics = all[:1+r.IntN(2)]
	}
	return f
}

// TestEveryLieIsDrawn: what the catalogue has comes up in the schedules, and can
// be read.
func TestEveryLieIsDrawn(t *testing.T) {
	t.Parallel()
	drawn := make(map[string]int)
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := &world{projects: []string{"dairy-0", "dairy-1"}, leaf: "dairy-0"}
		for _, round := range draw(r, seed, w).rounds {
			for _, x := range round.lies {
				if _, err := upstreamtest.ParseLie(x.lie); err != nil {
					t.Error(err)
				}
				if _, err := upstreamtest.ParseTarget(x.about); err != nil {
					t.Error(err)
				}
				kind, _, _ := strings.Cut(x.lie, ":")
				drawn[kind]++
			}
			for _, f := range round.faults {
				drawn["fault "+f.kind]++
				for _, x := range f.toxics {
					drawn["toxic "+x.kind]++
				}
			}
		}
	}
	for _, known := range upstreamtest.Catalogue() {
		if kind, _, _ := strings.Cut(known.Form, ":"); drawn[kind] == 0 {
			t.Errorf("no schedule tells the lie %s", known.Form)
		}
	}
	t.Logf("what is drawn in 400 schedules: %v", drawn)
}

package link

import (
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// diary is a Recorder that remembers.
type diary struct {
	t      *testing.T
	mu     sync.Mutex
	busy   bool
	events []Event
	hold   <-chan struct{} // nil: it is quick
}

func (d *diary) Record(e Event) {
	d.mu.Lock()
	if d.busy {
		d.t.Error("two events at once")
	}
	d.busy = true
	d.mu.Unlock()
	if d.hold != nil {
		<-d.hold
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy = false
	d.events = append(d.events, e)
}

func TestEventsTellTheOutage(t *testing.T) {
	d := &diary{t: t}
	boot := epoch.Add(-time.Hour)
	now := epoch
	l := &Line{Now: func() time.Time { return now }, Recorder: d, Boot: Boot{ID: "b1", At: boot}}
	l.Met(asked(None))
	l.Met(asked(None))
	now = now.Add(10 * time.Minute)
	l.Met(asked(Unreachable))
	now = now.Add(FirstProbe)
	l.Met(seen(Carrier, No))
	l.Met(probed(Unreachable))
	now = now.Add(time.Minute)
	l.Met(probed(None))
	minute := time.Minute
	want := []Event{
		{"b1", 60 * minute, 60 * minute, epoch, Unknown, Well, "", false},
		{"b1", 70 * minute, 70 * minute, epoch.Add(10 * minute), Well, Unsure, "the upstream pypi.example cannot be reached", false},
		{"b1", 70*minute + FirstProbe, 70 * minute, epoch.Add(10*minute + FirstProbe), Unsure, NoCarrier, "the cable is unplugged", false},
		{"b1", 71*minute + FirstProbe, 71*minute + FirstProbe, epoch.Add(11*minute + FirstProbe), NoCarrier, Well, "", false},
	}
	if len(d.events) != len(want) {
		t.Fatalf("%d events: %+v", len(d.events), d.events)
	}
	for i, e := range d.events {
		if e != want[i] {
			t.Errorf("event %d: %+v\nwant     %+v", i, e, want[i])
		}
		b, err := json.Marshal(e)
		var back Event
		if err != nil || json.Unmarshal(b, &back) != nil || !back.Wall.Equal(e.Wall) || back.State != e.State || back.Since != e.Since {
			t.Errorf("%s becomes %+v (%v)", b, back, err)
		}
	}
}

// The record of a whole sequence: each event follows from the one before, in one
// time that never goes back, whatever the clock does.
func TestEventsOfASequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{t: t}
		w := newWorld(t)
		w.recorder = d
		watch(t, w, testIndex, func(l *Line) {
			for _, s := range []step{allWell, unplug, lostGate, hotel, allWell, errors5, allWell, lostFile, allWell} {
				w.set(s.change)
				if s.state == Portal {
					w.set(func(w *world) { w.noRoute = false })
				}
				follow(t, l, s)
			}
		})
		last := Event{Boot: "test"}
		for _, e := range d.events {
			if e.From != last.State || e.State == e.From || e.Boot != "test" || e.Mono < last.Mono || e.Since > e.Mono || e.Wall.IsZero() {
				t.Errorf("%+v follows %+v", e, last)
			}
			last = e
		}
		if len(d.events) < 9 || last.State != Well {
			t.Errorf("%d events, the last one %+v", len(d.events), last)
		}
	})
}

// A card that takes its time must not keep anybody waiting.
func TestASlowRecorderHoldsNobodyUp(t *testing.T) {
	hold := make(chan struct{})
	d := &diary{t: t, hold: hold}
	l := &Line{Recorder: d, Boot: Boot{ID: "b1", At: time.Now()}}
	writing, changed := make(chan struct{}), l.Changed()
	go func() {
		defer close(writing)
		l.Met(asked(None)) // it waits in Record
	}()
	<-changed
	l.Met(asked(Unreachable)) // while the other one writes
	l.Met(asked(None))
	if !l.Up() || l.Sentence() == "" {
		t.Error("the verdict is not to be had")
	}
	close(hold)
	<-writing
	if len(d.events) != 3 || d.events[1].State != Unsure || d.events[2].State != Well {
		t.Errorf("events %+v", d.events)
	}
}

func TestChangedTellsEachChange(t *testing.T) {
	l := &Line{}
	closed := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	ch := l.Changed()
	if l.Met(Observation{}); closed(ch) {
		t.Error("no news is told")
	}
	if l.Met(asked(None)); !closed(ch) {
		t.Error("the first answer is not told")
	}
	ch = l.Changed()
	if l.Met(asked(None)); closed(ch) {
		t.Error("an answer as before is told")
	}
	if l.Met(asked(Status)); !closed(ch) {
		t.Error("it is not told that a probe is due")
	}
	ch = l.Changed()
	if l.Met(asked(Unreachable)); !closed(ch) {
		t.Error("a failure is not told")
	}
}

func TestManyAtOnce(t *testing.T) {
	d := &diary{t: t}
	l := &Line{Recorder: d}
	var work sync.WaitGroup
	for g := range 8 {
		work.Go(func() {
			for i := range 200 {
				switch (g + i) % 4 {
				case 0:
					l.Met(asked(None))
				case 1:
					l.Met(asked(Unreachable))
				case 2:
					<-closedSoon(l)
				case 3:
					_, _, _ = l.Up(), l.Sentence(), l.Verdict()
				}
			}
		})
	}
	work.Wait()
	last := Unknown
	for _, e := range d.events {
		if e.From != last || e.Boot == "" {
			t.Fatalf("%+v comes after %s", e, last)
		}
		last = e.State
	}
	if last != l.Verdict().State {
		t.Errorf("the record ends with %s, the line is %s", last, l.Verdict().State)
	}
}

// closedSoon asks for the channel of changes and sees to it that one comes.
func closedSoon(l *Line) <-chan struct{} {
	ch := l.Changed()
	if l.Up() {
		l.Met(asked(Unreachable))
	}
	l.Met(asked(None))
	return ch
}

func TestReadBoot(t *testing.T) {
	root := t.TempDir()
	if a, b := ReadBoot(root), ReadBoot(root); a.ID == "" || a.ID == b.ID || time.Since(a.At) > time.Minute {
		t.Errorf("without /proc: %+v, %+v", a, b)
	}
	writeTree(t, root, map[string]string{"proc/sys/kernel/random/boot_id": "5d0a\n", "proc/uptime": "7200.25 3.00\n"})
	b := ReadBoot(root)
	if up := time.Since(b.At); b.ID != "5d0a" || up < 2*time.Hour || up > 2*time.Hour+time.Minute {
		t.Errorf("%+v: up for %s", b, up)
	}
	for _, uptime := range []string{"", "x", "-1 0", "NaN", "1e300"} {
		writeTree(t, root, map[string]string{"proc/uptime": uptime})
		if b := ReadBoot(root); b.ID == "5d0a" || time.Since(b.At) > time.Minute {
			t.Errorf("up-time %q: %+v", uptime, b)
		}
	}
}

package link

import (
	"testing"
	"time"
)

// TestRestamp: what was noted by a clock that began in 1970 gets its time by what came
// after it in the same boot.
func TestRestamp(t *testing.T) {
	at := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC) // when boot b was
	wrong := func(boot string, mono time.Duration) Event {
		return Event{Boot: boot, Mono: mono, Wall: time.Unix(0, 0).Add(mono), Guessed: true}
	}
	right := func(boot string, mono time.Duration) Event {
		return Event{Boot: boot, Mono: mono, Wall: at.Add(mono)}
	}
	for _, c := range []struct {
		name   string
		events []Event
		now    Event
		want   []Event
	}{
		{"by a later event", []Event{wrong("b", 5), wrong("b", 7), right("b", 9)}, right("c", 1), []Event{right("b", 5), right("b", 7), right("b", 9)}},
		{"by now", []Event{wrong("b", 5)}, right("b", 60), []Event{right("b", 5)}},
		{"not by another boot", []Event{wrong("a", 5), right("b", 9)}, right("b", 60), []Event{wrong("a", 5), right("b", 9)}},
		{"not yet", []Event{wrong("b", 5)}, wrong("b", 60), []Event{wrong("b", 5)}},
		{"right ones stay", []Event{right("b", 5), {Boot: "b", Mono: 9, Wall: at.Add(time.Hour)}}, right("b", 60), []Event{right("b", 5), {Boot: "b", Mono: 9, Wall: at.Add(time.Hour)}}},
	} {
		Restamp(c.events, c.now)
		for i, e := range c.events {
			if !e.Wall.Equal(c.want[i].Wall) || e.Guessed != c.want[i].Guessed {
				t.Errorf("%s: event %d is %+v, want %+v", c.name, i, e, c.want[i])
			}
		}
	}
}

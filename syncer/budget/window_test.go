package budget

import (
	"testing"
	"time"
)

func windows(t *testing.T, texts ...string) Windows {
	t.Helper()
	var ws Windows
	for _, s := range texts {
		w, err := ParseWindow(s)
		if err != nil {
			t.Fatal(err)
		}
		ws = append(ws, w)
	}
	return ws
}

func TestWindows(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		if s == "" {
			return time.Time{}
		}
		v, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		windows []string
		at      string
		open    bool
		change  string
	}{
		{nil, "2026-11-22 12:00", true, ""},
		{[]string{"22:00-06:00"}, "2026-11-22 21:59", false, "2026-11-22 22:00"},
		{[]string{"22:00-06:00"}, "2026-11-22 22:00", true, "2026-11-23 06:00"},
		{[]string{"22:00-06:00"}, "2026-11-23 05:59", true, "2026-11-23 06:00"},
		{[]string{"22:00-06:00"}, "2026-11-23 06:00", false, "2026-11-23 22:00"},
		{[]string{"mon-fri 12:00-13:00"}, "2026-11-20 12:30", true, "2026-11-20 13:00"},  // a Friday
		{[]string{"mon-fri 12:00-13:00"}, "2026-11-20 13:00", false, "2026-11-23 12:00"}, // until Monday
		{[]string{"fri-mon 20:00-02:00"}, "2026-11-24 01:00", true, "2026-11-24 02:00"},  // begun on Monday
		{[]string{"fri-mon 20:00-02:00"}, "2026-11-25 01:00", false, "2026-11-27 20:00"},
		{[]string{"sat,sun 00:00-24:00"}, "2026-11-21 00:00", true, "2026-11-23 00:00"}, // two days without an edge between
		{[]string{"00:00-24:00"}, "2026-11-21 10:00", true, ""},
		{[]string{"08:00-08:00"}, "2026-11-21 07:00", true, ""},
		{[]string{"01:00-02:00", "02:00-03:00"}, "2026-11-21 01:30", true, "2026-11-21 03:00"},
		{[]string{"wed 10:00-11:00"}, "2026-11-25 11:00", false, "2026-12-02 10:00"}, // a week away
		{[]string{"01:00-04:00"}, "2026-03-29 01:30", true, "2026-03-29 04:00"},      // the clock jumps from 2 to 3
	} {
		open, change := windows(t, c.windows...).Open(at(c.at))
		if open != c.open || !change.Equal(at(c.change)) {
			t.Errorf("%v at %s: open %v, changes %s; want %v, %s", c.windows, c.at, open, change, c.open, c.change)
		}
	}
}

func TestParseWindowRefuses(t *testing.T) {
	for _, s := range []string{"", "22:00", "22-06", "25:00-26:00", "24:00-06:00", "12:60-13:00", "noon-13:00", "mon 1:0-2:0", "mo-fr 12:00-13:00", "mon-fri", "-1:00-02:00", "12:00-13:00 mon"} {
		if w, err := ParseWindow(s); err == nil {
			t.Errorf("%q is accepted as %v", s, w)
		}
	}
}

package budget

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Window is a time of the week, in local time, in which the line may be used
// for what nobody is waiting for.
type Window struct {
	days     [7]bool // on which it begins, by time.Weekday
	from, to int     // minutes of the day; to may be smaller: it ends the next day
}

var dayNames = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseWindow reads a window: "22:00-06:00" for every day, "mon-fri 12:00-13:00"
// or "sat,sun 00:00-24:00" for some. One that ends before it begins ends the
// next day; one that ends when it begins lasts a whole day.
func ParseWindow(s string) (Window, error) {
	bad := func() (Window, error) {
		return Window{}, fmt.Errorf("parse window %q: want one such as 22:00-06:00 or mon-fri 12:00-13:00", s)
	}
	days, hours, given := strings.Cut(strings.ToLower(strings.TrimSpace(s)), " ")
	if !given {
		days, hours = "sun-sat", days
	}
	var w Window
	for part := range strings.SplitSeq(days, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, okA := dayOf(first)
		b, okB := a, okA
		if isRange {
			b, okB = dayOf(last)
		}
		if !okA || !okB {
			return bad()
		}
		for d := a; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == b {
				break
			}
		}
	}
	from, to, ok := strings.Cut(strings.TrimSpace(hours), "-")
	var okF, okT bool
	w.from, okF = minuteOf(from)
	w.to, okT = minuteOf(to)
	if !ok || !okF || !okT || w.from == 24*60 {
		return bad()
	}
	return w, nil
}

func dayOf(s string) (int, bool) {
	for i, name := range dayNames {
		if s == name {
			return i, true
		}
	}
	return 0, false
}

// minuteOf reads "06:30"; "24:00" is the end of the day.
func minuteOf(s string) (int, bool) {
	hour, minute, ok := strings.Cut(s, ":")
	h, err1 := strconv.Atoi(hour)
	m, err2 := strconv.Atoi(minute)
	if !ok || err1 != nil || err2 != nil || len(minute) != 2 || len(hour) > 2 || h < 0 || m < 0 || m > 59 || h*60+m > 24*60 {
		return 0, false
	}
	return h*60 + m, true
}

// span gives the times between which the window is open that begins on a day.
// Minutes count on the clock on the wall, so a day on which it is set forward or
// back is shorter or longer.
func (w Window) span(year int, month time.Month, day int, loc *time.Location) (from, to time.Time) {
	end := w.to
	if end <= w.from {
		end += 24 * 60
	}
	return time.Date(year, month, day, 0, w.from, 0, 0, loc), time.Date(year, month, day, 0, end, 0, 0, loc)
}

// Windows are the times in which the line may be used; none means always.
type Windows []Window

// Open tells whether the line may be used at t, and when that changes; a zero
// time where it never does.
func (ws Windows) Open(t time.Time) (open bool, change time.Time) {
	if len(ws) == 0 {
		return true, time.Time{}
	}
	open = ws.covers(t)
	// The edges of eight days around are all that can be next: a window is at
	// most a day long, and every week is like the others.
	for day := -1; day <= 8; day++ {
		at := t.AddDate(0, 0, day)
		for _, w := range ws {
			if !w.days[at.Weekday()] {
				continue
			}
			from, to := w.span(at.Year(), at.Month(), at.Day(), t.Location())
			for _, edge := range []time.Time{from, to} {
				if edge.After(t) && ws.covers(edge) != open && (change.IsZero() || edge.Before(change)) {
					change = edge
				}
			}
		}
	}
	return open, change
}

func (ws Windows) covers(t time.Time) bool {
	for _, w := range ws {
		for _, day := range []int{-1, 0} {
			at := t.AddDate(0, 0, day)
			if !w.days[at.Weekday()] {
				continue
			}
			from, to := w.span(at.Year(), at.Month(), at.Day(), t.Location())
			if !t.Before(from) && t.Before(to) {
				return true
			}
		}
	}
	return false
}

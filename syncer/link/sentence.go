package link

import (
	"fmt"
	"time"
)

// Verdict is what is known of the line at a moment.
type Verdict struct {
	State  State
	Began  time.Time // when the state began; zero while nothing is known
	Up     bool      // the upstream can be asked
	Since  time.Time // when Up last changed
	Cause  string    // half a sentence that says what is wrong; "" while nothing is
	Detail string    // the error of the last request that failed; "" where none did
	Probe  time.Time // when the next probe is due; zero where there is nothing to find out
	Files  string    // the address of a files host that a probe should ask; "": of none
}

// Verdict tells what is known at the time now. Where the clock was set since, its
// times are those that the clock would have shown had it been right before.
func (m Machine) Verdict(now time.Time) Verdict {
	v := Verdict{
		State: m.state, Began: restamp(m.since, now),
		Up: m.state.Up(), Since: restamp(m.flip, now), Probe: restamp(m.probe, now),
		Cause: m.cause(),
	}
	switch {
	case m.index.fault != None:
		v.Detail = m.index.detail
	case m.files.fault != None:
		v.Detail = m.files.detail
	}
	if m.files.fault != None || !m.files.doubted.IsZero() {
		v.Files = m.files.base
	}
	return v
}

// restamp gives t as the clock that shows now would have shown it: the time between
// them is the monotonic clock's.
func restamp(t, now time.Time) time.Time { return moment(t, now, now.Sub(t)) }

// moment is what lies ago before now, where the clock showed t. What is less than a
// second is the drift of the clock, not its having been set.
func moment(t, now time.Time, ago time.Duration) time.Time {
	if t.IsZero() {
		return t
	}
	s := now.Add(-ago)
	if d := s.Round(0).Sub(t.Round(0)); d > -time.Second && d < time.Second {
		return t
	}
	return s
}

// cause says what is wrong, without its time.
func (m Machine) cause() string {
	switch m.state {
	case Unsure:
		if m.index.fault != None {
			return whose("the upstream", m.index.host) + " " + m.index.complaint()
		}
		return whose("the files host", m.files.host) + " " + m.files.complaint()
	case NoCarrier:
		if m.wireless {
			return "the Wi-Fi is not connected"
		}
		return "the cable is unplugged"
	case NoRoute:
		return "no gateway leads out of this network"
	case Portal:
		return "the network asks for a login before it lets anybody out"
	case NoNames:
		return "names cannot be looked up (DNS)"
	case ClockWrong:
		return "the clock of this box is wrong"
	case UpstreamDown:
		return whose("the upstream", m.index.host) + " " + m.index.complaint()
	case FilesDown:
		return whose("the files host", m.files.host) + " " + m.files.complaint()
	case Slow:
		if m.answer.confirmed {
			return fmt.Sprintf("%s is slow: %s for an answer", whose("the upstream", m.index.host), span(m.answer.answer))
		}
		return fmt.Sprintf("the line is slow: %d KB/s", max(m.speed.rate>>10, 1))
	}
	return ""
}

func whose(what, host string) string {
	if host == "" {
		return what
	}
	return what + " " + host
}

// complaint says how a target fails.
func (t target) complaint() string {
	switch t.fault {
	case Status:
		return fmt.Sprintf("answers with errors only (%d)", t.code)
	case Odd:
		return "gives answers that cannot be used"
	case Cut:
		return "ends every connection before it answers"
	case Stalled:
		return "does not answer"
	case NotYetValid, Expired:
		return "shows a certificate whose time is over, or has not begun"
	case Untrusted:
		return "shows a certificate that is not accepted"
	}
	return "cannot be reached"
}

// Sentence tells a person the cause, since when, and when the next try is.
func (v Verdict) Sentence(now time.Time) string {
	next := ""
	if !v.Probe.IsZero() {
		next = "; next try " + in(v.Probe.Sub(now))
	}
	switch v.State {
	case Unknown:
		return "Nothing has been asked of the upstream yet" + next + "."
	case Well:
		return "All is well since " + clock(v.Began, now) + next + "."
	case ClockWrong:
		// A time of day would be one of the wrong clock's.
		return fmt.Sprintf("The clock of this box is wrong: it says %s, and certificates are refused for %s now%s.",
			now.Format("2 January 2006 15:04"), span(now.Sub(v.Began)), next)
	}
	return upper(v.Cause) + " since " + clock(v.Began, now) + next + "."
}

// Action is the one next thing that a person can do; "" where there is none.
func (v Verdict) Action() string {
	switch v.State {
	case NoCarrier:
		return "plug the cable in, or look at the Wi-Fi"
	case NoRoute, NoNames:
		return "look at the router and its line"
	case Portal:
		return "open a browser behind this network and log in"
	case ClockWrong:
		return "set the clock"
	case Unknown, Well:
		return ""
	case Slow:
		return "wait, or look who else uses the line"
	}
	return "wait: what is here is served; if it lasts, look at the router and its line"
}

// clock tells a time of day, with the day where that is not today.
func clock(t, now time.Time) string {
	t = t.In(now.Location())
	switch {
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		return t.Format("15:04")
	case t.Year() == now.Year():
		return t.Format("2 January 15:04")
	}
	return t.Format("2 January 2006 15:04")
}

func in(d time.Duration) string {
	if d <= 0 {
		return "now"
	}
	return "in " + span(d)
}

// span tells a duration in the one unit that suits it.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "1 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d.Round(time.Hour)/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// upper makes the beginning of a sentence of half a sentence in ASCII.
func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

package link

import (
	"regexp"
	"testing"
	"testing/synctest"
	"time"
)

// step is a change of the world, and what is to be said soon after.
type step struct {
	what   string
	change func(*world)
	state  State
	says   string // a regular expression
}

func well(w *world) {
	w.unplugged, w.noRoute, w.noName, w.portal, w.wrongClock = false, false, false, false, 0
	w.index, w.files, w.latency, w.lineRate = None, None, 0, 1<<20
}

var (
	allWell  = step{"all is well", well, Well, `^All is well since \d\d:\d\d\.$`}
	unplug   = step{"the cable is pulled", func(w *world) { w.unplugged = true }, NoCarrier, `^The cable is unplugged since 00:0\d; next try (now|in [1-5] s)\.$`}
	lostGate = step{"the gateway is lost", func(w *world) { w.unplugged, w.noRoute = false, true }, NoRoute, `^No gateway leads out of this network since 00:0\d; next try`}
	lostDNS  = step{"DNS is dead", func(w *world) { w.noName = true }, NoNames, `^Names cannot be looked up \(DNS\) since 00:0\d; next try`}
	hotel    = step{"a portal", func(w *world) { w.portal = true }, Portal, `^The network asks for a login before it lets anybody out since 00:0\d; next try`}
	refused  = step{"PyPI cannot be reached", func(w *world) { w.index = Unreachable }, UpstreamDown, `^The upstream pypi\.example cannot be reached since 00:0\d; next try`}
	errors5  = step{"PyPI answers 503", func(w *world) { w.index = Status }, UpstreamDown, `^The upstream pypi\.example answers with errors only \(503\) since 00:0\d`}
	silent   = step{"PyPI is silent", func(w *world) { w.index = Stalled }, UpstreamDown, `^The upstream pypi\.example does not answer since 00:0\d`}
	cut      = step{"every connection is cut", func(w *world) { w.index = Cut }, UpstreamDown, `^The upstream pypi\.example ends every connection before it answers since`}
	lostFile = step{"the files host is down", func(w *world) { w.files = Unreachable }, FilesDown, `^The files host files\.example cannot be reached since 00:0\d`}
	slowly   = step{"answers take long", func(w *world) { w.latency = 7 * time.Second }, Slow, `^The upstream pypi\.example is slow: 7 s for an answer since 00:0\d`}
	narrow   = step{"files come slowly", func(w *world) { w.lineRate = 3 << 10 }, Slow, `^The line is slow: 3 KB/s since 00:0\d`}
	in1970   = step{"the clock is at 1970", func(w *world) { w.wrongClock = time.Until(time.Unix(300, 0)) }, ClockWrong, `^The clock of this box is wrong: it says 1 January 1970 00:0\d, and certificates are refused for \d+ s now; next try`}
	in2099   = step{"the clock is far ahead", func(w *world) { w.wrongClock = 99 * 365 * 24 * time.Hour }, ClockWrong, `^The clock of this box is wrong: it says .* 2098 `}
)

func TestSequences(t *testing.T) {
	for name, steps := range map[string][]step{
		"all well":                        {allWell},
		"the cable":                       {allWell, unplug, allWell},
		"started without a cable":         {unplug, allWell},
		"the gateway":                     {allWell, lostGate, allWell},
		"the cable, then no gateway":      {allWell, unplug, lostGate, allWell},
		"DNS":                             {allWell, lostDNS, allWell},
		"no gateway and so no DNS":        {allWell, {"both", func(w *world) { w.noRoute, w.noName = true, true }, NoRoute, lostGate.says}, lostDNSOnly(), allWell},
		"a portal":                        {allWell, hotel, allWell},
		"started behind a portal":         {hotel, allWell},
		"the cable, then a portal":        {allWell, unplug, {"another network", func(w *world) { w.unplugged, w.portal = false, true }, Portal, hotel.says}, allWell},
		"PyPI cannot be reached":          {allWell, refused, allWell},
		"PyPI answers 503":                {allWell, errors5, allWell},
		"PyPI answers 503, then nothing":  {allWell, errors5, refused, allWell},
		"PyPI is silent":                  {allWell, silent, allWell},
		"PyPI cuts":                       {allWell, cut, allWell},
		"the files host":                  {allWell, lostFile, allWell},
		"the files host, then the cable":  {allWell, lostFile, unplug, {"the cable is back", func(w *world) { w.unplugged = false }, FilesDown, lostFile.says}, allWell},
		"slow answers":                    {allWell, slowly, allWell},
		"slow, then down":                 {allWell, slowly, refused, allWell},
		"slow files":                      {allWell, narrow, allWell},
		"the clock at 1970":               {in1970, allWell},
		"the clock falls back":            {allWell, in1970, allWell},
		"the clock is far ahead":          {in2099, allWell},
		"no cable, and the clock at 1970": {{"both", func(w *world) { in1970.change(w); w.unplugged = true }, NoCarrier, `^The cable is unplugged since`}, {"the cable", func(w *world) { w.unplugged = false }, ClockWrong, in1970.says}, allWell},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				watch(t, w, testIndex, func(l *Line) {
					for _, s := range steps {
						w.set(s.change)
						follow(t, l, s)
					}
				})
			})
		})
	}
}

func lostDNSOnly() step {
	s := lostDNS
	s.change = func(w *world) { w.noRoute, w.noName = false, true }
	return s
}

// follow waits until the line says what it should: 30 s at most where something
// broke, and until the next probe where all is well again. Then it has to keep
// saying so.
func follow(t *testing.T, l *Line, s step) {
	t.Helper()
	limit := 30 * time.Second
	if s.state == Well {
		limit = LastProbe + DefaultPatience
	}
	pattern := regexp.MustCompile(s.says)
	right := false
	for n := 0; n < int(limit/time.Second) && !right; n++ {
		time.Sleep(time.Second) // in the bubble: no time passes
		right = l.Verdict().State == s.state && pattern.MatchString(l.Sentence())
	}
	if !right {
		t.Fatalf("%s: after %s it is %s: %q, want %s: %q", s.what, limit, l.Verdict().State, l.Sentence(), s.state, s.says)
	}
	began := l.Verdict().Began
	for range 20 {
		time.Sleep(time.Second)
		if v := l.Verdict(); v.State != s.state || !v.Began.Equal(began) || v.Up != (s.state == Well || s.state == Slow) {
			t.Fatalf("%s: it does not last: %+v, began %s: %q", s.what, v, began, l.Sentence())
		}
	}
}

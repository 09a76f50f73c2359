package hardship

import (
	"fmt"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// cutOff is where the upstream's answer about the wheel breaks off, where it does.
const cutOff = 1_200_000

// failover is a host of files in trouble, a mirror, and what must come of them.
type failover struct {
	name   string
	cut    bool               // the host's first answer breaks off at cutOff
	host   []upstreamtest.Lie // told of the wheel by the host, else from the beginning, for ever
	mirror []upstreamtest.Lie // told of the wheel by the mirror, for ever
	begin  int64              // the byte from which the mirror is asked; -1: not at all
	ratio  float64            // bytes of bodies sent by both ÷ length of the file, at most
	lied   string             // "host" or "mirror": who is named for it
	fails  bool               // nobody has the right bytes
}

var failovers = []failover{
	{name: "404", host: lies(upstreamtest.Status(404, "")), begin: 0, ratio: 1.02},
	{name: "403", host: lies(upstreamtest.Status(403, "")), begin: 0, ratio: 1.02},
	{name: "login page", host: lies(upstreamtest.LoginPage()), begin: 0, ratio: 1.02},
	{name: "silence", host: lies(upstreamtest.NeverAnswer()), begin: 0, ratio: 1.02},
	{name: "another length", host: lies(upstreamtest.Resize(7)), begin: 0, ratio: 1.05},
	{name: "cut, then 404", cut: true, host: lies(upstreamtest.Status(404, "")), begin: cutOff, ratio: 1.02},
	{name: "cut, then 410", cut: true, host: lies(upstreamtest.Status(410, "")), begin: cutOff, ratio: 1.02},
	{name: "cut, then 403", cut: true, host: lies(upstreamtest.Status(403, "")), begin: cutOff, ratio: 1.02},
	{name: "cut, then 500", cut: true, host: lies(upstreamtest.Status(500, "")), begin: cutOff, ratio: 1.02},
	{name: "cut, then 503 for an hour", cut: true, host: lies(upstreamtest.Status(503, "3600")), begin: cutOff, ratio: 1.02},
	{name: "cut, then hangs up", cut: true, host: lies(upstreamtest.HangUp()), begin: cutOff, ratio: 1.02},
	{name: "cut, then silence", cut: true, host: lies(upstreamtest.NeverAnswer()), begin: cutOff, ratio: 1.02},
	{name: "cut, then a login page", cut: true, host: lies(upstreamtest.LoginPage()), begin: cutOff, ratio: 1.02},
	{name: "stops at a byte", host: lies(upstreamtest.StopAt(cutOff)), begin: cutOff, ratio: 1.02},
	{name: "falls silent at a byte, again and again", host: lies(upstreamtest.StallAfter(2_000_000)), begin: -1, ratio: 1.02},
	{name: "cuts every 64 KB", host: lies(upstreamtest.CutAfter(64 << 10)), begin: -1, ratio: 1.02},
	{name: "cut, then refuses ranges", cut: true, host: lies(upstreamtest.RefuseRanges(416)), begin: cutOff, ratio: 1.02},
	{name: "both cut every 64 KB, the host says 404 later", host: lies(upstreamtest.CutAfter(64<<10), upstreamtest.RefuseBeyond(cutOff, 404)),
		mirror: lies(upstreamtest.CutAfter(64 << 10)), begin: 19 * (64 << 10), ratio: 1.02},
	{name: "mirror's ETag changes", cut: true, host: lies(upstreamtest.Status(404, "")),
		mirror: lies(upstreamtest.ChangeETag(true), upstreamtest.CutAfter(300_000)), begin: cutOff, ratio: 1.02},

	// Wrong bytes cannot be told from right ones before the end: they come again.
	{name: "wrong tail", host: lies(upstreamtest.FlipByte(-1)), begin: 0, ratio: 2.02, lied: "host"},
	{name: "wrong beginning, then 404", host: lies(upstreamtest.FlipByte(5), upstreamtest.StopAt(cutOff), upstreamtest.RefuseBeyond(cutOff, 404)),
		begin: cutOff, ratio: 2.02},
	{name: "404 behind a byte, and the mirror lies", host: lies(upstreamtest.StopAt(cutOff), upstreamtest.RefuseBeyond(cutOff, 404)),
		mirror: lies(upstreamtest.FlipByte(-1)), begin: cutOff, ratio: 2.45, lied: "mirror", fails: true},
	{name: "404, and the mirror lies", host: lies(upstreamtest.Status(404, "")), mirror: lies(upstreamtest.FlipByte(-1)),
		begin: 0, ratio: 1.02, lied: "mirror", fails: true},
	{name: "both lie", host: lies(upstreamtest.FlipByte(-1)), mirror: lies(upstreamtest.FlipByte(7)),
		begin: 0, ratio: 2.02, lied: "mirror", fails: true},
	{name: "404, and the mirror ignores ranges", cut: true, host: lies(upstreamtest.Status(404, "")),
		mirror: lies(upstreamtest.IgnoreRange()), begin: cutOff, ratio: 1.9},
}

func lies(l ...upstreamtest.Lie) []upstreamtest.Lie { return l }

// TestMirrorGoesOn: where the host of the files gives up, a mirror is asked for the
// rest, from the byte that was reached.
func TestMirrorGoesOn(t *testing.T) {
	t.Parallel()
	for _, c := range failovers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			index, name, content := wheelhouse(t)
			up, other := upstream(t, index), upstream(t, index)
			// What stands in the kernel of a server was not sent: a line that is
			// faster than loopback is none.
			up.SetBandwidth(40_000_000)
			other.SetBandwidth(40_000_000)
			if c.cut {
				up.Tell(upstreamtest.OnFile(name), upstreamtest.CutAfter(cutOff), 1)
			}
			for _, l := range c.host {
				tell(t, up, name, l, c.cut)
			}
			for _, l := range c.mirror {
				other.Tell(upstreamtest.OnFile(name), l, 0)
			}
			s := settings(t, up, "brie")
			s.Upstream.Mirrors = []string{other.IndexURL()}
			s.Upstream.StallTimeout = silence
			b := open(t, s)
			if _, err := b.sync(); err != nil && !c.fails {
				t.Error(err)
			}
			b.judgeFailover(c, index, up, other, name, len(content))
			b.sound()
		})
	}
}

// tell tells a lie for ever: about ranges, where the first answer is to break off
// and no more.
func tell(t *testing.T, up *upstreamtest.Server, name string, lie upstreamtest.Lie, afterCut bool) {
	t.Helper()
	if !afterCut || strings.HasPrefix(lie.Name, "flip") || strings.HasPrefix(lie.Name, "refuse") {
		up.Tell(upstreamtest.OnFile(name), lie, 0)
		return
	}
	up.Tell(upstreamtest.OnFile(name), upstreamtest.OnRanges(lie), 0)
}

func (b *box) judgeFailover(c failover, index *upstreamtest.Index, up, other *upstreamtest.Server, name string, length int) {
	b.Helper()
	hosts, mirrors := up.Requests().On(upstreamtest.OnFile(name)), other.Requests().On(upstreamtest.OnFile(name))
	ratio := float64(hosts.Body()+mirrors.Body()) / float64(length)
	b.Logf("%d requests to the host, %d to the mirror; %.3f of the length was sent; %q then %q", len(hosts), len(mirrors), ratio, hosts.Ranges()[:min(5, len(hosts))], mirrors.Ranges()[:min(5, len(mirrors))])
	if _, here := b.holdings("brie")[name]; here == c.fails {
		b.Errorf("it is here: %t\n%s", here, b.problems())
	}
	b.honest(index, "brie")
	if ratio > c.ratio {
		b.Errorf("%.3f of the length was sent, at most %.2f is right", ratio, c.ratio)
	}
	want := fmt.Sprintf("bytes=%d-", c.begin)
	if c.begin == 0 {
		want = ""
	}
	switch {
	case c.begin < 0 && len(mirrors) > 0:
		b.Errorf("the mirror was asked for %q", mirrors.Ranges())
	case c.begin >= 0 && (len(mirrors) == 0 || mirrors[0].Range != want || mirrors[0].IfRange != ""):
		b.Errorf("the mirror was asked for %q, want %q first", mirrors.Ranges(), want)
	}
	if n := len(other.Requests().On(upstreamtest.OnPage("brie"))); n > 1 || c.begin >= 0 && n != 1 {
		b.Errorf("the mirror's page was asked for %d times", n)
	}
	if n := len(hosts); c.fails && n > 6 {
		b.Errorf("the host was asked %d times", n)
	}
	st, err := b.Status()
	must(b, err)
	for _, s := range st.Sync.Sources {
		if lied := s.Lies > 0; lied != (c.lied == "mirror" && s.Mirror || c.lied == "host" && !s.Mirror || c.name == "both lie") {
			b.Errorf("of %s the status says: %+v", s.Address, s)
		}
	}
	named := strings.Contains(fmt.Sprint(b.Health.Verdict()), "wrong bytes came from "+other.IndexURL())
	if liar := c.lied == "mirror"; named != liar {
		b.Errorf("the verdict names the mirror: %t; %+v", named, b.Health.Verdict())
	}
	if c.fails != (len(b.problems()) > 0) {
		b.Errorf("the status names\n%s", b.problems())
	}
}

// TestMirrorsInTurn: the second mirror goes on where the first gave up; one that
// has not the project, lists it without digests, is dead, or keeps its files on the
// host that failed, is passed over; and a liar does not spoil the file for good.
func TestMirrorsInTurn(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	up := upstream(t, index)
	up.Tell(upstreamtest.OnFile(name), upstreamtest.StopAt(400_000), 0)
	empty := upstream(t, upstreamtest.NewIndex())
	dead := upstream(t, index)
	must(t, dead.Kill())
	undigested := upstream(t, index)
	undigested.Tell(upstreamtest.OnPage("brie"), upstreamtest.WrongHashes(), 0)
	same := upstream(t, index)
	same.Tell(upstreamtest.OnPage("brie"), upstreamtest.FilesOn(up.URL()), 0)
	broken := upstream(t, index)
	broken.Tell(upstreamtest.OnPage("brie"), upstreamtest.Garbage(), 0)
	tired := upstream(t, index)
	tired.Tell(upstreamtest.OnFile(name), upstreamtest.StopAt(900_000), 0)
	liar := upstream(t, index)
	liar.Tell(upstreamtest.OnFile(name), upstreamtest.FlipByte(1_000_000), 0)
	good := upstream(t, index)
	s := settings(t, up, "brie")
	for _, m := range []*upstreamtest.Server{empty, dead, undigested, same, broken, tired} {
		s.Upstream.Mirrors = append(s.Upstream.Mirrors, m.IndexURL())
	}
	s.Upstream.Mirrors = append(s.Upstream.Mirrors, liar.IndexURL(), good.IndexURL())
	b := open(t, s)
	b.synced()
	b.honest(index, "brie")
	if len(b.holdings("brie")) != 2 {
		t.Errorf("here is %v", b.holdings("brie"))
	}
	b.sound()
	onFile := upstreamtest.OnFile(name)
	if got := tired.Requests().On(onFile); len(got) == 0 || got[0].Range != "bytes=400000-" {
		t.Errorf("the first was asked for %q", got.Ranges())
	}
	if got := liar.Requests().On(onFile); len(got) == 0 || got[0].Range != "bytes=900000-" {
		t.Errorf("the second was asked for %q", got.Ranges())
	}
	if got := good.Requests().On(onFile); got.Body() != int64(len(content)) {
		t.Errorf("the good one sent %d bytes: %q", got.Body(), got.Ranges())
	}
	for _, m := range []*upstreamtest.Server{empty, undigested, same, broken} {
		if files, pages := len(m.Requests().On(onFile)), len(m.Requests().On(upstreamtest.OnPage("*"))); files > 0 || pages != 1 {
			t.Errorf("one that has it not was asked for %d files and %d pages", files, pages)
		}
	}
	st, err := b.Status()
	must(t, err)
	for _, one := range st.Sync.Sources {
		switch one.Address {
		case liar.IndexURL():
			if one.Lies == 0 || one.NextTry.IsZero() || one.Reason == "" {
				t.Errorf("the liar is not named: %+v", one)
			}
		case dead.IndexURL(), tired.IndexURL():
			if one.Failures == 0 || one.NextTry.IsZero() {
				t.Errorf("it is not set back: %+v", one)
			}
		case good.IndexURL(), empty.IndexURL():
			if one.Failures > 0 {
				t.Errorf("it is in trouble: %+v", one)
			}
		}
	}
}

package fetch

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
	"cheeseboard/syncer/wire"
)

// TestWornConnections has something on the way end connections once they have
// carried so much, and other answers have used up what many of them may carry: a
// small file comes at the second attempt, however many of them are kept.
func TestWornConnections(t *testing.T) {
	b := start(t, 20_000)
	const kept = 12
	var answers []*http.Response
	for range kept { // all at once, each over a connection of its own
		resp, err := b.fetcher.Client.Get(t.Context(), http.MethodGet, b.server.FileURL(wheelName), nil)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, resp)
	}
	for _, resp := range answers {
		_, err := io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
	}
	b.server.Forget()
	b.server.Tell(upstreamtest.OnFile(wheelName), upstreamtest.CutConnectionAfter(20_000), -1)
	for _, size := range []int64{-1, int64(len(b.content))} {
		m := &memory{size: size}
		if err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m); err != nil || !bytes.Equal(m.b, b.content) {
			t.Errorf("of %d bytes of a file of size %d came %d, and %v", len(b.content), size, len(m.b), err)
		}
	}
	if n := len(b.requests()); n > 3+4 { // one worn, two for all of it; where no size is stated, one to see that it ends
		t.Errorf("it was asked for %d times", n)
	}
	if len(b.pauses) > 0 && slices.Max(b.pauses) > 0 {
		t.Errorf("it has waited: %v", b.pauses)
	}
}

// TestMiddleboxes puts a box on the way that does not let the file through as it
// is. What can arrive does, and costs no more than it must; where nothing helps,
// the fetch ends soon and says why.
func TestMiddleboxes(t *testing.T) {
	const size = 4 << 20
	file := upstreamtest.OnFile(wheelName)
	for _, c := range []struct {
		name  string
		cut   upstreamtest.Lie // told once, first, so that there is something to go on from
		lies  []upstreamtest.Lie
		ratio float64 // bytes of bodies sent ÷ length of the file, at most
		why   string  // part of the error; "" where it must arrive
		rate  int64   // of the line: without one, kernels take bytes that no line would have carried
	}{
		{name: "cuts each answer after 64 KB", lies: tell(upstreamtest.CutAfter(64 << 10)), ratio: 1.001},
		{name: "cuts each connection after 64 KB", lies: tell(upstreamtest.CutConnectionAfter(64 << 10)), ratio: 1.001},
		{name: "ignores Range", cut: upstreamtest.CutAfter(1 << 20), lies: tell(upstreamtest.IgnoreRange()), ratio: 1.26},
		{name: "ignores Range, ETag changes", cut: upstreamtest.CutAfter(1 << 20),
			lies: tell(upstreamtest.IgnoreRange(), upstreamtest.ChangeETag(true)), ratio: 1.4, rate: 16 << 20},
		{name: "ETag changes", cut: upstreamtest.CutAfter(1 << 20), lies: tell(upstreamtest.ChangeETag(true)), ratio: 1.3, rate: 16 << 20},
		{name: "ETag changes, range sent", cut: upstreamtest.CutAfter(1 << 20), lies: tell(upstreamtest.ChangeETag(false)), ratio: 1.001},
		{name: "416 to any range", cut: upstreamtest.CutAfter(1 << 20), lies: tell(upstreamtest.RefuseRanges(416)), ratio: 1.26},
		{name: "403 to any range", cut: upstreamtest.CutAfter(1 << 20), lies: tell(upstreamtest.RefuseRanges(403)), ratio: 1.26},
		{name: "406 to any range", cut: upstreamtest.CutAfter(1 << 20), lies: tell(upstreamtest.RefuseRanges(406)), ratio: 1.26},
		{name: "refuses answers above 300 KB", lies: tell(upstreamtest.LimitAnswer(300<<10, 403)), ratio: 1.001},
		{name: "trims answers to 300 KB, in good order", lies: tell(upstreamtest.Trim(300 << 10)), ratio: 1.2},

		{name: "stops at a byte", lies: tell(upstreamtest.StopAt(1_000_000)), ratio: 0.26,
			why: "each answer ends at byte 1000000 of"},
		{name: "refuses what is behind a byte", lies: tell(upstreamtest.StopAt(1_000_000), upstreamtest.RefuseBeyond(1_000_000, 403)), ratio: 0.26,
			why: "nothing beyond byte 1000000 of"},
		{name: "ignores Range and stops at a byte", lies: tell(upstreamtest.IgnoreRange(), upstreamtest.CutAfter(1_000_000)), ratio: 0.8,
			why: "what it sends instead ends before byte 1000000"},
		{name: "refuses ranges and cuts", lies: tell(upstreamtest.RefuseRanges(403), upstreamtest.CutAfter(1_000_000)), ratio: 0.8,
			why: "what it sends instead ends before byte 1000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, size)
			b.server.SetBandwidth(c.rate)
			if c.cut.Name != "" {
				b.server.Tell(file, c.cut, 1)
			}
			for _, l := range c.lies {
				b.server.Tell(file, l, -1)
			}
			m := &memory{size: int64(len(b.content))}
			err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m)
			switch {
			case c.why == "" && (err != nil || !bytes.Equal(m.b, b.content)):
				t.Fatalf("%d bytes of %d, %v; asked for %q", len(m.b), len(b.content), err, b.requests().Ranges())
			case c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)):
				t.Errorf("it says %v, want %q; asked for %q", err, c.why, b.requests().Ranges())
			case c.why != "" && !bytes.Equal(m.b, b.content[:1_000_000]):
				t.Errorf("%d bytes are kept", len(m.b))
			}
			if m.resets > 0 {
				t.Errorf("%d times from zero", m.resets)
			}
			ratio := float64(b.requests().Body()) / float64(len(b.content))
			t.Logf("%d requests, %.3f of the length was sent, %v", len(b.requests()), ratio, err)
			if ratio > c.ratio {
				t.Errorf("%.3f of the length was sent, at most %.3f is right; asked for %q", ratio, c.ratio, b.requests().Ranges())
			}
			if n := len(b.requests()); c.why != "" && n > 8 {
				t.Errorf("%d requests were made in vain", n)
			}
		})
	}
}

func tell(lies ...upstreamtest.Lie) []upstreamtest.Lie { return lies }

// TestResets measures what resets cost in bytes that the upstream gave to its
// kernel: most of these never left it, which is no loss of the line's, but all a
// middlebox or a metered host would count.
func TestResets(t *testing.T) {
	const size = 20 << 20
	for _, c := range []struct {
		name  string
		lie   upstreamtest.Lie
		rate  int64
		ratio float64
	}{
		{"answers after 1 MB", upstreamtest.ResetAfter(1 << 20), 0, 1.25},
		{"answers after 64 KB", upstreamtest.ResetAfter(64 << 10), 0, 1.05},
		{"connections after 1 MB", upstreamtest.ResetConnectionAfter(1 << 20), 0, 1.25},
		{"connections after 64 KB", upstreamtest.ResetConnectionAfter(64 << 10), 0, 1.05},
		{"answers after 1 MB at 8 MB/s", upstreamtest.ResetAfter(1 << 20), 8 << 20, 1.05},
		{"connections after 1 MB at 8 MB/s", upstreamtest.ResetConnectionAfter(1 << 20), 8 << 20, 1.05},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := start(t, size)
			b.server.SetBandwidth(c.rate)
			b.server.Tell(upstreamtest.OnFile(wheelName), c.lie, -1)
			m := &memory{size: int64(len(b.content))}
			if err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m); err != nil || !bytes.Equal(m.b, b.content) {
				t.Fatalf("%d bytes of %d, %v", len(m.b), len(b.content), err)
			}
			sent := float64(b.requests().Body()) / float64(len(b.content))
			received := float64(b.fetcher.Client.Received()) / float64(len(b.content))
			t.Logf("%d requests; sent %.3f, received with heads %.4f of the length", len(b.requests()), sent, received)
			if sent > c.ratio || received > 1.03 {
				t.Errorf("sent %.3f, received %.3f of the length; asked for %q", sent, received, b.requests().Ranges()[:min(50, len(b.requests()))])
			}
		})
	}
}

// TestElsewhere: where the bytes can be had from another place, this one is left
// soon, and bytes that are here are not asked for again.
func TestElsewhere(t *testing.T) {
	file := upstreamtest.OnFile(wheelName)
	for _, c := range []struct {
		name     string
		lie      upstreamtest.Lie
		cause    wire.Cause
		requests int // after the one that was cut
	}{
		{"silent", upstreamtest.NeverAnswer(), wire.Stalled, 1},
		{"hangs up", upstreamtest.HangUp(), wire.Cut, 2},
		{"500", upstreamtest.Status(500, ""), wire.Broken, 2},
		{"404", upstreamtest.Status(404, ""), wire.Gone, 1},
		{"login page", upstreamtest.LoginPage(), wire.Lie, 2},
		{"ignores Range", upstreamtest.IgnoreRange(), wire.Lie, 1},
		{"refuses ranges", upstreamtest.RefuseRanges(403), wire.Refused, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, 1<<20)
			b.fetcher.Elsewhere = true
			b.server.Tell(file, upstreamtest.CutAfter(300_000), 1)
			// The lie begins with the second request: the first is the file's beginning.
			m := &memory{size: int64(len(b.content))}
			b.fetcher.Attempt = func(string, int64, error) { b.server.Tell(file, c.lie, -1); b.fetcher.Attempt = nil }
			err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m)
			if got := wire.CauseOf(err); got != c.cause {
				t.Errorf("cause %q (%v), want %q", got, err, c.cause)
			}
			if n := len(b.requests()) - 1; n != c.requests {
				t.Errorf("%d requests in vain, want %d: %q", n, c.requests, b.requests().Ranges())
			}
			if m.resets > 0 || len(m.b) != 300_000 {
				t.Errorf("%d bytes are kept after %d resets", len(m.b), m.resets)
			}
		})
	}
}

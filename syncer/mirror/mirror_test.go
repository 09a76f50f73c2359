package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/upstreamtest"
	"cheeseboard/syncer/wire"
)

const wheel = "brie-1.0-py3-none-any.whl"

// clock is a time that stands still unless it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type world struct {
	*Set
	clock  *clock
	server *upstreamtest.Server
	wheel  pypi.Digest
	meta   pypi.Digest
}

func start(t *testing.T) *world {
	t.Helper()
	index := upstreamtest.NewIndex()
	if _, err := index.AddWheel(upstreamtest.Wheel{Name: "brie", Version: "1.0", Payload: 1000}); err != nil {
		t.Fatal(err)
	}
	w := &world{clock: &clock{at: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, server: upstreamtest.NewServer(index)}
	if err := w.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	})
	content, _ := index.Content(wheel)
	metadata, _ := index.Metadata(wheel)
	w.wheel, w.meta = sha256.Sum256(content), sha256.Sum256(metadata)
	client, err := wire.NewClient(wire.Options{Connect: 5 * time.Second, Stall: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	x, err := upstream.New("http://127.0.0.1:9/simple/", client, 0)
	if err != nil {
		t.Fatal(err)
	}
	address := w.server.IndexURL()
	w.Set, err = New(x, []string{address, strings.TrimSuffix(address, "/"), x.Address()}, Options{Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if w.Len() != 1 {
		t.Fatalf("%d mirrors: the same one counts once, and the upstream is none", w.Len())
	}
	return w
}

func (w *world) pages() int { return len(w.server.Requests().On(upstreamtest.OnPage("*"))) }

// TestFind looks a file and its metadata up by digest, with one look at the page.
func TestFind(t *testing.T) {
	w := start(t)
	m := w.mirrors[0]
	ctx := t.Context()
	alive := 0
	if got, want := m.Find(ctx, "brie", w.wheel, func() { alive++ }), w.server.FileURL(wheel); got != want || alive != 1 {
		t.Errorf("the wheel is at %q, want %q; %d signs of life", got, want, alive)
	}
	if got, want := m.Find(ctx, "brie", w.meta, nil), w.server.FileURL(wheel)+".metadata"; got != want {
		t.Errorf("its metadata are at %q, want %q", got, want)
	}
	if got := m.Find(ctx, "brie", pypi.Digest{1}, nil); got != "" {
		t.Errorf("what it has not is at %q", got)
	}
	for range 3 {
		if got := m.Find(ctx, "gouda", w.wheel, nil); got != "" {
			t.Errorf("of a project that it has not it says %q", got)
		}
	}
	if n := w.pages(); n != 2 {
		t.Errorf("%d pages were asked for, want 2", n)
	}
	if len(w.Candidates("gouda", w.wheel)) != 0 || len(w.Candidates("brie", w.wheel)) != 1 || len(w.Candidates("edam", w.wheel)) != 1 {
		t.Error("the candidates are not those that may have it")
	}
	m.Lacks("brie", w.wheel)
	if len(w.Candidates("brie", w.wheel)) != 0 || len(w.Candidates("brie", w.meta)) != 1 {
		t.Error("what it did not give out is still looked for there")
	}
	known, unread := w.Listed("brie")
	if len(known) != 1 || !known[w.meta] || len(unread) != 0 {
		t.Errorf("listed are %v, unread %d", known, len(unread))
	}
	w.clock.pass(remembered)
	if _, unread := w.Listed("brie"); len(unread) != 1 || len(w.Candidates("gouda", w.wheel)) != 1 {
		t.Error("a page is remembered too long")
	}
	if !m.Ready() || m.status().Failures > 0 {
		t.Errorf("it is in trouble: %+v", m.status())
	}
}

// TestOneLook: many who want a page get it by one look.
func TestOneLook(t *testing.T) {
	w := start(t)
	stalled := w.server.Tell(upstreamtest.OnPage("brie"), upstreamtest.NeverAnswer(), 1)
	var asking sync.WaitGroup
	for range 10 {
		asking.Go(func() {
			if w.mirrors[0].Find(t.Context(), "brie", w.wheel, nil) == "" {
				t.Error("it is not found")
			}
		})
	}
	<-stalled.Reached()
	stalled.Release()
	asking.Wait()
	if n := w.pages(); n != 1 {
		t.Errorf("%d pages were asked for", n)
	}
}

// TestSetback: a mirror that fails is not asked for a while, which grows, and not
// before the time that it asked for.
func TestSetback(t *testing.T) {
	w := start(t)
	m := w.mirrors[0]
	w.server.Tell(upstreamtest.OnPage("*"), upstreamtest.Status(503, ""), 3)
	last := time.Duration(0)
	for i := range 3 {
		if m.Find(t.Context(), "brie", w.wheel, nil) != "" || m.Ready() || len(w.Candidates("brie", w.wheel)) > 0 {
			t.Fatal("it is not set back")
		}
		s := m.status()
		d := s.NextTry.Sub(w.clock.now())
		if d < firstSetback<<i || d > (firstSetback<<i)*5/4 || d <= last || s.Failures != i+1 || !strings.Contains(s.Reason, "the mirror answered 503") {
			t.Errorf("setback %d is %s: %+v", i+1, d, s)
		}
		last = d
		w.clock.pass(d)
	}
	w.server.Tell(upstreamtest.OnPage("*"), upstreamtest.Status(429, "7200"), 1)
	m.Find(t.Context(), "brie", w.wheel, nil)
	if d := m.status().NextTry.Sub(w.clock.now()); d != 2*time.Hour {
		t.Errorf("it asked for two hours and gets %s", d)
	}
	w.clock.pass(2 * time.Hour)
	if m.Find(t.Context(), "brie", w.wheel, nil) == "" {
		t.Error("it is not asked again")
	}
	m.Worked()
	if s := m.status(); s.Failures != 0 || s.Reason != "" || !s.NextTry.IsZero() {
		t.Errorf("after a success: %+v", s)
	}
}

// TestLiesWeighMore: wrong bytes set back for long, a failure meanwhile does not
// shorten that, and they stay named.
func TestLiesWeighMore(t *testing.T) {
	w := start(t)
	m := w.mirrors[0]
	for i := range 8 {
		m.Lied(wheel, errors.New("other bytes"))
		d := m.status().NextTry.Sub(w.clock.now())
		if want := min(firstLie<<i, mostLie); d < want || d > want*5/4 {
			t.Errorf("lie %d sets back for %s, want %s", i+1, d, want)
		}
		m.Failed(&wire.Problem{Cause: wire.Cut})
		m.Worked()
		if m.status().NextTry.Sub(w.clock.now()) != d || m.status().Lies != i+1 {
			t.Errorf("it is forgotten: %+v", m.status())
		}
		w.clock.pass(d)
	}
	m.Worked()
	if s := m.status(); s.Lies != 8 || s.Failures != 0 {
		t.Errorf("after a success: %+v", s)
	}
	// A clock that was far ahead when it lied keeps it out no longer than right.
	m.Lied(wheel, errors.New("other bytes"))
	w.clock.pass(-365 * 24 * time.Hour)
	if !m.Ready() {
		t.Error("it is set back for a year")
	}
}

// TestNoFailures: what we ended ourselves sets nobody back.
func TestNoFailures(t *testing.T) {
	w := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := w.mirrors[0]
	m.Find(ctx, "brie", w.wheel, nil)
	m.Failed(&wire.Problem{Cause: wire.Budget})
	m.Failed(errors.New("the disk is full"))
	if !m.Ready() {
		t.Errorf("it is set back: %+v", m.status())
	}
}

// TestHosts: hosts of files in trouble are named, few of them are remembered.
func TestHosts(t *testing.T) {
	w := start(t)
	w.Host("http://a.example/x").Failed(&wire.Problem{Cause: wire.Stalled})
	w.Host("http://b.example:81/x").Delivered(5)
	if w.Host("http://a.example/y").Ready() || !w.Host("http://b.example:81/y").Ready() {
		t.Error("the wrong host is set back")
	}
	s := w.Status()
	if len(s) != 2 || !s[0].Mirror || s[1].Mirror || s[1].Address != "a.example" || s[1].Failures != 1 {
		t.Errorf("the status is %+v", s)
	}
	for i := range 1000 {
		w.Host(fmt.Sprintf("http://%d.example/", i))
	}
	if n := len(w.hosts.all); n > maxHosts {
		t.Errorf("%d hosts are remembered", n)
	}
}

// TestListingsAreBounded reads many pages.
func TestListingsAreBounded(t *testing.T) {
	at := time.Now()
	l := listings{now: func() time.Time { at = at.Add(time.Millisecond); return at }, pages: make(map[pypi.Name]*listing)}
	for i := range 100 {
		_, err := l.get(t.Context(), pypi.Name(fmt.Sprint("p", i)), func() (*listing, error) {
			p := newListing(&pypi.Project{})
			for j := range 1000 {
				p.addresses[sha256.Sum256(fmt.Append(nil, i, j))] = "http://a.example/"
			}
			return p, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for _, p := range l.pages {
		total += len(p.addresses)
	}
	if total > maxListed+1000 || l.pages["p99"] == nil || l.pages["p0"] != nil {
		t.Errorf("%d digests of %d pages are remembered", total, len(l.pages))
	}
}

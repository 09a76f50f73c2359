package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
	"cheeseboard/syncer/wire"
)

// memory is a Target in memory.
type memory struct {
	b         []byte
	size      int64
	validator string
	resets    int
	full      int // bytes after which it fails; 0: never
}

var errFull = errors.New("target is full")

func (m *memory) Offset() int64         { return int64(len(m.b)) }
func (m *memory) Size() int64           { return m.size }
func (m *memory) Validator() string     { return m.validator }
func (m *memory) SetValidator(v string) { m.validator = v }
func (m *memory) Reset() error {
	m.b, m.validator = nil, ""
	m.resets++
	return nil
}

func (m *memory) Write(b []byte) (int, error) {
	if m.full > 0 && len(m.b)+len(b) > m.full {
		return 0, errFull
	}
	m.b = append(m.b, b...)
	return len(b), nil
}

const wheelName = "gouda-1.0-py3-none-any.whl"

type bench struct {
	server  *upstreamtest.Server
	content []byte
	fetcher Fetcher
	pauses  []time.Duration
}

func start(t testing.TB, payload int) *bench {
	t.Helper()
	index := upstreamtest.NewIndex()
	if _, err := index.AddWheel(upstreamtest.Wheel{Name: "gouda", Version: "1.0", Payload: payload}); err != nil {
		t.Fatal(err)
	}
	b := &bench{server: upstreamtest.NewServer(index)}
	if err := b.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.server.Close(); err != nil {
			t.Error(err)
		}
	})
	b.content, _ = index.Content(wheelName)
	client, err := wire.NewClient(wire.Options{Stall: time.Second, Connect: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	b.fetcher = Fetcher{Client: client, Pause: func(ctx context.Context, d time.Duration) error {
		b.pauses = append(b.pauses, d)
		return ctx.Err()
	}}
	return b
}

func (b *bench) requests() upstreamtest.Requests {
	return b.server.Requests().On(upstreamtest.OnFile(wheelName))
}

// TestLies tells each lie, for a while or for ever, and looks at what was got
// and at what it cost.
func TestLies(t *testing.T) {
	const forever = -1
	file := upstreamtest.OnFile(wheelName)
	for _, c := range []struct {
		name  string
		lie   upstreamtest.Lie
		times int
		cause wire.Cause // of the error; "" when it must arrive
		twice float64    // bytes sent, over the length, at most
	}{
		{"none", upstreamtest.NoETag(), forever, "", 1},
		{"cut at 50 KB", upstreamtest.CutAfter(50_000), forever, "", 1.3},
		{"cut without ETag", upstreamtest.CutAfter(50_000), 3, "", 1.6},
		{"reset at 100 KB", upstreamtest.ResetAfter(100_000), 3, "", 3},
		{"stall", upstreamtest.StallAfter(100_000), 2, "", 2},
		{"hangs up", upstreamtest.HangUp(), 3, "", 1},
		{"hangs up for ever", upstreamtest.HangUp(), forever, wire.Cut, 0},
		{"login page", upstreamtest.LoginPage(), 2, "", 1.1},
		{"login page for ever", upstreamtest.LoginPage(), forever, wire.Lie, 0.5},
		{"longer than stated", upstreamtest.Resize(5), forever, wire.Lie, 20},
		{"shorter than stated", upstreamtest.Resize(-5), forever, wire.Lie, 20},
		{"ends early, no length", upstreamtest.EndAfter(100_000), 1, "", 1.1},
		{"endless", upstreamtest.Endless(), forever, "", 20},
		{"503", upstreamtest.Status(503, "2"), 2, "", 1.1},
		{"429 for long", upstreamtest.Status(429, "3600"), forever, wire.Busy, 0.1},
		{"500 for ever", upstreamtest.Status(500, ""), forever, wire.Broken, 0.1},
		{"404", upstreamtest.Status(404, ""), forever, wire.Gone, 0.1},
		{"403", upstreamtest.Status(403, ""), forever, wire.Refused, 0.1},
		{"redirect loop", upstreamtest.RedirectLoop(), forever, wire.Lie, 0.1},
		{"redirect to a file", upstreamtest.RedirectTo("file:///etc/passwd"), forever, wire.Lie, 0.1},
		{"html type", upstreamtest.WrongType("text/html"), forever, wire.Lie, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, 400_000)
			b.server.Tell(file, c.lie, c.times)
			m := &memory{size: int64(len(b.content))}
			err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m)
			if c.cause != "" {
				if got := wire.CauseOf(err); got != c.cause {
					t.Errorf("cause %q (%v), want %q", got, err, c.cause)
				}
				if bytes.Equal(m.b, b.content) && err == nil {
					t.Error("it arrived")
				}
			} else if err != nil || !bytes.Equal(m.b, b.content) {
				t.Fatalf("%d bytes of %d, %v", len(m.b), len(b.content), err)
			}
			if sent := float64(b.requests().Body()) / float64(len(b.content)); sent > c.twice {
				t.Errorf("%.2f of the length was sent, at most %.2f is right", sent, c.twice)
			}
		})
	}
}

// TestResumeLies cuts once, and lies to the request that goes on.
func TestResumeLies(t *testing.T) {
	file := upstreamtest.OnFile(wheelName)
	for _, c := range []struct {
		name   string
		lie    upstreamtest.Lie
		times  int
		resets int // at most
	}{
		{"range ignored, same ETag", upstreamtest.IgnoreRange(), -1, 0},
		{"ETag changed, If-Range honoured", upstreamtest.ChangeETag(true), -1, 0},
		{"ETag changed, range sent", upstreamtest.ChangeETag(false), -1, 0},
		{"416", upstreamtest.Unsatisfiable(), 1, 1},
		{"range from elsewhere", upstreamtest.WrongContentRange(7, 0), 2, 0},
		{"range of another file", upstreamtest.WrongContentRange(0, 9), 2, 0},
		{"total unknown", upstreamtest.UnknownTotal(), -1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, 400_000)
			b.server.Tell(file, upstreamtest.CutAfter(150_000), 1)
			b.server.Tell(file, c.lie, c.times)
			m := &memory{size: int64(len(b.content))}
			err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m)
			if err != nil || !bytes.Equal(m.b, b.content) {
				t.Fatalf("%d bytes of %d, %v; asked for %q", len(m.b), len(b.content), err, b.requests().Ranges())
			}
			if m.resets > c.resets {
				t.Errorf("%d times from zero, want at most %d; asked for %q", m.resets, c.resets, b.requests().Ranges())
			}
		})
	}
}

// TestGoesOnWhereItStopped holds the first byte of each request against what the
// requests before it had brought.
func TestGoesOnWhereItStopped(t *testing.T) {
	b := start(t, 1<<20)
	b.server.Tell(upstreamtest.OnFile(wheelName), upstreamtest.CutAfter(64<<10), -1)
	m := &memory{size: int64(len(b.content))}
	if err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.b, b.content) {
		t.Fatal("the bytes differ")
	}
	var at int64
	for i, r := range b.requests() {
		want := ""
		if i > 0 {
			want = fmt.Sprintf("bytes=%d-", at)
		}
		if r.Range != want {
			t.Fatalf("request %d asks for %q, want %q", i, r.Range, want)
		}
		if i > 0 && r.IfRange == "" {
			t.Errorf("request %d has no If-Range", i)
		}
		at += r.Body
	}
	if at != int64(len(b.content)) {
		t.Errorf("%d bytes were sent for %d", at, len(b.content))
	}
	for i, d := range b.pauses {
		if d != 0 {
			t.Errorf("pause %d after progress is %s", i, d)
		}
	}
}

func TestAsksNothingWhenAllIsThere(t *testing.T) {
	b := start(t, 1000)
	m := &memory{b: b.content, size: int64(len(b.content))}
	if err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m); err != nil || len(b.requests()) != 0 {
		t.Errorf("%v, %d requests", err, len(b.requests()))
	}
}

// TestMoreIsHereThanStated begins with more bytes than the index states, as when
// it has changed its mind: they are thrown away, whatever the upstream answers.
func TestMoreIsHereThanStated(t *testing.T) {
	b := start(t, 1000)
	m := &memory{b: make([]byte, len(b.content)+100), size: int64(len(b.content)), validator: `"another"`}
	if err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m); err != nil || !bytes.Equal(m.b, b.content) || m.resets != 1 {
		t.Errorf("%d bytes of %d after %d resets, %v", len(m.b), len(b.content), m.resets, err)
	}
	if requests := b.requests(); len(requests) != 1 {
		t.Errorf("%d requests", len(requests))
	}
}

func TestSizeUnknown(t *testing.T) {
	b := start(t, 100_000)
	b.server.Tell(upstreamtest.OnFile(wheelName), upstreamtest.CutAfter(50_000), 1)
	m := &memory{size: -1}
	if err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m); err != nil || !bytes.Equal(m.b, b.content) {
		t.Errorf("%d bytes of %d, %v", len(m.b), len(b.content), err)
	}
}

// TestNoEnd has an answer go on for ever, of a file whose size nobody has stated. Its
// host knows it, and no more is read than the file has; what came beyond it before the
// host was asked is not kept.
func TestNoEnd(t *testing.T) {
	for _, payload := range []int{400_000, 30_000} {
		b := start(t, payload)
		b.server.Tell(upstreamtest.OnFile(wheelName), upstreamtest.Endless(), -1)
		m := &memory{size: -1}
		err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m)
		if payload > unbounded && (err != nil || !bytes.Equal(m.b, b.content)) {
			t.Errorf("%d bytes of %d, %v", len(m.b), len(b.content), err)
		}
		if payload < unbounded && (wire.CauseOf(err) != wire.Lie || len(m.b) > 0) {
			t.Errorf("%d bytes of %d are kept, %v", len(m.b), len(b.content), err)
		}
		most := 2 // one, and one for the length
		if err != nil {
			most = DefaultPatience + 1
		}
		if n := len(b.requests()); n != most {
			t.Errorf("%d requests, want %d", n, most)
		}
	}
}

// TestEndUnknown: an answer without a length is taken to its end where the host does
// not know it either.
func TestEndUnknown(t *testing.T) {
	b := start(t, 400_000)
	b.server.Tell(upstreamtest.OnFile(wheelName), upstreamtest.WithoutLength(), -1)
	m := &memory{size: -1}
	if err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m); err != nil || !bytes.Equal(m.b, b.content) {
		t.Errorf("%d bytes of %d, %v", len(m.b), len(b.content), err)
	}
}

func TestTargetFails(t *testing.T) {
	b := start(t, 100_000)
	m := &memory{size: int64(len(b.content)), full: 40_000}
	err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m)
	var own *TargetError
	if !errors.As(err, &own) || !errors.Is(err, errFull) || len(b.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(b.requests()))
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	b := start(t, 1000)
	b.server.Tell(upstreamtest.OnFile(wheelName), upstreamtest.Status(503, "7"), 2)
	m := &memory{size: int64(len(b.content))}
	if err := b.fetcher.Fetch(t.Context(), b.server.FileURL(wheelName), m); err != nil {
		t.Fatal(err)
	}
	if len(b.pauses) != 2 || b.pauses[0] < 7*time.Second || b.pauses[1] < 7*time.Second {
		t.Errorf("pauses %v, want two of 7 s or more", b.pauses)
	}
}

func TestCanceled(t *testing.T) {
	b := start(t, 100_000)
	b.server.Tell(upstreamtest.OnFile(wheelName), upstreamtest.StallAfter(50_000), -1)
	ctx, cancel := context.WithCancel(t.Context())
	m := &memory{size: int64(len(b.content))}
	done := make(chan error)
	go func() { done <- b.fetcher.Fetch(ctx, b.server.FileURL(wheelName), m) }()
	if err := b.server.Wait(t.Context(), func(r upstreamtest.Requests) bool { return r.Body() >= 50_000 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; wire.CauseOf(err) != wire.Canceled {
		t.Error(err)
	}
}

func TestPauseFor(t *testing.T) {
	for range 1000 {
		if d := pauseFor(3, 0, time.Minute); d < 0 || d >= 4*firstPause {
			t.Fatalf("third pause %s", d)
		}
		if d := pauseFor(60, 0, time.Minute); d < 0 || d >= time.Minute {
			t.Fatalf("sixtieth pause %s", d)
		}
	}
	if d := pauseFor(0, 0, time.Minute); d != 0 {
		t.Errorf("pause after progress %s", d)
	}
	if !strings.Contains((&wire.Problem{Cause: wire.Busy, Status: 503, RetryAfter: 3 * time.Second}).Error(), "3s") {
		t.Error("a problem does not say when to come back")
	}
}

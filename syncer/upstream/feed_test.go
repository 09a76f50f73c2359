package upstream_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/upstreamtest"
	"cheeseboard/syncer/wire"
)

func index(t testing.TB, address string) *upstream.Index {
	t.Helper()
	client, err := wire.NewClient(wire.Options{Stall: patient})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	x, err := upstream.New(address, client, 0)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func serve(t *testing.T, dialect upstreamtest.Dialect) (*upstreamtest.Server, *upstream.Feed) {
	t.Helper()
	server := upstreamtest.NewServer(upstreamtest.SampleIndex(1))
	server.Dialect = dialect
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, index(t, server.IndexURL()).Feed()
}

func serials(entries []pypi.ListEntry) map[pypi.Name]int64 {
	out := make(map[pypi.Name]int64)
	for _, e := range entries {
		out[e.Name] = e.Serial
	}
	return out
}

func TestFeedAddress(t *testing.T) {
	for index_, want := range map[string]string{
		"https://pypi.org/simple/":                  "https://pypi.org/pypi",
		"https://pypi.org/simple":                   "https://pypi.org/pypi",
		"http://box.local:8080/a/b/simple/":         "http://box.local:8080/a/b/pypi",
		"http://devpi.example/root/pypi/+simple/":   "http://devpi.example/root/pypi/pypi",
		"http://static.example":                     "http://static.example/pypi",
		"https://pypi.org/simple/?x=y#z":            "https://pypi.org/pypi",
		"https://host.example/with%2Fslash/simple/": "https://host.example/with%2Fslash/pypi",
	} {
		if got := index(t, index_).Feed().Address(); got != want {
			t.Errorf("%s: %s, want %s", index_, got, want)
		}
	}
}

func TestFeedOfAnHonestIndex(t *testing.T) {
	for _, dialect := range []upstreamtest.Dialect{{}, {NoGzip: true}} {
		server, feed := serve(t, dialect)
		last, err := feed.LastSerial(t.Context())
		if err != nil || last != server.Index.Serial() {
			t.Errorf("last serial %d, want %d, %v", last, server.Index.Serial(), err)
		}
		var listed []pypi.ListEntry
		sum, err := feed.List(t.Context(), func(e pypi.ListEntry) error { listed = append(listed, e); return nil })
		if err != nil || sum.Projects != 14 || sum.LastSerial > last || len(listed) != 14 {
			t.Errorf("list %+v, %d entries, %v", sum, len(listed), err)
		}
		changes, err := feed.Since(t.Context(), 0, nil)
		if err != nil || changes.Last != last || changes.More || changes.Rows <= len(changes.Projects) {
			t.Errorf("since 0: %+v, %v", changes, err)
		}
		told := serials(changes.Projects)
		for _, e := range listed {
			if told[e.Name] > e.Serial || told[e.Name] == 0 {
				t.Errorf("%s: the feed tells of %d, the list of %d", e.Name, told[e.Name], e.Serial)
			}
		}
		if changes, err := feed.Since(t.Context(), last, nil); err != nil || changes.Last != last || len(changes.Projects) > 0 {
			t.Errorf("since the end: %+v, %v", changes, err)
		}
		if _, err := server.Index.AddWheel(upstreamtest.Wheel{Name: "Brie.Fine", Version: "1.0"}); err != nil {
			t.Fatal(err)
		}
		changes, err = feed.Since(t.Context(), last, nil)
		if now := server.Index.Serial(); err != nil || changes.Last != now || !slices.Equal(changes.Projects, []pypi.ListEntry{{Name: "brie-fine", Serial: now}}) || changes.Rows != 3 {
			t.Errorf("one change: %+v, %v", changes, err)
		}
	}
}

func TestFeedThatIsNone(t *testing.T) {
	server, feed := serve(t, upstreamtest.Dialect{})
	for _, c := range []struct {
		lie    upstreamtest.Lie
		cause  wire.Cause
		noFeed bool
	}{
		{upstreamtest.Status(404, ""), wire.Gone, true},
		{upstreamtest.Status(410, ""), wire.Gone, true},
		{upstreamtest.Status(405, ""), wire.Refused, true},
		{upstreamtest.Status(403, ""), wire.Refused, true},
		{upstreamtest.Status(501, ""), wire.Refused, true}, // a server of static files
		{upstreamtest.LoginPage(), wire.Lie, true},
		{upstreamtest.WrongType("application/json"), wire.Lie, true},
		{upstreamtest.WrongType(""), wire.Lie, true},
		{upstreamtest.Fault(-32601, ""), wire.Refused, true},
		{upstreamtest.Fault(1, "<class 'Exception'>: method is not supported"), wire.Refused, true},
		{upstreamtest.Fault(-32500, "RuntimeError: PyPI no longer supports this."), wire.Refused, true},
		{upstreamtest.Fault(-32500, ""), wire.Busy, false},
		{upstreamtest.Fault(-32500, "application error"), wire.Busy, false},
		{upstreamtest.Fault(-32403, "server error; service unavailable"), wire.Busy, false},
		{upstreamtest.Fault(-32603, ""), wire.Broken, false},
		{upstreamtest.Status(429, "3"), wire.Busy, false},
		{upstreamtest.Status(503, ""), wire.Busy, false},
		{upstreamtest.Status(500, ""), wire.Broken, false},
		{upstreamtest.RedirectLoop(), wire.Lie, false},
		{upstreamtest.Garbage(), wire.Lie, false},
		{upstreamtest.Endless(), wire.Lie, false},
		{upstreamtest.HangUp(), wire.Cut, false},
		{upstreamtest.CutAfter(100), wire.Cut, false},
		{upstreamtest.EndChunkedAfter(100), wire.Cut, false}, // in good order, and too early
	} {
		told := server.Tell(upstreamtest.OnFeed("*"), c.lie, 0)
		_, errLast := feed.LastSerial(t.Context())
		changes, errSince := feed.Since(t.Context(), 7, nil)
		_, errList := feed.List(t.Context(), func(pypi.ListEntry) error { return nil })
		told.Stop()
		for _, err := range []error{errLast, errSince, errList} {
			if wire.CauseOf(err) != c.cause || errors.Is(err, upstream.ErrNoFeed) != c.noFeed {
				t.Errorf("%s: %v (%s)", c.lie.Name, err, wire.CauseOf(err))
			}
		}
		if !changes.More || changes.Last != 7 && c.cause != wire.Cut && c.cause != wire.Lie {
			t.Errorf("%s: %+v", c.lie.Name, changes)
		}
	}
	server.Tell(upstreamtest.OnFeed("*"), upstreamtest.Fault(-32500, ""), 2)
	for _, want := range []time.Duration{7 * time.Second, 7 * time.Second, 0} {
		var p *wire.Problem
		_, err := feed.LastSerial(t.Context())
		if errors.As(err, &p) != (want > 0) || want > 0 && p.RetryAfter != want {
			t.Errorf("too many requests: %v, want to come back after %s", err, want)
		}
	}
	server.Tell(upstreamtest.OnFeed("*"), upstreamtest.NeverAnswer(), 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := feed.Since(ctx, 0, nil); wire.CauseOf(err) != wire.Canceled {
		t.Errorf("canceled: %v", err)
	}
}

// TestFeedLies wants each project that changed, whatever the feed does about it.
func TestFeedLies(t *testing.T) {
	server, feed := serve(t, upstreamtest.Dialect{})
	all, err := feed.Since(t.Context(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, lie := range []upstreamtest.Lie{upstreamtest.ReplayRows(20), upstreamtest.Backwards()} {
		told := server.Tell(upstreamtest.OnFeed("*"), lie, 0)
		got, err := feed.Since(t.Context(), all.Last-30, nil)
		told.Stop()
		after := serials(got.Projects)
		for name, serial := range serials(all.Projects) {
			if serial > all.Last-30 && after[name] != serial {
				t.Errorf("%s: %s has serial %d, want %d", lie.Name, name, after[name], serial)
			}
		}
		if err != nil || got.Last != all.Last || got.More {
			t.Errorf("%s: %+v, %v", lie.Name, got, err)
		}
	}
	server.Tell(upstreamtest.OnFeed("*"), upstreamtest.Gap(3), 0)
	if got, err := feed.Since(t.Context(), 0, nil); err != nil || got.Rows >= all.Rows || got.Last > all.Last {
		t.Errorf("a gap: %+v, %v", got, err)
	}
}

// long is a feed of many rows: project i%projects changes at serial 3i+1.
type long struct {
	rows, projects int
	unlimited      bool
	gzip           bool
	cut            int64 // bytes after which each answer ends; 0 for none
	asked          atomic.Int64
	from           []string
}

func (l *long) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.asked.Add(1)
	call, err := pypi.DecodeFeedCall(r.Body)
	if err != nil || len(call.Params) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.from = append(l.from, strconv.FormatInt(call.Params[0].Int, 10))
	w.Header().Set("Content-Type", "text/xml")
	var out io.Writer = w
	if l.cut > 0 {
		out = &cutting{w, l.cut}
	}
	if l.gzip {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(out)
		defer func() { _ = z.Close() }() // after a cut nobody reads on
		out = z
	}
	_ = pypi.WriteFeedChanges(out, func(yield func(pypi.Change) bool) {
		for i, n := (call.Params[0].Int+2)/3, 0; int(i) < l.rows && (n < pypi.MaxFeedRows || l.unlimited); i, n = i+1, n+1 {
			if !yield(pypi.Change{Name: pypi.Name(fmt.Sprintf("project-%d", int(i)%l.projects)), Action: "new release", Serial: 3*i + 1}) {
				return
			}
		}
	})
}

// cutting ends the connection after so many bytes.
type cutting struct {
	w    http.ResponseWriter
	left int64
}

func (c *cutting) Write(p []byte) (int, error) {
	n := min(int64(len(p)), c.left)
	_, err := c.w.Write(p[:n])
	if c.left -= n; c.left == 0 {
		_ = http.NewResponseController(c.w).Flush()
		panic(http.ErrAbortHandler)
	}
	return len(p), err
}

// want is the highest serial of each project.
func (l *long) want() map[pypi.Name]int64 {
	out := make(map[pypi.Name]int64)
	for i := range l.rows {
		out[pypi.Name(fmt.Sprintf("project-%d", i%l.projects))] = int64(3*i + 1)
	}
	return out
}

func TestFeedGoesOnUntilAPageIsShort(t *testing.T) {
	for _, c := range []struct {
		l    *long
		from string
		rows int
	}{
		{&long{rows: 50_000, projects: 7_000}, "0 149998", 50_000},
		{&long{rows: 65_000, projects: 7_000, gzip: true, unlimited: true}, "0 179995", 65_002}, // two rows come twice
	} {
		server := httptest.NewServer(c.l)
		got, err := index(t, server.URL+"/simple/").Feed().Since(t.Context(), 0, nil)
		server.Close()
		if err != nil || got.Rows != c.rows || got.Last != int64(3*(c.l.rows-1)+1) || got.More || !maps.Equal(serials(got.Projects), c.l.want()) {
			t.Errorf("%d rows, %d projects, last %d, %t, %v", got.Rows, len(got.Projects), got.Last, got.More, err)
		}
		if from := strings.Join(c.l.from, " "); from != c.from {
			t.Errorf("asked after %s, want %s", from, c.from)
		}
	}
}

// TestFeedOverALineThatBreaks follows a feed of which no answer comes whole.
func TestFeedOverALineThatBreaks(t *testing.T) {
	for _, l := range []*long{{rows: 9_000, projects: 500, cut: 300_000}, {rows: 9_000, projects: 500, cut: 12_000, gzip: true}} {
		server := httptest.NewServer(l)
		feed := index(t, server.URL+"/simple/").Feed()
		have := make(map[pypi.Name]int64)
		var last int64
		for tries := 0; ; tries++ {
			got, err := feed.Since(t.Context(), last, nil)
			for _, e := range got.Projects {
				have[e.Name] = max(have[e.Name], e.Serial)
			}
			if err == nil {
				last = got.Last
				break
			}
			if wire.CauseOf(err) != wire.Cut || got.Last <= last || !got.More || tries > 50 {
				t.Fatalf("after %d: %d, %v", last, got.Last, err)
			}
			last = got.Last
		}
		if last != int64(3*(l.rows-1)+1) || !maps.Equal(have, l.want()) || l.asked.Load() < 3 {
			t.Errorf("gzip %t: last %d, %d projects after %d requests", l.gzip, last, len(have), l.asked.Load())
		}
		server.Close()
	}
}

// TestFeedOutOfOrder cuts a page whose rows are in no order: nothing vouches for
// what did not come.
func TestFeedOutOfOrder(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		_ = pypi.WriteFeedChanges(&cutting{w, 60_000}, func(yield func(pypi.Change) bool) {
			for i := int64(0); yield(pypi.Change{Name: "a", Serial: 1000 + i ^ 1}); i++ {
			}
		})
	}))
	defer server.Close()
	got, err := index(t, server.URL+"/simple/").Feed().Since(t.Context(), 5, nil)
	if wire.CauseOf(err) != wire.Cut || got.Last != 5 || len(got.Projects) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestFeedThatNeverEnds wants an end of a feed that gives the same page for ever,
// and of one whose page goes on for ever.
func TestFeedThatNeverEnds(t *testing.T) {
	for what, rows := range map[string]int{"the same page": pypi.MaxFeedRows, "a page without end": 1 << 30} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			_ = pypi.WriteFeedChanges(w, func(yield func(pypi.Change) bool) {
				for i := 0; i < rows && yield(pypi.Change{Name: "a", Serial: 3}); i++ {
				}
			})
		}))
		got, err := index(t, server.URL+"/simple/").Feed().Since(t.Context(), 5, nil)
		if wire.CauseOf(err) != wire.Lie || got.Last != 5 {
			t.Errorf("%s: %d, %v", what, got.Last, err)
		}
		server.Close()
	}
}

package app_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// many makes an index of n small projects.
func many(t *testing.T, n int) (*upstreamtest.Server, []string) {
	t.Helper()
	index := upstreamtest.NewIndex()
	var names []string
	for i := range n {
		name := fmt.Sprintf("curd-%03d", i)
		if _, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: "1.0"}); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	server := upstreamtest.NewServer(index)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, names
}

func openBox(t *testing.T, server *upstreamtest.Server, data string, projects []string) *app.App {
	t.Helper()
	c := app.DefaultConfig()
	c.Data, c.Storage.Reserve = data, 0
	c.Upstream.URL, c.Sync.Projects = server.IndexURL(), projects
	box, err := app.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func syncBox(t *testing.T, box *app.App) (sum syncer.Summary, err error) {
	t.Helper()
	err = box.Sync(t.Context(), app.SyncOptions{}, func(e app.Event) {
		if e.Synced != nil {
			sum = *e.Synced
		}
	})
	return sum, err
}

// TestNothingNewCostsLittle holds what a second sync may cost, over a restart:
// three requests and 20 KB, whatever is held.
func TestNothingNewCostsLittle(t *testing.T) {
	server, names := many(t, 120)
	data := t.TempDir()
	box := openBox(t, server, data, names)
	if sum, err := syncBox(t, box); err != nil || sum.Files != 120 {
		t.Fatalf("first sync: %+v, %v", sum, err)
	}
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
	server.Forget()
	box = openBox(t, server, data, names)
	defer func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}()
	sum, err := syncBox(t, box)
	if err != nil {
		t.Fatal(err)
	}
	requests := server.Requests()
	t.Logf("a second sync of %d projects with nothing new: %d requests, %d bytes", len(names), len(requests), sum.Received)
	if len(requests) > 3 || sum.Received > 20_000 {
		t.Errorf("asked for %v", requests.Paths())
	}

	// One change is one page more.
	if _, err := server.Index.AddWheel(upstreamtest.Wheel{Name: names[7], Version: "2.0"}); err != nil {
		t.Fatal(err)
	}
	server.Forget()
	if sum, err := syncBox(t, box); err != nil || sum.Files != 1 {
		t.Fatalf("after a change: %+v, %v", sum, err)
	}
	if pages := server.Requests().On(upstreamtest.OnPage("*")); len(pages) != 1 {
		t.Errorf("after one change these pages were asked for: %v", pages.Paths())
	}
}

// TestOneStalePageHoldsUpItself lets a cache on the way be behind for one
// project: the others are followed, the cursor moves, and the one heals.
func TestOneStalePageHoldsUpItself(t *testing.T) {
	server, names := many(t, 20)
	box := openBox(t, server, t.TempDir(), names)
	defer func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	for _, name := range names[:5] {
		if _, err := server.Index.AddWheel(upstreamtest.Wheel{Name: name, Version: "2.0"}); err != nil {
			t.Fatal(err)
		}
	}
	server.Tell(upstreamtest.OnPage(names[2]), upstreamtest.Stale(1), 0)
	sum, err := syncBox(t, box)
	if !errors.Is(err, app.ErrIncomplete) || sum.Files != 4 || sum.Failed != 1 {
		t.Fatalf("with one stale page: %+v, %v", sum, err)
	}
	status, err := box.Status()
	if err != nil || len(status.Sync.Problems) != 1 || string(status.Sync.Problems[0].Project) != names[2] || status.Sync.Problems[0].NextTry.IsZero() {
		t.Errorf("status says %+v (%v)", status.Sync.Problems, err)
	}
	server.Truth()
	server.Forget()
	if sum, err := syncBox(t, box); err != nil || sum.Files != 1 {
		t.Fatalf("when the cache has caught up: %+v, %v", sum, err)
	}
	if pages := server.Requests().On(upstreamtest.OnPage("*")); len(pages) != 1 {
		t.Errorf("these pages were asked for: %v", pages.Paths())
	}
}

// TestWithoutFeed asks every page by condition, and for the feed no more than
// once a day.
func TestWithoutFeed(t *testing.T) {
	server, names := many(t, 10)
	server.Dialect.NoSerials, server.Dialect.NoFeed = true, true
	box := openBox(t, server, t.TempDir(), names)
	defer func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		server.Forget()
		if _, err := syncBox(t, box); err != nil {
			t.Fatal(err)
		}
	}
	pages := server.Requests().On(upstreamtest.OnPage("*"))
	if len(pages) != 10 || len(pages.With(304)) != 10 {
		t.Errorf("%d pages were asked for, %d had not changed", len(pages), len(pages.With(304)))
	}
	if feed := server.Requests().On(upstreamtest.OnFeed("*")); len(feed) != 0 {
		t.Errorf("the feed was asked for %d times more", len(feed))
	}
}

// TestMirrorOfAMirror follows a box that follows an index: changes and removals
// arrive at the second, by the feed, whatever the order of the upstream's serials.
func TestMirrorOfAMirror(t *testing.T) {
	server, names := many(t, 12)
	first := openBox(t, server, t.TempDir(), names)
	front := httptest.NewServer(first.Handler())
	c := app.DefaultConfig()
	c.Data, c.Storage.Reserve, c.Sync.RemovalGuard = t.TempDir(), 0, 0.5
	c.Upstream.URL, c.Sync.Projects = front.URL+"/simple/", names
	second, err := app.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		front.Close()
		if err := errors.Join(second.Close(), first.Close()); err != nil {
			t.Error(err)
		}
	}()
	both := func() (a, b syncer.Summary) {
		t.Helper()
		a, err := syncBox(t, first)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = syncBox(t, second); err != nil {
			t.Fatal(err)
		}
		return a, b
	}
	if a, b := both(); a.Files != 12 || b.Files != 12 {
		t.Fatalf("%d files came to the first, %d to the second", a.Files, b.Files)
	}
	if _, b := both(); b.Received > 5000 {
		t.Errorf("nothing new costs the second %d bytes", b.Received)
	}
	if _, err := server.Index.AddWheel(upstreamtest.Wheel{Name: names[3], Version: "2.0"}); err != nil {
		t.Fatal(err)
	}
	if a, b := both(); a.Files != 1 || b.Files != 1 {
		t.Errorf("of one new file %d came to the first, %d to the second", a.Files, b.Files)
	}
	// In the name of the wheel the hyphen is an underscore.
	if err := server.Index.RemoveFile(names[3], "curd_003-1.0-py3-none-any.whl"); err != nil {
		t.Fatal(err)
	}
	both()
	for _, box := range []*app.App{first, second} {
		s, err := box.Status()
		if err != nil || s.Store.Files != 12 {
			t.Errorf("%d files are left (%v), want 12", s.Store.Files, err)
		}
	}
}

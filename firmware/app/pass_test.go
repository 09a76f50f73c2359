package app_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

func closeBox(t *testing.T, box *app.App) {
	t.Helper()
	if err := box.Close(); err != nil {
		t.Error(err)
	}
}

// TestFreshPageThatChanged changes a project right after its page was confirmed:
// the feed tells of that once, so the next pass must look although the page is
// fresh, and at no other.
func TestFreshPageThatChanged(t *testing.T) {
	server, names := many(t, 5)
	box := openBox(t, server, t.TempDir(), names)
	defer closeBox(t, box)
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Index.AddWheel(upstreamtest.Wheel{Name: names[3], Version: "2.0"}); err != nil {
		t.Fatal(err)
	}
	server.Forget()
	sum, err := box.Engine.Sync(t.Context(), syncer.SyncOptions{Fresh: time.Hour})
	if err != nil || sum.Files != 1 {
		t.Errorf("after a change: %+v, %v", sum, err)
	}
	if pages := server.Requests().On(upstreamtest.OnPage("*")); len(pages) != 1 {
		t.Errorf("these pages were asked for: %v", pages.Paths())
	}
}

// TestWishOutlivesPasses makes two passes while a wish cannot be granted, the
// second before its next try: the wish stands until it comes true.
func TestWishOutlivesPasses(t *testing.T) {
	server, names := many(t, 1)
	box := openBox(t, server, t.TempDir(), nil)
	defer closeBox(t, box)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	wishes := func() int {
		t.Helper()
		s, err := box.Status()
		if err != nil {
			t.Fatal(err)
		}
		return len(s.Sync.Wishes)
	}
	box.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/simple/"+names[0]+"/", nil))
	if n := wishes(); n != 1 {
		t.Fatalf("%d wishes after a client asked in vain", n)
	}
	for pass := range 2 {
		if _, err := box.Engine.Sync(t.Context(), syncer.SyncOptions{}); err != nil {
			t.Fatal(err)
		}
		if n := wishes(); n != 1 {
			t.Fatalf("%d wishes after pass %d", n, pass+1)
		}
	}
	if err := server.Revive(); err != nil {
		t.Fatal(err)
	}
	if sum, err := syncBox(t, box); err != nil || sum.Files != 1 {
		t.Errorf("when the line is back: %+v, %v", sum, err)
	}
	if n := wishes(); n != 0 {
		t.Errorf("%d wishes when it has come true", n)
	}
}

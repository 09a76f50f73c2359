package app

import (
	"errors"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// TestWishOutlivesTheClock makes wishes while the clock is far behind, as that of a box
// that lay in a cupboard: when it is right, and the line is back, they come true. What
// cannot be had is not tried for ever.
func TestWishOutlivesTheClock(t *testing.T) {
	f := follow(t, 2, upstreamtest.Dialect{})
	f.close()
	names := f.names
	f.names = nil
	f.open()
	f.must(f.server.Kill())
	for _, name := range names {
		var absent *syncer.Absent
		if _, err := f.Page(t.Context(), pypi.Name(name)); !errors.As(err, &absent) {
			t.Fatal(err)
		}
	}
	f.restart() // the wishes are durable, however slow the disk is
	f.sleep(100 * 24 * time.Hour)
	wishes := func() int {
		t.Helper()
		s, err := f.Status()
		f.must(err)
		return len(s.Wishes)
	}
	f.pass(syncer.SyncOptions{}) // the line is not back yet
	if n := wishes(); n != 2 {
		t.Errorf("%d wishes while the line is down", n)
	}
	f.must(f.server.Revive())
	f.server.Tell(upstreamtest.OnPage(names[1]), upstreamtest.Garbage(), 0)
	f.sleep(7 * time.Hour)
	f.pass(syncer.SyncOptions{Now: true})
	if here := f.has(pypi.Name(names[0])); len(here) != 1 {
		t.Errorf("of what was wished for there are %v", here)
	}
	if n := wishes(); n != 0 {
		t.Errorf("%d wishes when the line is back", n)
	}
}

package app_test

import (
	"context"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// TestPlanTellsTheCost asks what a sync would bring before anything is here, when
// a part has arrived, and when all is.
func TestPlanTellsTheCost(t *testing.T) {
	index := upstreamtest.NewIndex()
	names := []string{"curd"}
	const payload = 1 << 20
	for _, w := range []upstreamtest.Wheel{
		{Name: "curd", Version: "1.0", Requires: []string{"whey"}, Payload: payload},
		{Name: "whey", Version: "1.0", Payload: payload},
	} {
		if _, err := index.AddWheel(w); err != nil {
			t.Fatal(err)
		}
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
	var total int64
	for _, f := range []string{"curd-1.0-py3-none-any.whl", "whey-1.0-py3-none-any.whl"} {
		content, ok := index.Content(f)
		if !ok {
			t.Fatalf("the index has no %s", f)
		}
		total += int64(len(content))
	}
	box := openBox(t, server, t.TempDir(), names)
	defer closeBox(t, box)
	plan := func() syncer.Cost {
		t.Helper()
		var cost *syncer.Cost
		err := box.Sync(t.Context(), app.SyncOptions{Plan: true}, func(e app.Event) {
			if e.Synced != nil {
				cost = e.Synced.Cost
			}
		})
		if err != nil || cost == nil {
			t.Fatalf("the plan fails: %v, %v", cost, err)
		}
		return *cost
	}
	if c := plan(); c.Files != 2 || c.Bytes != total || c.Rate != 0 {
		t.Errorf("before anything is here: %+v, want 2 files of %d bytes together, and no rate", c, total)
	}
	wheels := upstreamtest.OnFile("*.whl")
	if asked := server.Requests().On(wheels); len(asked) != 0 {
		t.Errorf("a plan fetched files: %v", asked.Paths())
	}

	// One of the files stops in its middle, and so does the sync.
	server.Tell(upstreamtest.OnFile("whey-*.whl"), upstreamtest.StallAfter(payload/2), 0)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	err := box.Sync(ctx, app.SyncOptions{}, func(e app.Event) {
		if e.Sync != nil && e.Sync.FilesDone == 1 && e.Sync.BytesDone > total/2+payload/4 {
			stop()
		}
	})
	if ctx.Err() == nil {
		t.Fatalf("a file does not come, and the sync ends: %v", err)
	}
	if c := plan(); c.Files != 1 || c.Bytes <= 0 || c.Bytes > total/2-payload/4 {
		t.Errorf("when one file is here and a part of the other: %+v", c)
	}
	server.Truth()
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	if c := plan(); c.Files != 0 || c.Bytes != 0 || c.Rate <= 0 {
		t.Errorf("when all is here: %+v", c)
	}
}

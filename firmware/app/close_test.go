package app_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/health"
	"cheeseboard/syncer/upstreamtest"
)

// callers use a box all the time, as people and instruments do, until end is called.
// Their syncs and verifications may be ended; status hears of each Status.
func callers(t *testing.T, box *app.App, status func(app.Status, error)) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	again := func(call func()) {
		running.Go(func() {
			for ctx.Err() == nil {
				call()
			}
		})
	}
	again(func() { status(box.Status()) })
	again(func() { _ = box.Verify(ctx, app.VerifyOptions{Restart: true}, func(app.Event) {}) })
	again(func() { _ = box.Sync(ctx, app.SyncOptions{}, func(app.Event) {}) })
	again(func() { box.Health.Verdict() })
	return func() { cancel(); running.Wait() }
}

// TestCloseUnderCalls closes a box while a sync waits for an upstream that has fallen
// silent, and while others ask how it is and verify it. The sync is ended; what it has
// still to say about the store it can say before that is closed.
func TestCloseUnderCalls(t *testing.T) {
	server, names := many(t, 4)
	told := server.Tell(upstreamtest.OnFile(names[2]), upstreamtest.NeverAnswer(), 0)
	folder := t.TempDir()
	box := openBox(t, server, folder, names)
	synced := make(chan error, 1)
	go func() {
		synced <- box.Sync(t.Context(), app.SyncOptions{}, func(e app.Event) {
			if e.Synced == nil {
				return
			}
			for range 1000 { // it is being closed: nothing else has ended the pass
				if _, err := box.Store.Totals(); err != nil {
					t.Errorf("in the middle of a call: %v", err)
					return
				}
			}
		})
	}()
	<-told.Reached()
	end := callers(t, box, func(app.Status, error) {}) // they go on until it is closed, and after
	if _, err := box.Status(); err != nil {
		t.Error(err)
	}
	closeBox(t, box)
	if err := <-synced; err == nil {
		t.Error("the sync has ended well")
	}
	end()
	if _, err := box.Status(); err == nil {
		t.Error("a closed box has a status")
	}
	if err := box.Sync(t.Context(), app.SyncOptions{}, func(app.Event) {}); err == nil {
		t.Error("a closed box has been synced")
	}
	if v := box.Health.Verdict(); v.Severity == health.OK {
		t.Errorf("a closed box is %+v", v)
	}
	if box.Store.Dir() != folder {
		t.Errorf("a closed box was in %s", box.Store.Dir())
	}
	closeBox(t, box) // the second time it does nothing
	closeBox(t, openBox(t, server, folder, names))
}

// TestEndUnderCommands ends a box that serves while a command waits in it for a
// silent upstream.
func TestEndUnderCommands(t *testing.T) {
	server, names := many(t, 2)
	told := server.Tell(upstreamtest.OnFile(names[1]), upstreamtest.NeverAnswer(), 0)
	c := boxConfig(server, t.TempDir(), names)
	box := serveBox(t, c, nil)
	<-told.Reached() // by its own pass
	synced := make(chan error, 1)
	go func() {
		synced <- app.RunSync(t.Context(), c, slog.New(slog.DiscardHandler), app.SyncOptions{}, func(app.Event) {})
	}()
	if _, err := app.ReadStatus(t.Context(), c, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	box.end()
	if err := <-synced; err == nil {
		t.Error("a command in a box that was ended has ended well")
	}
}

// TestMoveUnderCalls moves a box while it is used in its own process: who calls
// meanwhile waits, or is told that his command was ended, and nobody looks into a
// folder that is closed.
func TestMoveUnderCalls(t *testing.T) {
	server, names := many(t, 4)
	c := boxConfig(server, filepath.Join(t.TempDir(), "old"), names)
	box := serveBox(t, c, nil)
	if _, err := syncBox(t, box.App); err != nil {
		t.Fatal(err)
	}
	end := callers(t, box.App, func(s app.Status, err error) {
		if err != nil || s.Store.Files != 4 {
			t.Errorf("in the middle of it: %+v, %v", s.Store, err)
		}
	})
	to := filepath.Join(t.TempDir(), "new")
	for range 3 {
		if err := app.RunMove(t.Context(), c, slog.New(slog.DiscardHandler), app.MoveOptions{To: to, RemoveOld: true}, func(app.Event) {}); err != nil {
			t.Fatal(err)
		}
		c.Data, to = to, to+"er"
	}
	end()
	status, err := box.Status()
	if err != nil || status.Data != c.Data || status.Store.Files != 4 {
		t.Errorf("in the end: %+v, %v", status, err)
	}
	if _, err := syncBox(t, box.App); err != nil {
		t.Error(err)
	}
}

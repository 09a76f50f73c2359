package app_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"cheeseboard/firmware/app"
)

// TestKeptAnswersEndWithTheRooms: what was kept of pages goes by the store that was
// open then. Moved to another folder, the box must answer from the new one, however
// many pages were kept, and be able to end.
func TestKeptAnswersEndWithTheRooms(t *testing.T) {
	server, names := many(t, 80)
	c := boxConfig(server, filepath.Join(t.TempDir(), "old"), names)
	c.Pull.Enabled = false // pages are kept for as long as they do not change
	box := serveBox(t, c, nil)
	if _, err := syncBox(t, box.App); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, n := range names {
			if box.get("/simple/"+n+"/") == "" {
				t.Fatalf("%s is not there", n)
			}
		}
	}
	to := filepath.Join(t.TempDir(), "disk", "data")
	if err := app.RunMove(t.Context(), c, slog.New(slog.DiscardHandler), app.MoveOptions{To: to}, func(app.Event) {}); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if box.get("/simple/"+n+"/") == "" {
			t.Fatalf("after the move %s is not there", n)
		}
	}
	box.end()
}

package app_test

import (
	"testing"

	"cheeseboard/syncer/link"
)

// TestRecordOfTheLine lets a line go down and come back over restarts, and reads
// what became of it.
func TestRecordOfTheLine(t *testing.T) {
	server, names := many(t, 1)
	data := t.TempDir()
	states := func(fail bool) []link.State {
		t.Helper()
		box := openBox(t, server, data, names)
		if _, err := syncBox(t, box); (err != nil) != fail {
			t.Fatalf("sync: %v", err)
		}
		if err := box.Close(); err != nil {
			t.Fatal(err)
		}
		box = openBox(t, server, data, names)
		status, err := box.Status()
		if err != nil {
			t.Fatal(err)
		}
		if err := box.Close(); err != nil {
			t.Fatal(err)
		}
		var out []link.State
		for _, e := range status.Record {
			if e.Boot == "" || e.Wall.IsZero() {
				t.Errorf("an event without its boot or its time: %+v", e)
			}
			out = append(out, e.State)
		}
		return out
	}
	good := states(false)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	bad := states(true)
	if len(bad) <= len(good) || bad[len(bad)-1].Up() {
		t.Errorf("after the upstream was killed the record says %v", bad)
	}
	if err := server.Revive(); err != nil {
		t.Fatal(err)
	}
	again := states(false)
	if len(again) <= len(bad) || !again[len(again)-1].Up() {
		t.Errorf("when it is back the record says %v", again)
	}
}

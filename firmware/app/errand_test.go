package app

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"cheeseboard/syncer"
)

// TestBackupBeforeTheEnd: while the first sync goes on, which may take weeks, what has come
// is in the backup already. Where nothing came none is made.
func TestBackupBeforeTheEnd(t *testing.T) {
	c := panelConfig(t.TempDir(), "")
	c.Sync.Projects = []string{"brie"}
	box, err := Open(c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}()
	kept := func(s syncer.Summary) bool {
		t.Helper()
		box.passed(s, context.DeadlineExceeded)
		if err := box.recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(filepath.Join(box.Store.Dir(), "backup"))
		return err == nil
	}
	if kept(syncer.Summary{}) {
		t.Error("a backup was made though nothing has come")
	}
	if !kept(syncer.Summary{Received: 1}) {
		t.Error("there is no backup of what has come")
	}
}

package meta

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestCloseWithoutFolder closes metadata when no file can be made in their folder any
// more, as on a disk that became read-only: Badger tries for ever, Close does not.
func TestCloseWithoutFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "meta")
	d := open(t, dir)
	if err := d.SetValue("milk", []byte("curd")); err != nil {
		t.Fatal(err)
	}
	if err := d.Trouble(); err != nil {
		t.Errorf("after a change that went well: %v", err)
	}
	d.closing = 20 * time.Millisecond
	d.free = func(string) (int64, error) { return 1 << 40, nil } // it is not full
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("close gives %v", err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; runtime.Gosched() { // it still uses the folder
		d.writers.lock()
		ended = d.closed
		d.writers.unlock()
	}
	d = open(t, dir)
	defer closeDB(t, d)
	if raw, err := d.Value("milk"); err != nil || string(raw) != "curd" {
		t.Errorf("%q (%v)", raw, err)
	}
}

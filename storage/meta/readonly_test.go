package meta

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"cheeseboard/storage/pypi"
)

// TestReadOnly spoils the ends of logs that a kill has left, in many ways, and opens
// the folder to be read: what is read is what Badger finds when it opens a copy to be
// written.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	const values = 60
	for i := range values {
		if err := d.SetValue(fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 1+i*i)); err != nil {
			t.Fatal(err)
		}
	}
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(killed, "*.mem"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("%d logs (%v)", len(logs), err)
	}
	whole, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	end, err := logEnd(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	whole = whole[:end+4096] // zeros to the end of 8 MB; the copies are quicker without
	empty, err := filepath.Glob(filepath.Join(killed, "*.vlog"))
	for _, path := range append(empty, logs[0]) {
		if err := errors.Join(err, os.Truncate(path, 20)); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(3, 3))
	some := func(d *DB) string {
		t.Helper()
		out := ""
		for i := range values {
			v, err := d.Value(fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			out += fmt.Sprint(len(v), " ")
		}
		return out
	}
	seen := map[string]bool{}
	cases, outcomes := 40, 10
	if testing.Short() {
		cases, outcomes = 15, 5
	}
	for n := range cases {
		raw := bytes.Clone(whole)
		at := logHeader + r.Int64N(end-logHeader)
		switch n % 5 {
		case 0: // as the kill left it
		case 1:
			raw = raw[:at]
		case 2:
			clear(raw[at:])
		case 3:
			raw[at] ^= 1
		case 4:
			for i := end; i < end+500; i++ {
				raw[i] = byte(r.Uint32())
			}
		}
		if n == cases-1 {
			raw = raw[:7]
		}
		var found [2]string
		for i := range found {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(killed)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(copied, filepath.Base(logs[0])), raw, 0o644); err != nil {
				t.Fatal(err)
			}
			var d *DB
			if i == 0 {
				d = open(t, copied)
			} else if d, err = OpenReadOnly(copied, Options{}); err != nil {
				t.Fatalf("case %d: %v", n, err)
			} else if err := d.SetValue("x", nil); !errors.Is(err, ErrFull) {
				t.Errorf("a write gives %v", err)
			} else if _, err := d.PutProject(&pypi.Project{Name: "x"}); !errors.Is(err, ErrFull) {
				t.Errorf("a page gives %v", err)
			}
			found[i] = some(d)
			if err := d.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if i == 1 {
				// What was cut is what would have been cut: it opens to be written.
				d = open(t, copied)
				if again := some(d); again != found[1] {
					t.Errorf("case %d: then it reads %s, before %s", n, again, found[1])
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if found[0] != found[1] {
			t.Errorf("case %d, spoilt at %d of %d: Badger finds %s, to be read there is %s", n, at, end, found[0], found[1])
		}
		seen[found[0]] = true
	}
	if len(seen) < outcomes {
		t.Errorf("only %d outcomes", len(seen))
	}
	if _, err := OpenReadOnly(t.TempDir(), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder gives %v", err)
	}
}

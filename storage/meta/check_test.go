package meta

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"cheeseboard/storage/pypi"
)

// TestBlocks flips a bit in each of many places of a store's tables: small ones
// are read to their end at open, large ones by CheckTables and where it is asked for.
func TestBlocks(t *testing.T) {
	t.Parallel()
	for _, more := range []int{0, 5 << 20} {
		dir := t.TempDir()
		d := open(t, dir)
		for i := range 20 {
			put(t, d, page(t, pypi.Name(fmt.Sprintf("p%d", i)), 120))
		}
		stuff(t, d, more)
		if err := d.CheckTables(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		closeDB(t, d)
		tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
		if err != nil || len(tables) == 0 {
			t.Fatal(tables, err)
		}
		var size int64
		for _, path := range tables {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		large := size > atOnce
		if large != (more > 0) {
			t.Fatalf("with %d bytes more they take %d", more, size)
		}
		whole, err := os.ReadFile(tables[0])
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			bad := append([]byte(nil), whole...)
			bad[i*(len(bad)/8)+7] ^= 4
			if err := os.WriteFile(tables[0], bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, Options{Thorough: true}); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d bytes, bit %d: a thorough open gives %v", size, i, err)
			}
			d, err := Open(dir, Options{})
			if !large {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("bit %d of a small store: %v", i, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := d.CheckTables(t.Context(), nil); !errors.Is(err, ErrDamaged) {
				t.Errorf("bit %d: the check gives %v", i, err)
			}
			closeDB(t, d)
		}
	}
}

// TestCheckEnds holds that the check ends with its context, which is no damage.
func TestCheckEnds(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	put(t, d, page(t, "a", 20))
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	err := d.CheckTables(ctx, func(int) error { cancel(); return ctx.Err() })
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
		t.Errorf("it gives %v", err)
	}
}

// TestNotDamaged holds that sound metadata are not taken for damaged ones because
// something else is wanting.
func TestNotDamaged(t *testing.T) {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENOMEM, syscall.EROFS} {
		for _, err := range []error{fmt.Errorf("open table: %w", e), fmt.Errorf("While opening: %v", e)} {
			if got := damaged("dir", err); errors.Is(got, ErrDamaged) {
				t.Errorf("%v", got)
			}
		}
	}
	if !errors.Is(damaged("dir", errors.New("bad magic")), ErrDamaged) {
		t.Error("damage is none")
	}
}

package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"cheeseboard/storage/pypi"
)

// gathered has changes wait for a commit that is under way, in their order, and
// then lets them through. It gives their errors.
func gathered(t *testing.T, d *DB, changes ...func() error) []error {
	t.Helper()
	errs := make([]error, len(changes))
	var all sync.WaitGroup
	d.writers.lock()
	for i, change := range changes {
		all.Go(func() { errs[i] = change() })
		for waiting := 0; waiting <= i; runtime.Gosched() {
			d.writers.mu.Lock()
			waiting = len(d.writers.waiting)
			d.writers.mu.Unlock()
		}
	}
	d.writers.unlock()
	all.Wait()
	return errs
}

// count is a change that adds one to a number, and fails with fail after it.
func count(d *DB, key string, fail error) func() error {
	return func() error {
		return d.update(growing, func(b *batch) error {
			raw, _, err := get(b.txn, []byte("k/"+key))
			if err != nil {
				return err
			}
			n := uint64(0)
			if raw, err = unseal(raw); err == nil {
				n = binary.BigEndian.Uint64(raw)
			}
			if err := b.set([]byte("k/"+key), seal(binary.BigEndian.AppendUint64(nil, n+1))); err != nil {
				return err
			}
			return fail
		})
	}
}

func counted(t *testing.T, d *DB, key string) uint64 {
	t.Helper()
	raw, err := d.Value(key)
	if err != nil {
		t.Fatal(err)
	}
	if raw == nil {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

// pour is a change that writes so many bytes, which do not compress.
func pour(d *DB, need need, prefix string, size int) func() error {
	return func() error {
		return d.update(need, func(b *batch) error {
			for i := range size >> 10 {
				if err := b.set(fmt.Appendf(nil, "k/%s%04d", prefix, i), make([]byte, 1<<10)); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// TestGroup holds that changes which wait together are one commit, that each sees
// those before it, and that what one fails with is its own.
func TestGroup(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	broken := errors.New("broken")
	var changes []func() error
	for i := range 60 {
		switch {
		case i%3 == 1:
			changes = append(changes, count(d, "n", broken))
		case i%10 == 2:
			changes = append(changes, func() error { return d.SetValue(fmt.Sprint("gone", i), nil) })
		default:
			changes = append(changes, count(d, "n", nil))
		}
	}
	before := d.Version()
	errs := gathered(t, d, changes...)
	good := uint64(0)
	for i, err := range errs {
		if is := errors.Is(err, broken); is != (i%3 == 1) || !is && err != nil {
			t.Errorf("change %d: %v", i, err)
		}
		if i%3 != 1 && i%10 != 2 {
			good++
		}
	}
	if n := d.Version() - before; n != 1 {
		t.Errorf("there were %d commits, want 1", n)
	}
	if n := counted(t, d, "n"); n != good {
		t.Errorf("counted to %d, want %d", n, good)
	}
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	if n := counted(t, d, "n"); n != good {
		t.Errorf("after opening anew it is %d, want %d", n, good)
	}
}

// TestGroupOfReferences has one project lose a blob, while another that waits with
// it comes to hold it, in both orders: the blob is doomed only if nobody holds it.
func TestGroupOfReferences(t *testing.T) {
	for _, first := range []string{"gain", "loss", "refused"} {
		d := open(t, t.TempDir())
		a, b := page(t, "a", 2), page(t, "b", 2)
		b.Files[0].Hashes = a.Files[0].Hashes
		put(t, d, a)
		put(t, d, b)
		shared, _ := a.Files[0].Hashes.SHA256()
		there := func() error { return nil }
		add := func(name string, present func() error) error {
			named, err := d.AddRef(Ref{Name: pypi.Name(name), Digest: shared, Filename: "f"}, present)
			if err == nil && !named {
				err = errors.New("not named")
			}
			return err
		}
		if err := add("a", there); err != nil {
			t.Fatal(err)
		}
		a.Files = a.Files[1:]
		gain := func() error { return add("b", there) }
		lose := func() error { _, err := d.PutProject(a); return err }
		lost := errors.New("lost")
		var errs []error
		switch first {
		case "gain":
			errs = gathered(t, d, gain, lose)
		case "loss":
			errs = gathered(t, d, lose, gain)
		case "refused":
			errs = gathered(t, d, func() error {
				if err := add("b", func() error { return lost }); !errors.Is(err, lost) {
					return fmt.Errorf("want %w, have %w", lost, err)
				}
				return nil
			}, lose)
		}
		if err := errors.Join(errs...); err != nil {
			t.Error(first, err)
		}
		held, err := d.Referenced(shared)
		doomed, derr := d.IsDoomed(shared)
		if want := first != "refused"; err != nil || derr != nil || held != want || doomed == want {
			t.Errorf("%s: held %v, doomed %v (%v, %v)", first, held, doomed, err, derr)
		}
		closeDB(t, d)
	}
}

// TestGroupTooLarge holds that changes which do not fit into one transaction with
// others, or at all, are carried out beside them, and that only one that does not
// fit alone is split.
func TestGroupTooLarge(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	before := d.Version()
	saw := false
	errs := gathered(t, d,
		count(d, "n", nil),
		pour(d, growing, "small", groupBytes-10<<10),
		func() error { // fits, but not beside the one before it
			return d.change("x", growing, func(b *batch) (err error) {
				if saw, err = d.has(b.txn, []byte("k/small0000")); err != nil {
					return err
				}
				if err := b.delete([]byte("k/small0001")); err != nil {
					return err
				}
				for i := range 450 {
					if err := b.set(fmt.Appendf(nil, "k/large%04d", i), make([]byte, 1<<10)); err != nil {
						return err
					}
				}
				if !saw || b.split {
					return fmt.Errorf("it saw what was before it: %v, it was split: %v", saw, b.split)
				}
				return nil
			})
		},
		count(d, "n", nil))
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if n := d.Version() - before; n != 3 {
		t.Errorf("there were %d commits, want 3: a transaction takes no more than is good for it", n)
	}
	p := giant(t, "a", 22_000)
	errs = gathered(t, d,
		count(d, "n", nil),
		func() error { _, err := d.PutProject(p); return err },
		count(d, "n", errCut),
		count(d, "n", nil))
	if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], errCut) || errs[3] != nil {
		t.Error(errs)
	}
	same(t, d, p)
	if n, left := counted(t, d, "n"), keys(t, d); n != 4 || left["t/"] != 0 {
		t.Errorf("counted to %d, left are %v", n, left)
	}
}

// TestGroupKeepsVersions has deletions that do not fit beside what was written before
// them: the highest version is that of an entry that stays.
func TestGroupKeepsVersions(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	for _, c := range []struct{ sets, deletes int }{{5, 1}, {0, 8}, {0, 24}} {
		before := d.Version()
		errs := gathered(t, d,
			func() error { return d.SetValue("x", nil) },
			pour(d, shrinking, "small", groupBytes-10<<10),
			func() error {
				return d.update(shrinking, func(b *batch) error {
					for i := range c.sets {
						if err := b.set(fmt.Append(nil, "k/large", i), make([]byte, 60_000)); err != nil {
							return err
						}
					}
					for i := range c.deletes {
						if err := b.delete(append(make([]byte, 60_000), byte(i))); err != nil {
							return err
						}
					}
					return nil
				})
			})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if n := d.Version() - before; n < 2 {
			t.Fatalf("there were %d commits: it fitted", n)
		}
		txn, done := d.view()
		if _, version, err := get(txn, versionKey()); err != nil || version != d.Version() {
			t.Errorf("the version key is of version %d, the last commit was %d (%v)", version, d.Version(), err)
		}
		done()
	}
}

// TestGroupOnAFullDisk holds that each is refused for what it needs itself.
func TestGroupOnAFullDisk(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 40)
	d, err := Open(t.TempDir(), Options{Free: func(string) (int64, error) { return free.Load(), nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB(t, d)
	if err := d.SetValue("old", []byte("x")); err != nil {
		t.Fatal(err)
	}
	free.Store(Floor - 1<<20)
	errs := gathered(t, d,
		count(d, "n", nil),
		func() error { return d.SetValue("old", nil) },
		count(d, "n", nil),
		func() error { return d.update(growing, func(*batch) error { return nil }) })
	if !errors.Is(errs[0], ErrFull) || errs[1] != nil || !errors.Is(errs[2], ErrFull) || errs[3] != nil {
		t.Errorf("on a full disk: %v", errs)
	}
	if raw, err := d.Value("old"); raw != nil || err != nil || counted(t, d, "n") != 0 {
		t.Errorf("what makes room was not done: %q, %v", raw, err)
	}
	free.Store(1 << 40)
}

// TestGroupFails holds that nobody is told of success where the commit fails.
func TestGroupFails(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	errs := gathered(t, d, count(d, "n", nil), count(d, "n", errCut),
		func() error {
			return d.update(growing, func(b *batch) error { b.txn.Discard(); return nil })
		})
	if errs[0] == nil || !errors.Is(errs[1], errCut) || errs[2] == nil {
		t.Errorf("where the commit fails: %v", errs)
	}
	if err := count(d, "n", nil)(); err != nil || counted(t, d, "n") != 1 {
		t.Errorf("after that: %v, counted to %d", err, counted(t, d, "n"))
	}
}

// TestGroupPanics holds that a bug in one change, from which somebody recovers,
// leaves nobody waiting.
func TestGroupPanics(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	guarded := func(do func() error) func() error {
		return func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("recovered: %v", r)
				}
			}()
			return do()
		}
	}
	errs := gathered(t, d, guarded(count(d, "n", nil)),
		guarded(func() error { return d.update(growing, func(*batch) error { panic("a bug") }) }),
		guarded(count(d, "n", nil)))
	for i, err := range errs {
		if err == nil {
			t.Errorf("change %d is told of success", i)
		}
	}
	if err := count(d, "n", nil)(); err != nil || counted(t, d, "n") != 1 {
		t.Errorf("after that: %v, counted to %d", err, counted(t, d, "n"))
	}
}

package meta

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"cheeseboard/storage/pypi"
)

var errCut = errors.New("injected")

// keys counts what is stored behind each prefix of two bytes.
func keys(t *testing.T, d *DB) map[string]int {
	t.Helper()
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	n := map[string]int{}
	err := scan(txn, nil, false, func(key, _ []byte) (bool, error) { n[string(key[:2])]++; return true, nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// overwrite spoils the value of each key behind a prefix.
func overwrite(t *testing.T, d *DB, prefix string) {
	t.Helper()
	txn := d.db.NewTransaction(true)
	defer txn.Discard()
	var spoilt [][]byte
	if err := scan(txn, []byte(prefix), false, func(key, _ []byte) (bool, error) {
		spoilt = append(spoilt, key)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(spoilt) == 0 {
		t.Fatalf("there is no key %s", prefix)
	}
	for _, key := range spoilt {
		if err := txn.Set(key, []byte("this is no record")); err != nil {
			t.Fatal(err)
		}
	}
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
	d.renewView() // as a commit of ours would
}

// giant is a page whose writes do not fit into one transaction, with references
// to the first files of it. variant tells pages apart.
func giant(t *testing.T, variant string, n int) *pypi.Project {
	t.Helper()
	p := &pypi.Project{Name: "giant", LastSerial: int64(len(variant))}
	for i := range n {
		f := pypi.File{Filename: fmt.Sprintf("giant-%s-1.%d-py3-none-any.whl", variant, i), Hashes: hashes(t, fmt.Sprint(variant, i)), Size: 7}
		f.URL = "https://files.example/" + f.Filename
		p.Files = append(p.Files, f)
	}
	return p
}

// TestCutBetweenTransactions stops changes of a page that is too large for one
// transaction after each of its transactions, and opens the folder again: the
// page is the old one or the new one, its name is listed with it, no chunk is
// left over, and no reference is to a digest that the page does not name.
func TestCutBetweenTransactions(t *testing.T) {
	t.Parallel()
	const files, refs = 22_000, 6000
	first, second := giant(t, "a", files), giant(t, "bb", files)
	for _, c := range []struct {
		name   string
		before *pypi.Project
		change func(*DB) error
	}{
		{"new", nil, func(d *DB) error { _, err := d.PutProject(first); return err }},
		{"replaced", first, func(d *DB) error { _, err := d.PutProject(second); return err }},
		{"deleted", first, func(d *DB) error { _, err := d.DeleteProject("giant"); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pristine := t.TempDir() // as it is before the change
			d := open(t, pristine)
			if c.before != nil {
				put(t, d, c.before)
				addRefs(t, d, c.before, refs)
			}
			closeDB(t, d)
			splits := 0
			for n := 1; ; n++ {
				var left atomic.Int64
				left.Store(1 << 40)
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(pristine)); err != nil {
					t.Fatal(err)
				}
				d, err := Open(dir, Options{Free: func(string) (int64, error) {
					if left.Add(-1) < 0 {
						return 0, errCut
					}
					return 1 << 40, nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				left.Store(int64(n))
				err = c.change(d)
				left.Store(1 << 40)
				if err != nil && !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				closeDB(t, d)
				sound(t, dir, first, second)
				if err == nil {
					if splits = n - 1; splits < 1 {
						t.Fatalf("the change was split %d times: the page is too small for this test", splits)
					}
					return
				}
			}
		})
	}
}

// addRefs records the first n files of a page, in few transactions.
func addRefs(t *testing.T, d *DB, p *pypi.Project, n int) {
	t.Helper()
	err := d.update(growing, func(b *batch) error {
		for i := range p.Files[:n] {
			digest, _ := p.Files[i].Hashes.SHA256()
			if err := b.set(refKey(p.Name, digest), packRef(Ref{Filename: p.Files[i].Filename, Size: 7})); err != nil {
				return err
			}
			if err := b.set(blobKey(digest, p.Name), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sound opens the folder as after a cut, and looks.
func sound(t *testing.T, dir string, pages ...*pypi.Project) {
	t.Helper()
	d := open(t, dir)
	defer closeDB(t, d)
	if err := d.Mend(); err != nil {
		t.Fatal(err)
	}
	got, known, err := d.Project("giant")
	if err != nil {
		t.Fatal(err)
	}
	info, listed, err := d.Info("giant")
	if err != nil || listed != known || known && info.Serial != got.LastSerial {
		t.Errorf("the page is known: %v, its name: %v, serial %d (%v)", known, listed, info.Serial, err)
	}
	if known && !reflect.DeepEqual(got, pages[0]) && !reflect.DeepEqual(got, pages[1]) {
		t.Errorf("a page of %d files that is neither the old nor the new one", len(got.Files))
	}
	named := map[pypi.Digest]bool{}
	chunks := 0
	if known {
		for i := range got.Files {
			digest, _ := got.Files[i].Hashes.SHA256()
			named[digest] = true
		}
		txn := d.db.NewTransaction(false)
		h, _, err := d.head(txn, "giant")
		txn.Discard()
		if err != nil {
			t.Fatal(err)
		}
		chunks = len(h.chunks)
	}
	if err := d.Refs("", func(r Ref, err error) bool {
		if err != nil || !named[r.Digest] {
			t.Errorf("a reference that the page does not name (%v)", err)
		}
		return !t.Failed()
	}); err != nil {
		t.Fatal(err)
	}
	if n := keys(t, d); n["c/"] != chunks || n["t/"] != 0 || n["r/"] != n["b/"] {
		t.Errorf("stored are %v, the head names %d chunks", n, chunks)
	}
}

// TestHalfDoneInOneRun goes on after a change that failed between two
// transactions, without opening anew.
func TestHalfDoneInOneRun(t *testing.T) {
	t.Parallel()
	free := func() (int64, error) { return 1 << 40, nil }
	d, err := Open(t.TempDir(), Options{Free: func(string) (int64, error) { return free() }})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB(t, d)
	left := 2
	free = func() (int64, error) {
		if left--; left < 0 {
			return 0, errCut
		}
		return 1 << 40, nil
	}
	p := giant(t, "a", 22_000)
	if _, err := d.PutProject(p); !errors.Is(err, errCut) {
		t.Fatalf("the change gives %v", err)
	}
	free = func() (int64, error) { return 1 << 40, nil }
	put(t, d, p)
	same(t, d, p)
	if n := keys(t, d); n["t/"] != 0 || n["n/"] != 1 {
		t.Errorf("stored are %v", n)
	}
}

// TestDamagedPageIsReplaced spoils the records of a page: it is an error to read
// it, and none to replace or to delete it.
func TestDamagedPageIsReplaced(t *testing.T) {
	for _, prefix := range []string{"p/", "c/", "n/"} {
		d := open(t, t.TempDir())
		p, other := page(t, "x", 300), page(t, "y", 1)
		put(t, d, other)
		put(t, d, p)
		overwrite(t, d, prefix+"x")
		if _, _, err := d.Project("x"); prefix != "n/" && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: reading gives %v", prefix, err)
		}
		listed := 0
		if err := d.Names(func(pypi.ListEntry) bool { listed++; return true }); err != nil || listed != 2 {
			t.Errorf("%s: %d names are listed (%v)", prefix, listed, err)
		}
		p.Files = p.Files[:200]
		p.LastSerial++
		put(t, d, p)
		same(t, d, p)
		if info, _, err := d.Info("x"); err != nil || info.Serial != p.LastSerial {
			t.Errorf("%s: %v (%v)", prefix, info, err)
		}
		overwrite(t, d, prefix+"x")
		if _, err := d.DeleteProject("x"); err != nil {
			t.Errorf("%s: deleting gives %v", prefix, err)
		}
		if n := keys(t, d); n["p/"] != 1 || n["n/"] != 1 || n["c/"] != 0 {
			t.Errorf("%s: left are %v", prefix, n)
		}
		closeDB(t, d)
	}
}

// TestNameIsListedAgain stores a page again whose name was lost.
func TestNameIsListedAgain(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	p := page(t, "x", 3)
	put(t, d, p)
	if err := d.update(shrinking, func(b *batch) error { return b.delete(nameKey("x")) }); err != nil {
		t.Fatal(err)
	}
	put(t, d, p)
	if _, listed, err := d.Info("x"); !listed || err != nil {
		t.Errorf("listed: %v (%v)", listed, err)
	}
}

// TestVersionIsNotGivenTwice deletes what has the highest version, lets Badger
// forget the deletion, and writes again.
func TestVersionIsNotGivenTwice(t *testing.T) {
	t.Parallel()
	for what, remove := range map[string]func(*DB) error{
		"project": func(d *DB) error { _, err := d.DeleteProject("x"); return err },
		"state":   func(d *DB) error { return d.SetState("x", nil) },
	} {
		dir := t.TempDir()
		d := open(t, dir)
		put(t, d, page(t, "other", 1))
		// As many tables as make Badger merge those of level 0.
		for i := range 10 {
			put(t, d, page(t, "x", i+1))
			if err := d.SetState("x", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
			closeDB(t, d)
			d = open(t, dir)
		}
		if err := remove(d); err != nil {
			t.Fatal(err)
		}
		last := d.Version()
		closeDB(t, d)
		d = open(t, dir)
		if err := d.db.Flatten(1); err != nil {
			t.Fatal(err)
		}
		closeDB(t, d)
		d = open(t, dir)
		put(t, d, page(t, "x", 20))
		if info, _, err := d.Info("x"); err != nil || info.Generation <= last || d.Version() <= last {
			t.Errorf("%s: generation %d, version %d, but %d was given before (%v)", what, info.Generation, d.Version(), last, err)
		}
		closeDB(t, d)
	}
}

// TestDamagedNotes holds that one spoilt record does not hide the others.
func TestDamagedNotes(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	for _, n := range []pypi.Name{"a", "b", "c"} {
		if err := d.SetState(n, []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(t, d, "s/b")
	for _, n := range []pypi.Name{"a", "c"} {
		if v, err := d.State(n); err != nil || string(v) != string(n) {
			t.Errorf("state of %s %q (%v)", n, v, err)
		}
	}
	if _, err := d.State("b"); !errors.Is(err, ErrDamaged) {
		t.Errorf("the spoilt one gives %v", err)
	}
	if err := d.SetState("b", []byte("anew")); err != nil {
		t.Fatal(err)
	}
	if v, err := d.State("b"); err != nil || string(v) != "anew" {
		t.Errorf("state %q (%v)", v, err)
	}
}

func TestTooLargeForARecord(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	if err := d.SetValue("x", make([]byte, maxValue+1)); err == nil {
		t.Error("a value that does not fit is stored")
	}
	p := page(t, "x", 1)
	put(t, d, p)
	swollen := *p
	swollen.Versions = []string{strings.Repeat("1", maxRecord)}
	if _, err := d.PutProject(&swollen); err == nil {
		t.Error("a page that could not be read again is stored")
	}
	same(t, d, p)
}

// TestRoomToDelete holds that a disk too full to grow can still be cleared.
func TestRoomToDelete(t *testing.T) {
	free := int64(1 << 40)
	d, err := Open(t.TempDir(), Options{Free: func(string) (int64, error) { return free, nil }})
	if err != nil {
		t.Fatal(err)
	}
	p := page(t, "x", 10)
	put(t, d, p)
	put(t, d, page(t, "y", 10))
	digest, _ := p.Files[0].Hashes.SHA256()
	add := func() error {
		_, err := d.AddRef(Ref{Name: "x", Digest: digest}, func() error { return nil })
		return err
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	if err := d.SetState("x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	free = d.Need() - 1
	for what, err := range map[string]error{"reference": add(), "state": d.SetState("x", []byte("y"))} {
		if !errors.Is(err, ErrFull) {
			t.Errorf("a new %s gives %v", what, err)
		}
	}
	if _, err := d.PutProject(p); err != nil {
		t.Errorf("a page that has not changed needs no room: %v", err)
	}
	if err := d.SetState("x", nil); err != nil {
		t.Error(err)
	}
	if doomed, err := d.DropRef("x", digest, nil); err != nil || !doomed {
		t.Errorf("drop: %v, %v", doomed, err)
	}
	if _, err := d.DeleteProject("y"); err != nil {
		t.Error(err)
	}
	free = flushing - 1
	if err := d.Close(); !errors.Is(err, ErrFull) {
		t.Errorf("close on a disk without room for what is in memory gives %v", err)
	}
	free = 1 << 40
	closeDB(t, d)
}

// TestNeedGrowsWithTables holds that the room for merging tables stays free.
func TestNeedGrowsWithTables(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	if d.Need() != Floor {
		t.Errorf("an empty store needs %d bytes, want %d", d.Need(), Floor)
	}
	put(t, d, giant(t, "a", 20_000))
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	if d.Need() < Floor+500_000 {
		t.Errorf("with tables of more than a megabyte it needs %d bytes", d.Need())
	}
}

// TestDropIf holds that a reference is dropped only where still says so.
func TestDropIf(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	p := page(t, "x", 1)
	put(t, d, p)
	addRefs(t, d, p, 1)
	digest, _ := p.Files[0].Hashes.SHA256()
	if doomed, err := d.DropRef("x", digest, func() (bool, error) { return false, nil }); doomed || err != nil {
		t.Errorf("%v, %v", doomed, err)
	}
	if _, err := d.DropRef("x", digest, func() (bool, error) { return true, errCut }); !errors.Is(err, errCut) {
		t.Errorf("an error becomes %v", err)
	}
	if _, ok, err := d.Ref("x", digest); !ok || err != nil {
		t.Errorf("it was dropped (%v)", err)
	}
	if doomed, err := d.DropRef("x", digest, func() (bool, error) { return true, nil }); !doomed || err != nil {
		t.Errorf("%v, %v", doomed, err)
	}
	if is, err := d.IsDoomed(digest); !is || err != nil {
		t.Errorf("doomed: %v (%v)", is, err)
	}
	if err := d.Buried([]pypi.Digest{digest}, func(pypi.Digest) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if is, err := d.IsDoomed(digest); !is || err != nil {
		t.Errorf("its bytes are there, yet it is off the list (%v)", err)
	}
}

// TestNamesOfBytes holds that a project's keys are its own, whatever the
// neighbours are called.
func TestNamesOfBytes(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	a, ab, abc := page(t, "a", 200), page(t, "a-b", 200), page(t, "ab", 200)
	for _, p := range []*pypi.Project{a, ab, abc} {
		put(t, d, p)
		addRefs(t, d, p, 5)
	}
	if _, err := d.DeleteProject("a"); err != nil {
		t.Fatal(err)
	}
	same(t, d, ab)
	same(t, d, abc)
	refs := 0
	if err := d.Refs("", func(r Ref, err error) bool {
		if err != nil || bytes.HasPrefix([]byte(r.Name), []byte("a\x00")) || r.Name == "a" {
			t.Errorf("reference of %q (%v)", r.Name, err)
		}
		refs++
		return true
	}); err != nil || refs == 0 {
		t.Errorf("%d references (%v)", refs, err)
	}
}

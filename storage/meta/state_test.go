package meta

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cheeseboard/storage/pypi"
)

// lists reads back which projects stand in some lists, and when.
func lists(t *testing.T, d *DB, names ...string) map[string]map[pypi.Name]int64 {
	t.Helper()
	out := make(map[string]map[pypi.Name]int64)
	for _, list := range names {
		out[list] = make(map[pypi.Name]int64)
		err := d.Marked(list, func(n pypi.Name, at time.Time) bool { out[list][n] = at.Unix(); return true })
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestMarks holds that a project stands in the lists that its last state named,
// and in no other, over a reopening.
func TestMarks(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	at := func(list string, seconds int64) Mark { return Mark{List: list, At: time.Unix(seconds, 0)} }
	for _, s := range []struct {
		name  pypi.Name
		note  string
		marks []Mark
	}{
		{"a", "one", []Mark{at("retry", 100), at("wish", 7)}},
		{"b", "one", []Mark{at("retry", 50), at("retry-not", 51)}},
		{"a", "two", []Mark{at("retry", 200)}},
		{"c", "one", []Mark{at("wish", -5)}},
	} {
		if err := d.SetState(s.name, []byte(s.note), s.marks...); err != nil {
			t.Fatal(err)
		}
	}
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	want := map[string]map[pypi.Name]int64{
		"retry": {"a": 200, "b": 50}, "retry-not": {"b": 51}, "wish": {"c": -5}, "none": {},
	}
	if got := lists(t, d, "retry", "retry-not", "wish", "none"); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if v, err := d.State("a"); string(v) != "two" || err != nil {
		t.Errorf("the note is %q (%v)", v, err)
	}
	for _, name := range []pypi.Name{"a", "b", "c"} {
		if err := d.SetState(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := keys(t, d); n["s/"] != 0 || n["m/"] != 0 {
		t.Errorf("left are %v", n)
	}
}

// TestMarksOfADamagedState: it does not tell any more where the project stands,
// and the project leaves these lists all the same.
func TestMarksOfADamagedState(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	for _, name := range []pypi.Name{"a", "b"} {
		if err := d.SetState(name, []byte("x"), Mark{List: "retry"}, Mark{List: "wish"}); err != nil {
			t.Fatal(err)
		}
	}
	overwrite(t, d, "s/b")
	if err := d.SetState("b", []byte("anew"), Mark{List: "wish", At: time.Unix(3, 0)}); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[pypi.Name]int64{"retry": {"a": time.Time{}.Unix()}, "wish": {"a": time.Time{}.Unix(), "b": 3}}
	if got := lists(t, d, "retry", "wish"); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// TestUnchangedMarkIsNotWritten: a note that changes often must not write its
// lists each time.
func TestUnchangedMarkIsNotWritten(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	mark := Mark{List: "retry", At: time.Unix(9, 0)}
	if err := d.SetState("a", []byte("one"), mark); err != nil {
		t.Fatal(err)
	}
	txn := d.db.NewTransaction(false)
	_, before, err := get(txn, markKey("retry", "a"))
	txn.Discard()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetState("a", []byte("two"), mark); err != nil {
		t.Fatal(err)
	}
	txn = d.db.NewTransaction(false)
	defer txn.Discard()
	if _, after, err := get(txn, markKey("retry", "a")); after != before || err != nil {
		t.Errorf("written at version %d, then at %d (%v)", before, after, err)
	}
}

// FuzzParseState: whatever is on the disk, it is read or refused.
func FuzzParseState(f *testing.F) {
	f.Add(appendState(nil, []Mark{{List: "retry"}, {List: ""}}, []byte(`{"a":1}`), true))
	f.Add([]byte(`{"upstream":"x"}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		names, value, packed, err := parseState(raw)
		if err != nil {
			return
		}
		var marks []Mark
		for _, n := range names {
			marks = append(marks, Mark{List: n})
		}
		again, v, p, err := parseState(appendState(nil, marks, value, packed))
		if err != nil || p != packed || !cmp.Equal(again, names) || string(v) != string(value) {
			t.Errorf("%q, %q became %q, %q (%v)", names, value, again, v, err)
		}
	})
}

// FuzzFiles reads anything as the files of a record: it ends, with an error or not,
// and what it gives can be written and read again.
func FuzzFiles(f *testing.F) {
	var w writer
	files := page(f, "seed", 9).Files
	w.files(files)
	w.unknown(files, &pypi.Project{Unknown: `"a":1`})
	f.Add(w.raw, w.rest)
	read := func(w writer) (files []pypi.File, p pypi.Project, err error) {
		r := &reader{raw: w.raw, rest: w.rest, all: string(w.rest)}
		files = r.files()
		r.unknown(files, &p)
		return files, p, r.err
	}
	f.Fuzz(func(t *testing.T, raw, rest []byte) {
		files, p, err := read(writer{raw: raw, rest: rest})
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		var w writer
		w.files(files)
		w.unknown(files, &p)
		again, q, err := read(w)
		if err != nil || len(again) != len(files) || q.Unknown != p.Unknown || q.InMeta != p.InMeta {
			t.Fatalf("%d files, then %d (%v)", len(files), len(again), err)
		}
		for i := range files {
			if files[i].Unknown != again[i].Unknown || files[i].Filename != again[i].Filename {
				t.Errorf("file %d is %+v, was %+v", i, again[i], files[i])
			}
		}
	})
}

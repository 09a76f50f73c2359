package meta

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cheeseboard/storage/pypi"
)

// TestPutProjects holds that a group is one write, with its notes, and that what
// one project is refused for does not keep the others out.
func TestPutProjects(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	var group []Update
	for i := range 50 {
		p := page(t, pypi.Name(fmt.Sprintf("p%02d", i)), 1+i%5)
		group = append(group, Update{Project: p, State: &State{Value: []byte(p.Name), Marks: []Mark{{List: "wish"}}}})
	}
	if _, errs := d.PutProjects(group); errs != nil {
		t.Fatal(errs)
	}
	first := d.Version()
	for _, u := range group {
		same(t, d, u.Project)
		info, _, err := d.Info(u.Project.Name)
		note, noteErr := d.State(u.Project.Name)
		if err != nil || noteErr != nil || info.Generation != first || string(note) != string(u.Project.Name) {
			t.Errorf("%s has generation %d, want %d, and the note %q (%v, %v)", u.Project.Name, info.Generation, first, note, err, noteErr)
		}
	}
	if got := lists(t, d, "wish"); len(got["wish"]) != len(group) {
		t.Errorf("%d are in the list", len(got["wish"]))
	}
	// Random text does not compress: such a head fits nowhere.
	tooLarge := page(t, "p20", 1)
	var reason strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&reason, "%x", sha(fmt.Sprint(i)))
	}
	tooLarge.Status.Reason = reason.String()
	better := page(t, "p21", 9)
	_, errs := d.PutProjects([]Update{{Project: page(t, "p19", 8)}, {Project: tooLarge}, {Project: better}})
	if len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Fatalf("the errors are %v", errs)
	}
	same(t, d, better)
	same(t, d, page(t, "p19", 8))
	same(t, d, group[20].Project)
}

// TestPutProjectsDooms drops the same blob from two projects in one write: it is
// doomed by the second, although in the store both still refer to it.
func TestPutProjectsDooms(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	a, b := page(t, "a", 2), page(t, "b", 2)
	b.Files[0].Hashes = a.Files[0].Hashes
	put(t, d, a)
	put(t, d, b)
	shared, _ := a.Files[0].Hashes.SHA256()
	for _, name := range []pypi.Name{"a", "b"} {
		if named, err := d.AddRef(Ref{Name: name, Digest: shared, Filename: "f"}, func() error { return nil }); err != nil || !named {
			t.Fatal(named, err)
		}
	}
	a.Files, b.Files = a.Files[1:], b.Files[1:]
	doomed, errs := d.PutProjects([]Update{{Project: a}, {Project: b}})
	if errs != nil || !slices.Contains(doomed, shared) {
		t.Errorf("doomed are %v (%v)", doomed, errs)
	}
	if is, err := d.IsDoomed(shared); err != nil || !is {
		t.Errorf("doomed: %v (%v)", is, err)
	}
}

// TestLooks holds that what looks at a page in parts sees what Project gives.
func TestLooks(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	defer closeDB(t, d)
	for _, n := range []int{0, 1, 64, 65, 300} {
		p := page(t, pypi.Name(fmt.Sprintf("n%d", n)), n)
		put(t, d, p)
		info, _, err := d.Info(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		var seen pypi.Project
		known, err := d.Visit(p.Name, func(page *pypi.Project, generation uint64, files pypi.Files) error {
			if generation != info.Generation {
				t.Errorf("%s: generation %d, want %d", p.Name, generation, info.Generation)
			}
			for range 2 { // what one look changes is not in the next
				seen = *page
				for f, err := range files {
					if err != nil {
						return err
					}
					seen.Files = append(seen.Files, *f)
					f.Size = 12345
				}
			}
			return nil
		})
		want, _, _ := d.Project(p.Name)
		if err != nil || !known || !cmp.Equal(*want, seen) {
			t.Errorf("%s: %v %v\n%s", p.Name, known, err, cmp.Diff(*want, seen))
		}
		if known, addressed, err := d.Sound(p.Name); !known || !addressed || err != nil {
			t.Errorf("%s is sound: %v %v (%v)", p.Name, known, addressed, err)
		}
		for i := range p.Files {
			digest, ok := p.Files[i].Hashes.SHA256()
			f, _, known, err := d.File(p.Name, digest, p.Files[i].Filename)
			if ok && (f == nil || !cmp.Equal(*f, p.Files[i])) || !ok && f != nil || !known || err != nil {
				t.Errorf("file %d of %s: %+v %v (%v)", i, p.Name, f, known, err)
			}
		}
		for i := range p.Files {
			p.Files[i].URL = ""
		}
		put(t, d, p)
		if _, addressed, err := d.Sound(p.Name); err != nil || addressed != (n == 0) {
			t.Errorf("%s without addresses has some: %v (%v)", p.Name, addressed, err)
		}
	}
	broken := errors.New("broken")
	if _, err := d.Visit("n65", func(*pypi.Project, uint64, pypi.Files) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the user's error became %v", err)
	}
	if known, err := d.Visit("none", nil); known || err != nil {
		t.Error(known, err)
	}
	if f, _, known, err := d.File("n65", sha("another"), "x"); f != nil || !known || err != nil {
		t.Error(f, known, err)
	}
	overwrite(t, d, "p/n300")
	if _, _, err := d.Sound("n300"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged head is sound: %v", err)
	}
}

// TestVersions holds that versions come back as they were stated, whether file
// names tell them or not.
func TestVersions(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	for i, names := range [][]string{
		nil,
		{"a-1.0-py3-none-any.whl", "a-1.0.tar.gz", "a-1.1.zip", "a-b-2.0.tar.bz2"},
		{"a-1.0.exe"},
	} {
		for j, versions := range [][]string{nil, {}, {"1.0", "1.1", "2.0"}, {"1.1", "1.0", "2.0"}, {"1.0"}, {"1.0", "1.1", "2.0", "9"}} {
			p := &pypi.Project{Name: pypi.Name(fmt.Sprintf("v%d%d", i, j)), Versions: versions}
			for _, n := range names {
				p.Files = append(p.Files, pypi.File{Filename: n, URL: "https://e.example/" + n, Hashes: hashes(t, n)})
			}
			put(t, d, p)
			same(t, d, p)
		}
	}
}

// TestAddresses holds that every address comes back as it was, in whatever form it
// is stored.
func TestAddresses(t *testing.T) {
	const digits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	path := digits[:2] + "/" + digits[2:4] + "/" + digits[4:]
	for _, c := range []struct {
		url    string
		hashed bool
	}{
		{"https://files.pythonhosted.org/packages/" + path + "/f.whl", true},
		{"/" + path + "/f.whl", true},
		{path + "/f.whl", false}, // without what comes before the path's slash
		{"https://e.example/" + strings.ToUpper(path) + "/f.whl", false},
		{"https://e.example/" + path + "/g.whl", false},
		{"https://e.example/" + path[1:] + "/f.whl", false},
		{"https://e.example/f.whl", false},
		{"f.whl", false},
		{"", false},
	} {
		p := splitURL(c.url, "f.whl")
		if got := joinURL(p, "f.whl"); got != c.url || p.hashed != c.hashed {
			t.Errorf("%q became %q, its digest apart: %v", c.url, got, p.hashed)
		}
	}
}

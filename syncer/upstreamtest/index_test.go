package upstreamtest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// changing is an index under change, with a page that is read after each.
type changing struct {
	t      *testing.T
	index  *Index
	server *Server
	url    string
	last   int64 // serial
}

func newChanging(t *testing.T) *changing {
	t.Helper()
	index := NewIndex()
	server := start(t, index)
	return &changing{t, index, server, server.IndexURL() + "brie-fine/", index.Serial()}
}

// page reads the page after a change, which must have moved the serial.
func (c *changing) page(change error) wire {
	c.t.Helper()
	must(c.t, change)
	p := readPage(c.t, c.url)
	if p.Meta.LastSerial <= c.last || p.Meta.LastSerial != c.index.Serial() {
		c.t.Errorf("serial %d after %d", p.Meta.LastSerial, c.last)
	}
	c.last = p.Meta.LastSerial
	return p
}

func brie(t *testing.T) (name string, content []byte) {
	t.Helper()
	w := Wheel{Name: "Brie.Fine", Version: "1.0", RequiresPython: ">=3.8"}
	content, err := w.Build()
	must(t, err)
	return w.Filename(), content
}

func TestChangesOfFiles(t *testing.T) {
	c := newChanging(t)
	name, content := brie(t)
	if f := c.page(c.index.AddFile("Brie.Fine", name, content, Facts{})).Files[0]; f.RequiresPython != ">=3.8" || f.CoreMetadata == false {
		t.Errorf("facts that come from the wheel: %+v", f)
	}
	if f := c.page(c.index.Yank("brie-fine", name, "")).Files[0]; f.Yanked != true {
		t.Errorf("yanked: %v", f.Yanked)
	}
	if f := c.page(c.index.Unyank("brie_fine", name)).Files[0]; f.Yanked != false {
		t.Errorf("unyanked: %v", f.Yanked)
	}
	c.page(c.index.SetProvenance("brie-fine", name, "https://cheese.example/p"))
	f := c.page(c.index.SetUploadTime("brie-fine", name, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))).Files[0]
	if f.Provenance != "https://cheese.example/p" || f.UploadTime != "2026-01-02T03:04:05.000000Z" {
		t.Errorf("facts: %+v", f)
	}
	before := c.index.Path(name)
	f = c.page(c.index.ReplaceFile("brie-fine", name, slices.Concat(content, []byte{0}), Facts{HideMetadata: true})).Files[0]
	if *f.Size != int64(len(content)+1) || f.CoreMetadata != false || c.index.Path(name) == before {
		t.Errorf("replaced: %+v", f)
	}
	if a := get(t, c.server.URL()+before); a.status != 404 {
		t.Errorf("the old bytes: %d", a.status)
	}
	p := c.page(c.index.RemoveFile("brie-fine", name))
	if len(p.Files) != 0 || p.Versions == nil || len(p.Versions) != 0 || c.index.Path(name) != "" {
		t.Errorf("file removed: %+v", p)
	}
}

func TestChangesOfProjects(t *testing.T) {
	c := newChanging(t)
	name, content := brie(t)
	if p := c.page(c.index.AddProject("Brie.Fine")); len(p.Files) != 0 || p.Name != "brie-fine" {
		t.Errorf("a new project: %+v", p)
	}
	c.page(c.index.AddFile("Brie.Fine", name, content, Facts{}))
	p := c.page(c.index.SetStatus("brie-fine", "quarantined", "bad"))
	if len(p.Files) != 0 || p.Status.Status != "quarantined" || len(c.index.Projects()) != 0 {
		t.Errorf("quarantined: %+v", p)
	}
	if p := c.page(c.index.SetStatus("brie-fine", "", "")); len(p.Files) != 1 || len(c.index.Filenames("brie-fine")) != 1 {
		t.Errorf("cleared: %+v", p)
	}
	must(t, c.index.RemoveProject("brie-fine"))
	if a := get(t, c.url); a.status != 404 || c.index.Serial() <= c.last || len(c.index.Filenames("brie-fine")) != 0 {
		t.Errorf("project removed: %d", a.status)
	}
	c.page(c.index.AddProject("brie-fine"))
}

func TestIndexRefuses(t *testing.T) {
	index, name, content := small(t)
	serial := index.Serial()
	for what, err := range map[string]error{
		"a file that is there":         index.AddFile("brie", name, content, Facts{}),
		"a project that is there":      index.AddProject("Brie"),
		"a bad project":                index.AddProject("-"),
		"a file of a bad project":      index.AddFile("-", name, content, Facts{}),
		"a name with a path":           index.AddFile("brie", "../x-1-py3-none-any.whl", content, Facts{}),
		"a name without version":       index.AddFile("brie", "x.whl", content, Facts{}),
		"neither wheel nor sdist":      index.AddFile("brie", "x-1.exe", content, Facts{}),
		"a wheel that is none":         index.AddFile("brie", "x-1-py3-none-any.whl", []byte("no"), Facts{}),
		"a yank of nothing":            index.Yank("brie", "x-1-py3-none-any.whl", ""),
		"a file of another project":    index.RemoveFile("feta", name),
		"a project that is not there":  index.RemoveProject("feta"),
		"a status of nothing":          index.SetStatus("feta", "archived", ""),
		"bytes for a file that is not": index.ReplaceFile("brie", "x-1.tar.gz", nil, Facts{}),
	} {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	if index.Serial() != serial {
		t.Error("a change that was refused moved the serial")
	}
}

func TestChangesWhileServing(t *testing.T) {
	index, _, _ := small(t)
	server := start(t, index)
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 30 {
			if _, err := index.AddWheel(Wheel{Name: "brie", Version: fmt.Sprintf("2.%d", i)}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		ask := request(t, testContext(t), "GET", server.IndexURL()+"brie/")
		group.Go(func() {
			last := 0
			for last < 31 {
				a, err := do(rawClient(), ask.Clone(ask.Context()))
				n := strings.Count(string(a.body), "</a>")
				if err != nil || a.status != 200 || n < last {
					t.Errorf("%d, %v: %d files after %d", a.status, err, n, last)
					return
				}
				last = n
			}
		})
	}
	group.Wait()
}

// TestSampleIndexesAreApart changes one of two: the other, and those to come, are as before.
func TestSampleIndexesAreApart(t *testing.T) {
	changed, other := SampleIndex(1), SampleIndex(1)
	serial, files := other.Serial(), other.Filenames("cheddar")
	if err := changed.Yank("cheddar", files[0], "spoilt"); err != nil {
		t.Fatal(err)
	}
	if err := changed.ReplaceFile("cheddar", files[1], []byte("other bytes"), Facts{}); err != nil {
		t.Fatal(err)
	}
	if err := changed.RemoveFile("cheddar", files[2]); err != nil {
		t.Fatal(err)
	}
	if _, err := changed.AddWheel(Wheel{Name: "cheddar", Version: "9.0"}); err != nil {
		t.Fatal(err)
	}
	if err := changed.RemoveProject("stilton"); err != nil {
		t.Fatal(err)
	}
	fresh := makeSample(1)
	for name, index := range map[string]*Index{"other": other, "next": SampleIndex(1)} {
		if index.Serial() != serial || !slices.Equal(index.Filenames("cheddar"), files) || len(index.Projects()) != 14 {
			t.Errorf("%s: serial %d (was %d), %q, %q", name, index.Serial(), serial, index.Filenames("cheddar"), index.Projects())
		}
		if !reflect.DeepEqual(index.projects, fresh.projects) || !reflect.DeepEqual(index.byPath, fresh.byPath) || !reflect.DeepEqual(index.journal, fresh.journal) {
			t.Errorf("%s: it differs from a new one", name)
		}
	}
}

func TestSampleIndex(t *testing.T) {
	index, again, other := SampleIndex(1), makeSample(1), SampleIndex(2)
	if len(index.Projects()) != 14 {
		t.Errorf("projects: %v", index.Projects())
	}
	differ := 0
	for _, project := range index.Projects() {
		for _, name := range index.Filenames(string(project)) {
			a, _ := index.Content(name)
			b, _ := again.Content(name)
			c, ok := other.Content(name)
			if hexSum(a) != hexSum(b) || !ok {
				t.Errorf("%s differs between two makings", name)
			}
			if hexSum(a) != hexSum(c) {
				differ++
			}
		}
	}
	if differ == 0 {
		t.Error("the seed varies nothing")
	}
	if index.Serial() != again.Serial() {
		t.Error("two makings have different serials")
	}
	if m, ok := index.Metadata("cheeseplate-1.0-py3-none-any.whl"); !ok || !strings.Contains(string(m), "Provides-Extra: strong\n") {
		t.Errorf("metadata: %s", m)
	}
}

package upstreamtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEachChangeMovesTheSerial(t *testing.T) {
	index := NewIndex()
	server := start(t, index)
	w := Wheel{Name: "Brie.Fine", Version: "1.0", RequiresPython: ">=3.8"}
	name := w.Filename()
	content, err := w.Build()
	must(t, err)
	url := server.IndexURL() + "brie-fine/"
	last := index.Serial()
	page := func(what string) wire {
		t.Helper()
		p := readPage(t, url)
		if p.Meta.LastSerial <= last || p.Meta.LastSerial != index.Serial() {
			t.Errorf("%s: serial %d after %d", what, p.Meta.LastSerial, last)
		}
		last = p.Meta.LastSerial
		return p
	}

	must(t, index.AddProject("Brie.Fine"))
	if p := page("add project"); len(p.Files) != 0 || p.Name != "brie-fine" {
		t.Errorf("a new project: %+v", p)
	}
	must(t, index.AddFile("Brie.Fine", name, content, Facts{}))
	if f := page("add file").Files[0]; f.RequiresPython != ">=3.8" || f.CoreMetadata == false {
		t.Errorf("facts that come from the wheel: %+v", f)
	}
	must(t, index.Yank("brie-fine", name, ""))
	if f := page("yank").Files[0]; f.Yanked != true {
		t.Errorf("yanked: %v", f.Yanked)
	}
	must(t, index.Unyank("brie_fine", name))
	if f := page("unyank").Files[0]; f.Yanked != false {
		t.Errorf("unyanked: %v", f.Yanked)
	}
	must(t, index.SetProvenance("brie-fine", name, "https://cheese.example/p"))
	must(t, index.SetUploadTime("brie-fine", name, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
	if f := page("facts").Files[0]; f.Provenance != "https://cheese.example/p" || f.UploadTime != "2026-01-02T03:04:05.000000Z" {
		t.Errorf("facts: %+v", f)
	}
	before := index.Path(name)
	must(t, index.ReplaceFile("brie-fine", name, slices.Concat(content, []byte{0}), Facts{HideMetadata: true}))
	if f := page("replace").Files[0]; *f.Size != int64(len(content)+1) || f.CoreMetadata != false || index.Path(name) == before {
		t.Errorf("replaced: %+v", f)
	}
	if a := get(t, server.URL()+before); a.status != 404 {
		t.Errorf("the old bytes: %d", a.status)
	}
	must(t, index.SetStatus("brie-fine", "quarantined", "bad"))
	if p := page("quarantine"); len(p.Files) != 0 || p.Status.Status != "quarantined" || len(index.Projects()) != 0 {
		t.Errorf("quarantined: %+v", p)
	}
	must(t, index.SetStatus("brie-fine", "", ""))
	if p := page("clear"); len(p.Files) != 1 || len(index.Filenames("brie-fine")) != 1 {
		t.Errorf("cleared: %+v", p)
	}
	must(t, index.RemoveFile("brie-fine", name))
	if p := page("remove file"); len(p.Files) != 0 || p.Versions == nil || len(p.Versions) != 0 || index.Path(name) != "" {
		t.Errorf("file removed: %+v", p)
	}
	must(t, index.RemoveProject("brie-fine"))
	if a := get(t, url); a.status != 404 || index.Serial() <= last || len(index.Filenames("brie-fine")) != 0 {
		t.Errorf("project removed: %d", a.status)
	}
	must(t, index.AddProject("brie-fine"))
	page("add again")
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

func TestSampleIndex(t *testing.T) {
	index, again, other := SampleIndex(1), SampleIndex(1), SampleIndex(2)
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

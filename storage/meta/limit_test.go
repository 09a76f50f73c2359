package meta

import (
	"errors"
	"os"
	"strings"
	"testing"

	"cheeseboard/storage/population"
)

// TestLimit fills a store up to what a 32-bit program holds: growing is refused
// with a sentence, reading and deleting go on, and a store that is far beyond it
// is not opened.
func TestLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := population.New(5, 5000)
	const limit = 4 << 20
	d, err := Open(dir, Options{Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	put(t, d, p.Project(0, 0))
	stuff(t, d, limit)
	var refused *LimitError
	for i := 0; refused == nil; i += 50 {
		if i >= p.Len() {
			t.Fatal("nothing was refused")
		}
		var group []Update
		for j := i; j < i+50; j++ {
			group = append(group, Update{Project: p.Project(j, 0)})
		}
		if _, errs := d.PutProjects(group); errs != nil && !errors.As(errors.Join(errs...), &refused) {
			t.Fatal(errs)
		}
	}
	if !errors.Is(refused, ErrFull) || !strings.Contains(refused.Error(), "32-bit") {
		t.Errorf("it is refused with %v", refused)
	}
	if tables, most := d.Tables(); tables <= limit || most != limit {
		t.Errorf("%d bytes of %d", tables, most)
	}
	same(t, d, p.Project(0, 0))
	if _, err := d.DeleteProject(p.Name(0)); err != nil {
		t.Errorf("making room is refused: %v", err)
	}
	tables, _ := d.Tables()
	closeDB(t, d)
	if _, err = Open(dir, Options{Limit: tables / 2}); !errors.As(err, &refused) {
		t.Errorf("a store of twice the limit: %v", err)
	}
	if d, err = Open(dir, Options{Limit: tables - 1}); err != nil {
		t.Fatalf("a store that is full up to its limit cannot be opened: %v", err)
	}
	same(t, d, p.Project(1, 0))
	closeDB(t, d)
}

// TestIngestReopen stores a population in groups, opens it again, and compares
// every record. It runs on every processor for which programs are built.
func TestIngestReopen(t *testing.T) {
	t.Parallel()
	projects := 500
	if os.Getenv("CHEESEBOARD_TEST_LONG") != "" {
		projects = 20_000
	}
	dir := t.TempDir()
	d := open(t, dir)
	p := population.New(6, projects)
	for i := 0; i < projects; i += 200 {
		var group []Update
		for j := i; j < min(i+200, projects); j++ {
			group = append(group, Update{Project: p.Project(j, 0), State: &State{Value: []byte(p.ETag(j, 0))}})
		}
		if _, errs := d.PutProjects(group); errs != nil {
			t.Fatal(errors.Join(errs...))
		}
	}
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	for i := range projects {
		same(t, d, p.Project(i, 0))
		if note, err := d.State(p.Name(i)); err != nil || string(note) != p.ETag(i, 0) {
			t.Errorf("the note of %s is %q (%v)", p.Name(i), note, err)
		}
	}
	if err := d.db.VerifyChecksum(); err != nil {
		t.Error(err)
	}
}

package population

import (
	"reflect"
	"slices"
	"testing"

	"cheeseboard/storage/pypi"
)

// TestShape holds the population to the figures that were measured of PyPI.
func TestShape(t *testing.T) {
	const projects = 20_000
	p := New(1, projects)
	var counts []int
	files, digests, yanked, provenance, names := 0, 0, 0, 0, 0
	for i := range projects {
		n := p.Files(i)
		counts = append(counts, n)
		files += n
		names += len(p.Name(i))
	}
	slices.Sort(counts)
	if m := counts[projects/2]; m != 5 {
		t.Errorf("the median is %d files, want 5", m)
	}
	if m := float64(files) / projects; m < 20 || m > 24 {
		t.Errorf("the mean is %.1f files, want 22", m)
	}
	if m := counts[projects-1]; m != Largest {
		t.Errorf("the largest has %d files, want %d", m, Largest)
	}
	if i := p.LargestProject(); p.Files(i) != Largest {
		t.Errorf("project %d has %d files, want %d", i, p.Files(i), Largest)
	}
	if m := float64(names) / projects; m < 10 || m > 20 {
		t.Errorf("names have %.1f bytes, want about 15", m)
	}
	some := 0
	for i := 0; i < projects; i += 5 {
		for _, f := range p.Project(i, 0).Files {
			some++
			if f.CoreMetadata.Available {
				digests++
			}
			if f.Yanked.Is {
				yanked++
			}
			if f.Provenance != "" {
				provenance++
			}
		}
	}
	part := func(n int) float64 { return float64(n) / float64(some) }
	if d := part(digests); d < 0.45 || d > 0.55 {
		t.Errorf("%.2f of the files have a metadata digest, want a half", d)
	}
	if y, v := part(yanked), part(provenance); y == 0 || y > 0.02 || v < 0.01 || v > 0.2 {
		t.Errorf("%.4f are yanked, %.3f have provenance", y, v)
	}
}

// TestPages holds that pages are sound, in order, and the same each time.
func TestPages(t *testing.T) {
	p := New(2, 3000)
	last := pypi.Name("")
	for i := range p.Len() {
		name := p.Name(i)
		if normal, err := pypi.ParseName(string(name)); err != nil || normal != name || name <= last {
			t.Fatalf("project %d is called %q, behind %q", i, name, last)
		}
		last = name
		page := p.Project(i, 0)
		if page.Name != name || len(page.Files) != p.Files(i) {
			t.Fatalf("%s has %d files, want %d", page.Name, len(page.Files), p.Files(i))
		}
		if i%100 != 0 {
			continue
		}
		again, refused, err := pypi.DecodeProjectJSON(pypi.AppendProjectJSON(nil, page, nil), name, nil)
		if err != nil || len(refused) > 0 {
			t.Fatalf("the page of %s does not pass: %v %v", name, refused, err)
		}
		if !reflect.DeepEqual(again, page) || !reflect.DeepEqual(p.Project(i, 0), page) {
			t.Fatalf("the page of %s is not the same again:\n%+v\n%+v", name, again, page)
		}
		grown := p.Project(i, 1)
		if len(grown.Files) <= len(page.Files) || !reflect.DeepEqual(grown.Files[:len(page.Files)], page.Files) {
			t.Fatalf("a release of %s does not add to its page", name)
		}
	}
	if changed := p.Changed(1, 0.01); len(changed) != 30 {
		t.Errorf("%d projects change in a day, want 30", len(changed))
	}
}

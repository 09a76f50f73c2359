package app

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestFindPackagesWithinBounds: a stick may hold anything, and without end.
func TestFindPackagesWithinBounds(t *testing.T) {
	deep := strings.Repeat("d/", maxDepth)
	stick := fstest.MapFS{
		"a.whl": {}, "b/c.tar.gz": {}, "e.whl": {}, "notes.txt": {},
		deep + "f.whl":      {},
		deep + "d/g.whl":    {},
		deep + "d/d/h.whl":  {},
		"z/folder.whl/i.gz": {},
	}
	for _, test := range []struct {
		most, found int
		more        bool
	}{{2, 2, true}, {3, 3, true}, {4, 4, false}, {maxFound, 4, false}} {
		paths, closed, more, err := findPackages(t.Context(), stick, test.most)
		if err != nil || len(paths) != test.found || more != test.more {
			t.Errorf("at most %d: %v, more %t, %v", test.most, paths, more, err)
		}
		if slices.Contains(paths, deep+"d/g.whl") || test.most > 2 && (len(closed) != 1 || closed[0].Filename != deep+"d") {
			t.Errorf("at most %d: %v, and closed are %v", test.most, paths, closed)
		}
	}
}

package meta

import (
	"slices"
	"strings"

	"cheeseboard/storage/pypi"
)

// The versions of most projects are those that the names of their files tell, in
// the order of the files. They are not stored then: a project with thousands of
// releases would write all of them again with each.

// sourceEndings are those of distributions other than wheels, the longest first.
var sourceEndings = []string{".tar.gz", ".tar.bz2", ".zip", ".tgz"}

// versionIn is the version in a file's name, as it stands there: behind the first
// hyphen and before the second of a wheel, behind the last of a source. It belongs
// to the format: see FORMAT.md. "" where there is none.
func versionIn(filename string) string {
	if name, is := strings.CutSuffix(filename, ".whl"); is {
		_, rest, _ := strings.Cut(name, "-")
		version, _, _ := strings.Cut(rest, "-")
		return version
	}
	for _, ending := range sourceEndings {
		if name, is := strings.CutSuffix(filename, ending); is {
			return name[strings.LastIndexByte(name, '-')+1:]
		}
	}
	return ""
}

// impliedBy lists the versions in the names of files, each once.
func impliedBy(files pypi.Files) (list []string, err error) {
	seen := make(map[string]bool)
	for f, err := range files {
		if err != nil {
			return nil, err
		}
		if v := versionIn(f.Filename); v != "" && !seen[v] {
			seen[v] = true
			list = append(list, strings.Clone(v)) // without all the names of a chunk
		}
	}
	return list, nil
}

func impliedVersions(slots []chunk) []string {
	list, _ := impliedBy(func(yield func(*pypi.File, error) bool) { // it has no errors
		for _, s := range slots {
			for i := range s.files {
				if !yield(&s.files[i], nil) {
					return
				}
			}
		}
	})
	return list
}

// implies tells whether the names of files tell these versions.
func implies(slots []chunk, versions []string) bool {
	return len(versions) > 0 && slices.Equal(impliedVersions(slots), versions)
}

// versions writes 0 for none stated, 1 for those that are implied, and else two
// more than their number, and the texts.
func (w *writer) versions(h *head) {
	switch {
	case h.implied:
		w.uint(1)
	case h.project.Versions == nil:
		w.uint(0)
	default:
		w.uint(uint64(len(h.project.Versions)) + 2)
		for _, v := range h.project.Versions {
			w.text(v)
		}
	}
}

func (r *reader) versions() (list []string, implied bool) {
	n := r.uint()
	if n < 2 {
		return nil, n == 1
	}
	return r.list(n - 2), false
}

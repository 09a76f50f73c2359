package upstreamtest

import (
	"fmt"
	"path"
	"strings"
)

// kind is what a request is about.
type kind string

const (
	kindRoot     kind = "root"     // the list of projects
	kindPage     kind = "page"     // a project page
	kindFile     kind = "file"     // a distribution
	kindMetadata kind = "metadata" // FILE.metadata
	kindFeed     kind = "feed"     // XML-RPC
	kindOther    kind = "other"    // nothing that the index has
)

// subject is what one request is about.
type subject struct {
	kind     kind
	project  string // normal form; of a file, the project that its name states; of the feed, the method
	call     feedCall
	filename string // of a file and of its metadata, without ".metadata"
	path     string
}

// Target says which requests are meant. The patterns are globs (path.Match):
// "*" is everything, a name without wildcards is that name alone.
type Target struct {
	kind    kind // "" for every kind
	pattern string
	byPath  bool
}

// OnRoot means the root list.
func OnRoot() Target { return Target{kindRoot, "*", false} }

// OnPage means project pages, by the project's normal name.
func OnPage(project string) Target { return Target{kindPage, project, false} }

// OnFile means files, by file name or by project.
func OnFile(pattern string) Target { return Target{kindFile, pattern, false} }

// OnMetadata means FILE.metadata, by FILE's name or by project.
func OnMetadata(pattern string) Target { return Target{kindMetadata, pattern, false} }

// OnFeed means calls to the change feed, by the method.
func OnFeed(method string) Target { return Target{kindFeed, method, false} }

// OnPath means whatever has a path that matches; "*" does not match a slash.
func OnPath(pattern string) Target { return Target{"", pattern, true} }

// OnAll means every request.
func OnAll() Target { return Target{"", "*", false} }

// ParseTarget reads "root", "all", "page:GLOB", "file:GLOB", "metadata:GLOB",
// "feed:GLOB" and "path:GLOB".
func ParseTarget(s string) (Target, error) {
	what, pattern, given := strings.Cut(s, ":")
	if !given {
		pattern = "*"
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return Target{}, fmt.Errorf("parse target %q: %w", s, err)
	}
	switch what {
	case "all":
		return OnAll(), nil
	case "root":
		return OnRoot(), nil
	case "page":
		return OnPage(pattern), nil
	case "file":
		return OnFile(pattern), nil
	case "metadata":
		return OnMetadata(pattern), nil
	case "feed":
		return OnFeed(pattern), nil
	case "path":
		return OnPath(pattern), nil
	}
	return Target{}, fmt.Errorf("parse target %q: want root, all, or page, file, metadata, feed, path with a colon and a pattern", s)
}

// String is the form that ParseTarget reads.
func (t Target) String() string {
	switch {
	case t.byPath:
		return "path:" + t.pattern
	case t.kind == "":
		return "all"
	case t.kind == kindRoot:
		return "root"
	}
	return string(t.kind) + ":" + t.pattern
}

func (t Target) matches(s subject) bool {
	if t.byPath {
		return glob(t.pattern, s.path)
	}
	if t.kind != "" && t.kind != s.kind {
		return false
	}
	return t.pattern == "*" || glob(t.pattern, s.project) || s.filename != "" && glob(t.pattern, s.filename)
}

// glob treats a broken pattern as one that matches nothing.
func glob(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// subjectOf tells what a path of the index is about, whether it is there or not.
func subjectOf(urlPath string) subject {
	s := subject{kind: kindOther, path: urlPath}
	rest, isSimple := strings.CutPrefix(urlPath, "/simple/")
	switch {
	case isSimple && rest == "":
		s.kind = kindRoot
	case urlPath == "/pypi", urlPath == "/pypi/":
		s.kind = kindFeed
	case isSimple && strings.Count(rest, "/") == 1 && strings.HasSuffix(rest, "/"):
		s.kind, s.project = kindPage, strings.TrimSuffix(rest, "/")
	case strings.HasPrefix(urlPath, "/packages/"):
		s.kind = kindFile
		stem, isMetadata := strings.CutSuffix(path.Base(urlPath), ".metadata")
		if isMetadata {
			s.kind = kindMetadata
		}
		s.filename = stem
		s.project = projectOf(stem)
	}
	return s
}

// projectOf is the normal project name that a file name states.
func projectOf(filename string) string {
	stem := filename
	if strings.HasSuffix(filename, ".whl") {
		stem, _, _ = strings.Cut(filename, "-")
	} else if i := strings.LastIndexByte(filename, '-'); i > 0 {
		stem = filename[:i]
	}
	return strings.ReplaceAll(escapeName(stem), "_", "-")
}

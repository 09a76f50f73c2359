package pypi

import (
	"bytes"
	"fmt"
	"strings"
)

// htmlEvidence is what tells a page of an index from any other web page. A
// captive portal answers every request with its login page and the status 200;
// taking that for an index without files would delete a project.
type htmlEvidence struct {
	version bool   // it has the meta pypi:repository-version (PEP 629)
	markup  bool   // it has elements at all
	text    bool   // it shows text outside of headings and links
	strange bool   // it links to something that an index does not link to
	foreign string // the first element that an index has no use for
	heading []byte // its titles, one per line
	opened  bool   // <html> was opened
	closed  bool   // and closed
	entries int    // links to files, or to projects in the root list
	named   bool   // one of these carries the name of the project
}

func (ev *htmlEvidence) addForeign(name string) {
	if ev.foreign == "" {
		ev.foreign = name
	}
}

func (ev *htmlEvidence) addHeading(text []byte) {
	room := max(0, maxHeading-len(ev.heading))
	ev.heading = append(ev.heading, bytes.ToLower(text[:min(room, len(text))])...)
}

// project decides whether the page is the page of a project. A page with the
// version meta is one. So is a page that links to distributions; one link at
// least must carry the project's name if the page also has a form or shows text,
// for portals offer programs to download. A page without such links is an empty
// one if its heading says so, or if it shows nothing at all.
func (ev *htmlEvidence) project(want Name) error {
	switch {
	case ev.version, ev.named, ev.headed(want):
	case ev.foreign != "":
		return ev.refuse("it contains <" + ev.foreign + ">")
	case ev.entries > 0 && !ev.text, ev.phrase():
	case ev.text, ev.strange, !ev.markup, len(bytes.TrimSpace(ev.heading)) > 0:
		return ev.refuse("it links to no distribution and does not call itself an index")
	}
	return ev.whole()
}

// list decides whether the page is a root list: one with the version meta, one
// that calls itself an index, or one that shows nothing but links to projects.
func (ev *htmlEvidence) list() error {
	switch {
	case ev.version, ev.phrase():
	case ev.foreign != "":
		return ev.refuse("it contains <" + ev.foreign + ">")
	case ev.text, ev.strange, !ev.markup:
		return ev.refuse("it does not call itself an index")
	case ev.entries == 0 && len(bytes.TrimSpace(ev.heading)) > 0:
		return ev.refuse("it links to no project and does not call itself an index")
	}
	return ev.whole()
}

func (ev *htmlEvidence) refuse(why string) error {
	if !ev.markup && !ev.text {
		return fmt.Errorf("read HTML: it is empty: %w", ErrTruncated)
	}
	return fmt.Errorf("read HTML: %s: %w", why, ErrNotIndex)
}

// whole refuses a page that was cut between two links. HTML lets a page leave
// out </html>, but no index is known to, and a cut page would delete files.
func (ev *htmlEvidence) whole() error {
	if ev.opened && !ev.closed {
		return fmt.Errorf("read HTML: <html> is not closed: %w", ErrTruncated)
	}
	return nil
}

// headed reports whether a title names the project as index pages do.
func (ev *htmlEvidence) headed(want Name) bool {
	for line := range strings.Lines(string(ev.heading)) {
		line = strings.TrimSpace(line)
		if _, after, ok := strings.Cut(line, "links for "); ok {
			line, _, _ = strings.Cut(strings.TrimSpace(after), " ")
		}
		if name, err := ParseName(line); err == nil && name == want {
			return true
		}
	}
	return false
}

// phrase reports whether a title is one that indexes and directory listings use.
func (ev *htmlEvidence) phrase() bool {
	for _, known := range [...]string{"links for", "simple index", "simple package", "index of", "directory listing", "simple list"} {
		if bytes.Contains(ev.heading, []byte(known)) {
			return true
		}
	}
	return false
}

// distributionSuffixes are those of everything that PyPI ever took.
var distributionSuffixes = [...]string{
	".whl", ".tar.gz", ".zip", ".egg", ".tar.bz2", ".tgz", ".tar.xz", ".tbz", ".txz", ".tlz",
	".tar.lz", ".tar.lzma", ".tar.z", ".tar", ".exe", ".msi", ".rpm", ".deb", ".dmg",
}

// looksLikeDistribution goes by the end of the name alone: old distributions
// have names that no grammar covers.
func looksLikeDistribution(name string) bool {
	for _, suffix := range distributionSuffixes {
		if n := len(name) - len(suffix); n > 0 && strings.EqualFold(name[n:], suffix) {
			return true
		}
	}
	return false
}

// carriesName reports whether a file name begins with the project's name, in
// whatever way its separators and letters are written.
func carriesName(filename string, want Name) bool {
	i := 0
	for j := 0; j < len(want); j++ {
		if i == len(filename) {
			return false
		}
		c := filename[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if want[j] != '-' {
			if c != want[j] {
				return false
			}
			i++
			continue
		}
		start := i
		for i < len(filename) && strings.IndexByte("-_.", filename[i]) >= 0 {
			i++
		}
		if i == start {
			return false
		}
	}
	return i < len(filename) && strings.IndexByte("-_.", filename[i]) >= 0
}

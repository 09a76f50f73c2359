package pypi

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// The errors that refuse a whole page. Every decoder wraps one of them, so
// errors.Is tells a portal's login page from an index that moved on.
var (
	// ErrNotIndex: the bytes are not a page of a simple index.
	ErrNotIndex = errors.New("not a page of a simple index")

	// ErrTruncated: the page stops before its end. It is also an ErrNotIndex,
	// but asking again may help.
	ErrTruncated = fmt.Errorf("the page is cut short: %w", ErrNotIndex)

	// ErrVersion: the page states no version of the API where it must, or one
	// whose major number is not 1 (PEP 629).
	ErrVersion = errors.New("the version of the simple API is not supported")

	// ErrWrongProject: the page is about another project than the one asked for.
	ErrWrongProject = errors.New("the page is about another project")
)

// APIVersion is the version of the simple repository API that is rendered.
const APIVersion = "1.4"

// Link gives the URL to print for a file, absolute or relative to the page. It
// has no fragment; the HTML form adds one. A nil Link prints the file's own URL.
type Link func(*File) string

func (l Link) url(f *File) string {
	if l == nil {
		return f.URL
	}
	return l(f)
}

// offered are the files that a page lists: none in quarantine (PEP 792).
func offered(p *Project, files Files) Files {
	if p.Status.State == StatusQuarantined {
		return func(func(*File, error) bool) {}
	}
	return files
}

// What a page may state at most. A page is decoded in memory that its reader
// has bounded already; these bound single values and what is told of refusals.
const (
	maxURLLength   = 4096    // bytes
	maxTextLength  = 1 << 16 // bytes of a reason or a version set
	maxStateLength = 64      // bytes of a project's state
	maxRefusals    = 1000    // entries that are named; the rest are counted
	maxRefusalName = 200     // bytes, as Refusal says
)

// checkAPIVersion refuses a version that is not MAJOR.MINOR with a major of 1.
// A newer minor is accepted, as PEP 629 demands.
func checkAPIVersion(s string) error {
	major, minor, ok := strings.Cut(s, ".")
	if !ok || !allDigits(major) || !allDigits(minor) {
		return fmt.Errorf("read version %.40q: %w", s, ErrVersion)
	}
	if strings.TrimLeft(major, "0") != "1" {
		return fmt.Errorf("read version %.40q: want 1.x: %w", s, ErrVersion)
	}
	return nil
}

func allDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// entries gathers the files of one page. It keeps the first of several entries
// with one name and names what it leaves out.
type entries struct {
	base    *url.URL // without userinfo; nil if the page's URL is not known
	files   []File
	seen    map[string]int // file name -> index in files
	refused []Refusal
	unnamed int    // refusals beyond maxRefusals
	same    string // the last value that share made

	unknownBytes int // of unknown members
	unknownLeft  int // objects of which some were left out
}

func newEntries(base *url.URL) *entries {
	e := &entries{seen: make(map[string]int)}
	if base != nil {
		// A relative URL would inherit a password from its page otherwise, and
		// with it end up in the catalogue and on other people's screens.
		b := *base
		b.User = nil
		e.base = &b
	}
	return e
}

// refuse names an entry that is left out.
func (e *entries) refuse(filename, reason string) {
	if len(e.refused) == maxRefusals {
		e.unnamed++
		return
	}
	if n := maxRefusalName; len(filename) > n {
		for n > 0 && !utf8.RuneStart(filename[n]) {
			n--
		}
		// Cloned, so that the refusal does not keep a hostile megabyte alive.
		filename = strings.Clone(filename[:n])
	}
	e.refused = append(e.refused, Refusal{Filename: filename, Reason: reason})
}

// share makes a string of a value that neighbours mostly have in common.
func (e *entries) share(raw []byte) string {
	if string(raw) != e.same {
		e.same = string(raw)
	}
	return e.same
}

// add checks a file whose URL is still as the page gave it, and keeps it.
func (e *entries) add(f File) {
	if err := e.check(&f); err != nil {
		e.refuse(f.Filename, err.Error())
		return
	}
	if i, twice := e.seen[f.Filename]; twice {
		if reason := contradiction(&e.files[i], &f); reason != "" {
			e.refuse(f.Filename, reason)
		}
		return
	}
	e.seen[f.Filename] = len(e.files)
	e.files = append(e.files, f)
}

// contradiction says why a second entry of the same name is refused. It is ""
// if both state the same digest, for then the second one adds nothing.
func contradiction(first, second *File) string {
	a, haveA := first.Hashes.SHA256()
	b, haveB := second.Hashes.SHA256()
	switch {
	case haveA && haveB && a != b:
		return "the name is listed twice, with different sha256"
	case haveA && haveB, slices.Equal(first.Hashes, second.Hashes) && first.URL == second.URL:
		return ""
	default:
		return "the name is listed twice, and not plainly as the same file"
	}
}

// check refuses what is not safe to keep, and makes the URLs absolute.
func (e *entries) check(f *File) error {
	if err := CheckFilename(f.Filename); err != nil {
		return err
	}
	var err error
	if f.URL, err = resolveURL(e.base, f.URL); err != nil {
		return err
	}
	if f.Provenance != "" {
		if f.Provenance, err = resolveURL(e.base, f.Provenance); err != nil {
			return fmt.Errorf("read provenance: %w", err)
		}
	}
	if f.Size != SizeUnknown && (f.Size < 0 || f.Size > MaxFileSize) {
		return fmt.Errorf("read size: %d is out of range", f.Size)
	}
	if err := checkText(f.RequiresPython); err != nil {
		return fmt.Errorf("read requires-python: %w", err)
	}
	if err := checkText(f.Yanked.Reason); err != nil {
		return fmt.Errorf("read yanked: %w", err)
	}
	return nil
}

// list resolves the URLs of a list such as `tracks`, and leaves out unsound ones.
func (e *entries) list(what string, urls []string) []string {
	var out []string
	for _, raw := range urls {
		u, err := resolveURL(nil, raw)
		if err != nil {
			e.refuse("", fmt.Sprintf("read %s: %v", what, err))
			continue
		}
		out = append(out, u)
	}
	return out
}

// status keeps a state that it does not know, and drops what is not text.
func (e *entries) status(s Status) Status {
	if s.State == "" {
		return Status{}
	}
	if err := checkText(s.State); err != nil || len(s.State) > maxStateLength || strings.ContainsAny(s.State, "\t\n\r") {
		e.refuse("", "read project-status: the state is not a word")
		return Status{}
	}
	if err := checkText(s.Reason); err != nil {
		e.refuse("", fmt.Sprintf("read the reason of project-status: %v", err))
		s.Reason = ""
	}
	return s
}

// finish moves the files into the project and returns what was left out.
func (e *entries) finish(p *Project) []Refusal {
	p.Files = e.files
	if e.unknownLeft > 0 {
		e.refuse("", fmt.Sprintf("unknown keys are left out of %d objects: they take more than %d KB of a file, or %d KB of the page, or are not UTF-8",
			e.unknownLeft, maxUnknownOfFile>>10, maxUnknownOfPage>>10))
	}
	if e.unnamed > 0 {
		e.refused = append(e.refused, Refusal{Reason: fmt.Sprintf("and %d more entries", e.unnamed)})
	}
	return e.refused
}

// checkText refuses text that is not UTF-8, holds control characters other than
// white space, or is too long. Reasons are free text: people write two lines.
func checkText(s string) error {
	if len(s) > maxTextLength {
		return fmt.Errorf("longer than %d bytes", maxTextLength)
	}
	ascii := true
	for _, c := range []byte(s) {
		switch {
		case c < 0x20 && c != '\t' && c != '\n' && c != '\r', c == 0x7f:
			return errors.New("it contains a control character")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii && !utf8.ValidString(s) {
		return errors.New("it is not UTF-8")
	}
	return nil
}

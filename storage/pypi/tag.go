package pypi

import (
	"fmt"
	"strings"
	"unicode"
)

// maxWheelTags bounds how many tags the name of one wheel may stand for. The
// widest wheels on PyPI have some hundred.
const maxWheelTags = 4096

// Tag says what a wheel runs on (PEP 425): an interpreter, its binary interface
// and a platform, all in lower case.
type Tag struct {
	Interpreter string // "cp311", "py3"
	ABI         string // "cp311", "abi3", "none"
	Platform    string // "manylinux_2_17_x86_64", "any"
}

// String gives the three parts with hyphens between them.
func (t Tag) String() string { return t.Interpreter + "-" + t.ABI + "-" + t.Platform }

// parseTags reads a compressed set of tags, in which each part may hold several
// values with dots between them (PEP 425). It returns all combinations, and
// whether the values of each part are in the order that PEP 425 asks for.
func parseTags(s string) (tags []Tag, sorted bool, err error) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return nil, false, fmt.Errorf("parse tags %.80q: %d parts, want 3", s, len(parts))
	}
	var values [3][]string
	count, sorted := 1, true
	for i, part := range parts {
		values[i] = strings.Split(part, ".")
		count *= len(values[i])
		if count > maxWheelTags {
			return nil, false, fmt.Errorf("parse tags %.80q: more than %d tags", s, maxWheelTags)
		}
		for j, value := range values[i] {
			if value == "" {
				return nil, false, fmt.Errorf("parse tags %.80q: an empty part", s)
			}
			if i == 0 && !isIdentifier(value) {
				return nil, false, fmt.Errorf("parse tags %.80q: %q is not the tag of an interpreter", s, value)
			}
			sorted = sorted && (j == 0 || values[i][j-1] <= value)
		}
	}
	tags = make([]Tag, 0, count)
	for _, interpreter := range values[0] {
		for _, abi := range values[1] {
			for _, platform := range values[2] {
				tags = append(tags, Tag{strings.ToLower(interpreter), strings.ToLower(abi), strings.ToLower(platform)})
			}
		}
	}
	return tags, sorted, nil
}

// isIdentifier reports whether s can be a name in Python: letters, digits and
// underscores, not beginning with a digit.
func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// Target is an installation of CPython 3 on a platform.
type Target struct {
	Platform
	PyMinor  int  // 11 for Python 3.11
	Threaded bool // built without the global lock, from 3.13 on
}

// NewTarget makes the target of a version of Python, "3.11" or "3.11.7", on a
// platform.
func NewTarget(python string, platform Platform) (Target, error) {
	_, minor, err := parsePython(python)
	if err != nil {
		return Target{}, fmt.Errorf("make target: %w", err)
	}
	return Target{Platform: platform, PyMinor: minor}, nil
}

// parsePython reads a version of Python 3 and returns its first two numbers.
func parsePython(s string) (major, minor int, err error) {
	v, err := ParseVersion(s)
	if err != nil {
		return 0, 0, err
	}
	first, rest, ok := strings.Cut(v.release(), ".")
	second, _, _ := strings.Cut(rest, ".")
	if !ok || first != "3" || v.epochEnd != 0 {
		return 0, 0, fmt.Errorf("parse version of Python %.20q: not one such as 3.11", s)
	}
	numbers, err := parseTwoNumbers(first + "." + second)
	if err != nil {
		return 0, 0, fmt.Errorf("parse version of Python %.20q: %w", s, err)
	}
	return numbers[0], numbers[1], nil
}

// Tags returns the tags of all wheels that a target can install, the best one
// first, as packaging.tags.sys_tags does there.
func Tags(t Target) []Tag {
	pairs, platforms, pure := t.preferences()
	tags := make([]Tag, 0, len(pairs)*len(platforms)+len(pure))
	for _, p := range pairs {
		for _, platform := range platforms {
			tags = append(tags, Tag{p.interpreter, p.abi, platform})
		}
	}
	for _, interpreter := range pure {
		tags = append(tags, Tag{interpreter, "none", "any"})
	}
	return tags
}

// pair is what comes before the platform in a tag.
type pair struct{ interpreter, abi string }

// preferences gives what the tags of a target are made of, the best one first: pairs,
// each of them with all the platforms, and then interpreters of wheels for any platform.
func (t Target) preferences() (pairs []pair, platforms, pure []string) {
	interpreter := fmt.Sprintf("cp3%d", t.PyMinor)
	abi, stable := t.abis(interpreter)
	pythons := []string{fmt.Sprintf("py3%d", t.PyMinor), "py3"}
	for minor := t.PyMinor - 1; minor >= 0; minor-- {
		pythons = append(pythons, fmt.Sprintf("py3%d", minor))
	}
	pairs = append(make([]pair, 0, 2*t.PyMinor+4), pair{interpreter, abi}, pair{interpreter, stable}, pair{interpreter, "none"})
	for minor := t.PyMinor - 1; minor >= 2; minor-- { // PEP 384 begins with Python 3.2
		pairs = append(pairs, pair{fmt.Sprintf("cp3%d", minor), stable})
	}
	for _, python := range pythons {
		pairs = append(pairs, pair{python, "none"})
	}
	return pairs, t.tags(), append([]string{interpreter}, pythons...)
}

// abis returns the binary interface of the target's interpreter, and the stable
// one (PEP 384, PEP 803).
func (t Target) abis(interpreter string) (own, stable string) {
	switch {
	case t.Threaded && t.PyMinor >= 13:
		return interpreter + "t", "abi3t"
	case t.PyMinor < 8:
		return interpreter + "m", "abi3"
	default:
		return interpreter, "abi3"
	}
}

// TagOrder tells which of several wheels a target prefers. It knows the rank of each tag
// in Tags by its parts: all of them take eighteen times as much memory.
type TagOrder struct {
	pairs     map[pair]int
	platforms map[string]int
	pure      map[string]int // of wheels for any platform, by interpreter
}

// NewTagOrder makes the order of preference of a target.
func NewTagOrder(t Target) TagOrder {
	pairs, platforms, pure := t.preferences()
	return TagOrder{ranks(pairs), ranks(platforms), ranks(pure)}
}

// ranks tells where each stands first.
func ranks[T comparable](ordered []T) map[T]int {
	rank := make(map[T]int, len(ordered))
	for _, v := range ordered {
		if _, twice := rank[v]; !twice {
			rank[v] = len(rank)
		}
	}
	return rank
}

// of returns the rank of one tag.
func (o TagOrder) of(tag Tag) (int, bool) {
	if tag.Platform == "any" && tag.ABI == "none" {
		rank, ok := o.pure[tag.Interpreter]
		return len(o.pairs)*len(o.platforms) + rank, ok
	}
	rank, ok := o.pairs[pair{tag.Interpreter, tag.ABI}]
	platform, fits := o.platforms[tag.Platform]
	return rank*len(o.platforms) + platform, ok && fits
}

// Rank returns the rank of a wheel with these tags, 0 for the best one, and
// false if the target cannot install it.
func (o TagOrder) Rank(tags []Tag) (int, bool) {
	best, ok := 0, false
	for _, tag := range tags {
		if rank, found := o.of(tag); found && (!ok || rank < best) {
			best, ok = rank, true
		}
	}
	return best, ok
}

package pypi

import (
	"fmt"
	"slices"
	"strings"
)

// maxSpecifiersLength bounds a set of specifiers as it is written, in bytes.
const maxSpecifiersLength = 64 << 10

// Prereleases says what becomes of pre-releases when versions are matched.
type Prereleases int8

// The rules for pre-releases.
const (
	// PrereleasesIfNeeded is the rule of PEP 440: a pre-release is offered only
	// where a specifier names one, or where nothing else matches.
	PrereleasesIfNeeded Prereleases = iota
	PrereleasesNever
	PrereleasesAlways
)

// Specifier is one condition on a version (PEP 440), such as ">=1.0". It is
// immutable.
type Specifier struct {
	operator string
	operand  string  // as it was written, without white space around it
	version  Version // of the operand without ".*"; zero for "==="
	wildcard bool    // "==1.0.*" or "!=1.0.*"
	below    Version // for "<": the least version that is not below the operand
}

// operators are all the comparison operators; one that begins with another one
// stands before it.
var operators = [...]string{"===", "~=", "==", "!=", "<=", ">=", "<", ">"}

// ParseSpecifier reads one condition: an operator of PEP 440 and a version. A
// local label and a trailing ".*" are for == and != only, "~=" needs two
// numbers at least, and "===" takes any text without white space, semicolons
// and closing parentheses. The limit that a Version has for the digits of one
// number does not hold here, as it does not in Python's packaging library.
func ParseSpecifier(s string) (Specifier, error) {
	trimmed := trimSpace(s)
	operand, n := scanSpecifier(trimmed)
	if n == 0 || n != len(trimmed) {
		return Specifier{}, fmt.Errorf("parse specifier %.80q: not a version specifier (PEP 440)", s)
	}
	spec := Specifier{operator: operatorOf(trimmed), operand: operand}
	if spec.operator == "===" {
		return spec, nil
	}
	base, wildcard := strings.CutSuffix(operand, ".*")
	version, _, err := readVersion(base)
	if err != nil {
		return Specifier{}, fmt.Errorf("parse specifier %.80q: %w", s, err)
	}
	spec.version, spec.wildcard = version, wildcard
	if spec.operator == "<" {
		spec.below = version
		if !version.IsPrerelease() {
			if spec.below, _, err = readVersion(version.text + ".dev0"); err != nil {
				return Specifier{}, fmt.Errorf("parse specifier %.80q: %w", s, err)
			}
		}
	}
	return spec, nil
}

// operatorOf returns the operator that s begins with, "" for none.
func operatorOf(s string) string {
	for _, op := range operators {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

// scanSpecifier reads the longest specifier that s begins with. It returns the
// operand and the length of the whole in bytes, 0 if there is none.
func scanSpecifier(s string) (operand string, n int) {
	op := operatorOf(s)
	if op == "" {
		return "", 0
	}
	rest := strings.TrimLeftFunc(s[len(op):], isSpace)
	start := len(s) - len(rest)
	if op == "===" {
		end := strings.IndexFunc(rest, func(r rune) bool { return isSpace(r) || r == ';' || r == ')' })
		if end < 0 {
			end = len(rest)
		}
		return rest[:end], start + end
	}
	parts, end := scanVersion(rest)
	equality := op == "==" || op == "!="
	switch {
	case end == 0:
		return "", 0
	case op == "~=" && !strings.Contains(parts.release, "."):
		return "", 0
	case !equality && parts.local != "":
		end -= len(parts.local) + len("+")
	case equality && parts.releaseOnly() && strings.HasPrefix(rest[end:], ".*"):
		end += len(".*")
	}
	return rest[:end], start + end
}

// String gives the operator and the operand as it was written.
func (s Specifier) String() string { return s.operator + s.operand }

// key is the same for specifiers that mean the same.
func (s Specifier) key() string {
	switch {
	case s.operator == "===" || s.wildcard:
		return s.String()
	case s.operator == "~=": // here a trailing zero has a meaning
		return s.operator + s.version.text
	default:
		return s.operator + s.version.Key()
	}
}

// namesPrerelease reports whether the specifier asks for pre-releases by naming
// one.
func (s Specifier) namesPrerelease() bool {
	if s.operator == "===" {
		version, err := ParseVersion(s.operand)
		return err == nil && version.IsPrerelease()
	}
	return s.operator != "!=" && s.version.IsPrerelease()
}

// candidate is what is held against a specifier: a version, and the text that
// stands for it where "===" compares letter by letter.
type candidate struct {
	text    string
	version Version
	known   bool // the text is a version
}

func versionCandidate(v Version) candidate {
	return candidate{text: v.text, version: v, known: !v.IsZero()}
}

func textCandidate(s string) candidate {
	v, err := ParseVersion(s)
	return candidate{text: s, version: v, known: err == nil}
}

func (c candidate) prerelease() bool { return c.known && c.version.IsPrerelease() }

// matches applies the rules of PEP 440, except those for pre-releases. Text
// that is not a version matches "===" only.
func (s Specifier) matches(c candidate) bool {
	if s.operator == "===" {
		// Not EqualFold, which takes some letters for one another that have
		// different lower cases.
		text, operand := strings.ToLower(c.text), strings.ToLower(s.operand)
		return text == operand
	}
	if !c.known {
		return false
	}
	v := c.version
	switch s.operator {
	case "==":
		return s.equals(v)
	case "!=":
		return !s.equals(v)
	case "<=":
		return v.comparePublic(s.version) <= 0
	case ">=":
		return v.Compare(s.version) >= 0
	case "<":
		return v.Compare(s.below) < 0
	case ">":
		return s.exceededBy(v)
	default: // ~=
		release := s.version.release()
		prefix := release[:strings.LastIndexByte(release, '.')]
		return v.Compare(s.version) >= 0 && v.hasReleasePrefix(s.version.epoch(), prefix)
	}
}

// equals is "==". Where the operand has no local label, that of v is ignored.
func (s Specifier) equals(v Version) bool {
	switch {
	case s.wildcard:
		return v.hasReleasePrefix(s.version.epoch(), s.version.release())
	case s.version.Local() != "":
		return v.Compare(s.version) == 0
	default:
		return v.comparePublic(s.version) == 0
	}
}

// exceededBy is ">". It leaves out local versions of the operand, and its
// post-releases unless it is one itself.
func (s Specifier) exceededBy(v Version) bool {
	w := s.version
	if v.comparePublic(w) <= 0 {
		return false
	}
	if w.hasDev() || w.hasPost() {
		return true
	}
	return v.epoch() != w.epoch() || compareRelease(v.release(), w.release()) != 0 || v.pre() != w.pre()
}

// Specifiers is a set of conditions that a version must meet together, such as
// ">=1.0,<2". It is immutable. The zero value is the empty set, which every
// version meets.
type Specifiers struct {
	list []Specifier // sorted by String, none twice
	rule Prereleases // where a call does not state one
}

// ParseSpecifiers reads conditions with commas between them; empty ones are
// ignored. It refuses the set if one of them is not sound, and more than 64 KiB.
func ParseSpecifiers(s string) (Specifiers, error) {
	if len(s) > maxSpecifiersLength {
		return Specifiers{}, fmt.Errorf("parse specifiers %.40q…: longer than %d bytes", s, maxSpecifiersLength)
	}
	var list []Specifier
	for part := range strings.SplitSeq(s, ",") {
		if trimSpace(part) == "" {
			continue
		}
		spec, err := ParseSpecifier(part)
		if err != nil {
			return Specifiers{}, err
		}
		list = append(list, spec)
	}
	return Specifiers{list: sortSpecifiers(list)}, nil
}

// sortSpecifiers puts the list in the order of its text and removes all but the
// first of those that mean the same.
func sortSpecifiers(list []Specifier) []Specifier {
	if len(list) < 2 {
		return list
	}
	slices.SortStableFunc(list, func(a, b Specifier) int { return strings.Compare(a.String(), b.String()) })
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(spec Specifier) bool {
		key := spec.key()
		again := seen[key]
		seen[key] = true
		return again
	})
}

// WithPrereleases returns the same set with a rule for the calls that pass
// PrereleasesIfNeeded.
func (s Specifiers) WithPrereleases(rule Prereleases) Specifiers {
	return Specifiers{list: s.list, rule: rule}
}

// IsEmpty reports whether the set has no conditions.
func (s Specifiers) IsEmpty() bool { return len(s.list) == 0 }

// String gives the conditions in the order of their text with commas between
// them, versions as they were written.
func (s Specifiers) String() string {
	parts := make([]string, len(s.list))
	for i, spec := range s.list {
		parts[i] = spec.String()
	}
	return strings.Join(parts, ",")
}

// Contains reports whether v meets all conditions. As v is all there is to
// choose from, a pre-release is refused by PrereleasesNever only.
func (s Specifiers) Contains(v Version, rule Prereleases) bool {
	return s.contains(versionCandidate(v), rule)
}

// ContainsText is Contains for a version as it was written. It differs for
// "===", which compares letter by letter, and which is met by text that is not
// a version at all, as is the empty set.
func (s Specifiers) ContainsText(version string, rule Prereleases) bool {
	return s.contains(textCandidate(version), rule)
}

func (s Specifiers) contains(c candidate, rule Prereleases) bool {
	if rule == PrereleasesIfNeeded {
		rule = s.rule
	}
	return s.matches(c) && (rule != PrereleasesNever || !c.prerelease())
}

func (s Specifiers) matches(c candidate) bool {
	for _, spec := range s.list {
		if !spec.matches(c) {
			return false
		}
	}
	return true
}

// Filter returns the versions that meet all conditions, in the order given.
func (s Specifiers) Filter(versions []Version, rule Prereleases) []Version {
	return filterCandidates(s, versions, versionCandidate, rule)
}

// FilterText is Filter for versions as they were written, see ContainsText.
func (s Specifiers) FilterText(versions []string, rule Prereleases) []string {
	return filterCandidates(s, versions, textCandidate, rule)
}

// FilterBy returns the items whose version meets all conditions, in the order
// given. Whether pre-releases are needed is decided over all the items.
func FilterBy[T any](s Specifiers, items []T, version func(T) Version, rule Prereleases) []T {
	return filterCandidates(s, items, func(item T) candidate { return versionCandidate(version(item)) }, rule)
}

func filterCandidates[T any](s Specifiers, items []T, of func(T) candidate, rule Prereleases) []T {
	var all, releases []T
	final := false
	for _, item := range items {
		c := of(item)
		if !s.matches(c) {
			continue
		}
		all = append(all, item)
		if !c.prerelease() {
			releases = append(releases, item)
			final = final || c.known
		}
	}
	switch s.ruleFor(rule) {
	case PrereleasesAlways:
		return all
	case PrereleasesNever:
		return releases
	default:
		if final {
			return releases
		}
		return all
	}
}

// ruleFor settles which rule holds: that of the call, that of the set, or the
// one that the conditions imply.
func (s Specifiers) ruleFor(rule Prereleases) Prereleases {
	if rule == PrereleasesIfNeeded {
		rule = s.rule
	}
	if rule == PrereleasesIfNeeded && slices.ContainsFunc(s.list, Specifier.namesPrerelease) {
		return PrereleasesAlways
	}
	return rule
}

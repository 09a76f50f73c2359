package pypi

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
)

const (
	// maxVersionLength bounds a version as it is written, in bytes. It keeps
	// every offset within 16 bits.
	maxVersionLength = 16 << 10

	// maxVersionDigits bounds one number of a version. It is the limit that
	// Python puts on a number that it reads, so that nothing is accepted here
	// that a client cannot read.
	maxVersionDigits = 4300
)

// Version is a version of a project in its normal form (PEP 440). It is
// immutable, and small enough to be passed by value.
//
// Versions that are equal may be written differently (1.0 and 1.0.0), so they
// are compared with Compare, and Key is what identifies one in a map. The zero
// value stands for "none".
type Version struct {
	// text is the normal form: [N!]N(.N)*[{a|b|rc}N][.postN][.devN][+local].
	// The numbers in it have no leading zeros, so they are compared where they
	// stand, however many digits they have.
	text string

	// Where each part ends in text. A part that is not there is empty.
	epochEnd   uint16 // after the exclamation mark
	releaseEnd uint16
	preEnd     uint16
	postEnd    uint16
	devEnd     uint16 // the local label, with its plus sign, follows
}

// ParseVersion reads a version in any of the spellings that PEP 440 allows:
// with a leading v, white space around it, capitals, other separators and the
// long names of the phases. It refuses everything else, a version of more than
// 16 KiB, and a number of more than 4,300 digits.
//
// The Version shares the memory of s where s is in normal form already.
func ParseVersion(s string) (Version, error) {
	v, longest, err := readVersion(s)
	if err == nil && longest > maxVersionDigits {
		err = fmt.Errorf("parse version %.40q…: a number of more than %d digits", s, maxVersionDigits)
	}
	if err != nil {
		return Version{}, err
	}
	return v, nil
}

// readVersion is ParseVersion without the limit for a number. It returns how
// many digits the longest number has.
func readVersion(s string) (v Version, longest int, err error) {
	trimmed := trimSpace(s)
	if len(s) <= maxVersionLength {
		parts, n := scanVersion(trimmed)
		if n == 0 || n != len(trimmed) {
			return Version{}, 0, fmt.Errorf("parse version %.80q: not a version (PEP 440)", s)
		}
		v, longest = parts.version(trimmed), parts.longest
	}
	// The normal form can be a little longer than what was written.
	if max(len(s), len(v.text)) > maxVersionLength {
		return Version{}, 0, fmt.Errorf("parse version %.40q…: longer than %d bytes", s, maxVersionLength)
	}
	return v, longest, nil
}

// String gives the normal form, in which trailing zeros of the release are kept.
func (v Version) String() string { return v.text }

// IsZero reports whether v is the zero value, which stands for "none".
func (v Version) IsZero() bool { return v.text == "" }

// IsPrerelease reports whether v comes before a release: an alpha, a beta, a
// release candidate or a development release.
func (v Version) IsPrerelease() bool { return v.hasPre() || v.hasDev() }

// IsPostrelease reports whether v is a post-release.
func (v Version) IsPostrelease() bool { return v.hasPost() }

// IsDevrelease reports whether v is a development release.
func (v Version) IsDevrelease() bool { return v.hasDev() }

// Local returns the local label without its plus sign, "" where there is none.
func (v Version) Local() string {
	if int(v.devEnd) == len(v.text) {
		return ""
	}
	return v.text[v.devEnd+1:]
}

// Key returns the normal form without trailing zeros in the release. Two
// versions have the same key exactly if Compare finds them equal.
func (v Version) Key() string {
	release := v.release()
	for strings.HasSuffix(release, ".0") {
		release = release[:len(release)-2]
	}
	if len(release) == len(v.release()) {
		return v.text
	}
	return v.text[:int(v.epochEnd)+len(release)] + v.text[v.releaseEnd:]
}

// Compare returns -1, 0 or 1 as v comes before w, is equal to it, or comes
// after it in the order of PEP 440.
func (v Version) Compare(w Version) int {
	if v.text == w.text {
		return 0
	}
	if c := v.comparePublic(w); c != 0 {
		return c
	}
	return compareLocal(v.Local(), w.Local())
}

// comparePublic is Compare without the local labels.
func (v Version) comparePublic(w Version) int {
	if c := compareNumbers(v.epoch(), w.epoch()); c != 0 {
		return c
	}
	if c := compareRelease(v.release(), w.release()); c != 0 {
		return c
	}
	if c := cmp.Compare(v.preRank(), w.preRank()); c != 0 {
		return c
	}
	if c := compareNumbers(v.preNumber(), w.preNumber()); c != 0 {
		return c
	}
	// No post number comes before every post number, and no dev number after
	// every dev number.
	if c := compareNumbers(v.postNumber(), w.postNumber()); c != 0 {
		return c
	}
	if v.hasDev() != w.hasDev() {
		if v.hasDev() {
			return -1
		}
		return 1
	}
	return compareNumbers(v.devNumber(), w.devNumber())
}

func (v Version) hasPre() bool  { return v.preEnd > v.releaseEnd }
func (v Version) hasPost() bool { return v.postEnd > v.preEnd }
func (v Version) hasDev() bool  { return v.devEnd > v.postEnd }

// epoch returns the digits of the epoch, "" for epoch 0.
func (v Version) epoch() string {
	if v.epochEnd == 0 {
		return ""
	}
	return v.text[:v.epochEnd-1]
}

func (v Version) release() string { return v.text[v.epochEnd:v.releaseEnd] }

// pre returns the phase with its number, such as "rc1", or "".
func (v Version) pre() string { return v.text[v.releaseEnd:v.preEnd] }

func (v Version) preNumber() string  { return strings.TrimLeft(v.pre(), "abrc") }
func (v Version) postNumber() string { return strings.TrimPrefix(v.text[v.preEnd:v.postEnd], ".post") }
func (v Version) devNumber() string  { return strings.TrimPrefix(v.text[v.postEnd:v.devEnd], ".dev") }

// preRank orders the phases of one release: a development release of the
// release itself comes first, the release and its post-releases come last.
func (v Version) preRank() int {
	switch {
	case v.hasPre():
		return strings.IndexByte(" abr", v.text[v.releaseEnd])
	case v.hasDev() && !v.hasPost():
		return 0
	default:
		return 4
	}
}

// hasReleasePrefix reports whether v has this epoch and begins with the numbers
// of this release; a number that v does not have counts as zero.
func (v Version) hasReleasePrefix(epoch, prefix string) bool {
	if v.epoch() != epoch {
		return false
	}
	release := v.release()
	for more := true; more; {
		var want, have string
		want, prefix, more = strings.Cut(prefix, ".")
		have, release, _ = strings.Cut(release, ".")
		if have == "" {
			have = "0"
		}
		if want != have {
			return false
		}
	}
	return true
}

// compareNumbers compares two numbers that have no leading zeros; "" comes first.
func compareNumbers(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// compareRelease compares dotted numbers; the shorter one counts as if it were
// filled up with zeros.
func compareRelease(a, b string) int {
	for a != "" || b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if x == y {
			continue
		}
		if x == "" {
			x = "0"
		}
		if y == "" {
			y = "0"
		}
		if c := compareNumbers(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// compareLocal compares two local labels: none comes first, then part by part,
// where a number comes after a word and a longer label after its own prefix.
func compareLocal(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if x == y {
			continue
		}
		xNumber, yNumber := isNumber(x), isNumber(y)
		switch {
		case xNumber && yNumber:
			return compareNumbers(x, y)
		case xNumber:
			return 1
		case yNumber:
			return -1
		default:
			return strings.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// trimSpace removes white space as Python's str.strip does, which also takes
// the four ASCII separators for white space.
func trimSpace(s string) string { return strings.TrimFunc(s, isSpace) }

func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

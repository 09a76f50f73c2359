package pypi

import (
	"fmt"
	"strings"
)

// MaxNameLength is the longest project name that is accepted, in bytes. PyPI's
// own limit is 80; other indexes allow more, file systems and keys do not.
const MaxNameLength = 200

// Name is a project name in its normal form (PEP 503): lower-case letters,
// digits and single hyphens, beginning and ending with a letter or a digit.
// Every Name that was made by ParseName is safe in a path, a URL and a key.
type Name string

// ParseName checks a project name against the grammar of the core metadata
// specification (ASCII letters, digits, `-`, `_`, `.`; first and last are
// letters or digits) and returns its normal form.
func ParseName(s string) (Name, error) {
	if s == "" {
		return "", fmt.Errorf("parse project name: it is empty")
	}
	if len(s) > MaxNameLength {
		return "", fmt.Errorf("parse project name %.40q…: longer than %d bytes", s, MaxNameLength)
	}
	var b strings.Builder
	b.Grow(len(s))
	run := false // inside a run of separators
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '-' || c == '_' || c == '.':
			if i == 0 || i == len(s)-1 {
				return "", fmt.Errorf("parse project name %q: begins or ends with %q", s, c)
			}
			run = true
			continue
		default:
			return "", fmt.Errorf("parse project name %q: the character %q is not allowed", s, rune(c))
		}
		if run {
			b.WriteByte('-')
			run = false
		}
		b.WriteByte(c)
	}
	return Name(b.String()), nil
}

func (n Name) String() string { return string(n) }

package pypi

import (
	"fmt"
	"strings"
)

// NamePattern matches project names in their normal form: a name, in which each
// `*` stands for any run of characters, also for none.
type NamePattern string

// ParseNamePattern reads a pattern and brings it into the normal form of names, so
// that Acme_* matches what acme-* does. It must begin with a letter or a digit:
// what matches everything is no description of names that are somebody's own.
func ParseNamePattern(s string) (NamePattern, error) {
	plain := strings.ReplaceAll(s, "*", "")
	if plain == "" || strings.HasPrefix(s, "*") {
		return "", fmt.Errorf("parse pattern of names %.40q: it does not begin with a letter or a digit", s)
	}
	// A letter beside each star and at the end keeps separators there from being
	// at an end of a name.
	const star = "0star0"
	normal, err := ParseName(strings.ReplaceAll(s, "*", star))
	if err != nil || strings.Contains(strings.ToLower(plain), star) {
		return "", fmt.Errorf("parse pattern of names %.40q: it is no name with stars in it, such as acme-*", s)
	}
	return NamePattern(strings.ReplaceAll(string(normal), star, "*")), nil
}

// Match reports whether a name matches.
func (p NamePattern) Match(n Name) bool {
	first, rest, starred := strings.Cut(string(p), "*")
	text, ok := strings.CutPrefix(string(n), first)
	if !ok || !starred {
		return ok && text == ""
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(part):], after
	}
}

// Prefix is what every name that matches begins with.
func (p NamePattern) Prefix() string {
	prefix, _, _ := strings.Cut(string(p), "*")
	return prefix
}

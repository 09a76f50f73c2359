package pypi

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxRequirementLength bounds a requirement or a marker as it is written, in
// bytes. The longest ones on PyPI have some 2,000.
const maxRequirementLength = 64 << 10

// lexer walks through a requirement or a marker (PEP 508). Between its tokens
// only spaces and tabs are allowed; no line ends.
type lexer struct {
	source string
	at     int
}

// newLexer refuses text that is too long or not UTF-8; what names the thing
// that is parsed.
func newLexer(what, source string) (*lexer, error) {
	if len(source) > maxRequirementLength {
		return nil, fmt.Errorf("parse %s %.40q…: longer than %d bytes", what, source, maxRequirementLength)
	}
	if !utf8.ValidString(source) {
		return nil, fmt.Errorf("parse %s %.80q: not UTF-8", what, source)
	}
	return &lexer{source: source}, nil
}

func (l *lexer) rest() string { return l.source[l.at:] }

func (l *lexer) atEnd() bool { return l.at == len(l.source) }

// next returns the byte that comes next, 0 at the end.
func (l *lexer) next() byte {
	if l.atEnd() {
		return 0
	}
	return l.source[l.at]
}

// blank moves beyond spaces and tabs and reports whether there were any.
func (l *lexer) blank() bool {
	start := l.at
	for c := l.next(); c == ' ' || c == '\t'; c = l.next() {
		l.at++
	}
	return l.at > start
}

// accept moves beyond c if it comes next.
func (l *lexer) accept(c byte) bool {
	if l.atEnd() || l.source[l.at] != c {
		return false
	}
	l.at++
	return true
}

// acceptWord moves beyond the word if it comes next and ends there.
func (l *lexer) acceptWord(word string) bool {
	rest, ok := strings.CutPrefix(l.rest(), word)
	if !ok || rest != "" && isWordByte(rest[0]) {
		return false
	}
	l.at += len(word)
	return true
}

// identifier reads the name of a project or an extra: letters, digits and the
// three separators, beginning with a letter or a digit and not ending with a
// dot or a hyphen. It returns "" if there is none.
func (l *lexer) identifier() string {
	rest := l.rest()
	n := 0
	for n < len(rest) && (isAlphanumeric(rest[n]) || n > 0 && isSeparator(rest[n])) {
		n++
	}
	if n == 0 || rest[n-1] == '.' || rest[n-1] == '-' {
		return ""
	}
	l.at += n
	return rest[:n]
}

// wanted is the error for something else at the present place.
func (l *lexer) wanted(what string) error {
	if l.atEnd() {
		return fmt.Errorf("%s wanted at the end", what)
	}
	return fmt.Errorf("%s wanted at %.20q", what, l.rest())
}

// isWordByte reports whether c can stand within a word of the grammar.
func isWordByte(c byte) bool { return isAlphanumeric(c) || c == '_' }

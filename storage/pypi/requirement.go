package pypi

import (
	"fmt"
	"slices"
	"strings"
)

// Requirement is one dependency of a project (PEP 508), such as
// `requests[socks]>=2.8; python_version < "3.12"`.
type Requirement struct {
	Name       Name
	RawName    string   // as it was written
	Extras     []string // as they were written, sorted, none twice
	Specifiers Specifiers
	URL        string  // where the project is to be had ("name @ URL"), or ""
	Marker     *Marker // nil where there is none
}

// ParseRequirement reads a dependency specifier (PEP 508). It has either
// specifiers, in parentheses or not, or a URL, and spaces and tabs may stand
// between its parts. It refuses more than 64 KiB, and names that no project can
// have.
func ParseRequirement(s string) (Requirement, error) {
	l, err := newLexer("requirement", s)
	if err != nil {
		return Requirement{}, err
	}
	r, err := l.requirement()
	if err != nil {
		return Requirement{}, fmt.Errorf("parse requirement %.200q: %w", s, err)
	}
	return r, nil
}

func (l *lexer) requirement() (r Requirement, err error) {
	l.blank()
	if r.RawName = l.identifier(); r.RawName == "" {
		return r, l.wanted("the name of a project")
	}
	if r.Name, err = ParseName(r.RawName); err != nil {
		return r, err
	}
	l.blank()
	if r.Extras, err = l.extras(); err != nil {
		return r, err
	}
	l.blank()
	if l.accept('@') {
		l.blank()
		if r.URL = l.url(); r.URL == "" {
			return r, l.wanted("a URL")
		}
	} else if r.Specifiers, err = l.specifiers(); err != nil {
		return r, err
	}
	l.blank()
	if l.accept(';') {
		if r.Marker, err = l.marker(); err != nil {
			return r, err
		}
	}
	if !l.atEnd() {
		return r, l.wanted("the end")
	}
	return r, nil
}

// extras reads names in brackets with commas between them, if there are any.
func (l *lexer) extras() ([]string, error) {
	if !l.accept('[') {
		return nil, nil
	}
	var extras []string
	l.blank()
	for more := l.next() != ']'; more; {
		extra := l.identifier()
		if extra == "" {
			return nil, l.wanted("the name of an extra")
		}
		extras = append(extras, extra)
		l.blank()
		if more = l.accept(','); more {
			l.blank()
		}
	}
	if !l.accept(']') {
		return nil, l.wanted("a comma or a closing bracket")
	}
	slices.Sort(extras)
	return slices.Compact(extras), nil
}

// url reads up to the next blank. A semicolon right after it is part of it.
func (l *lexer) url() string {
	rest := l.rest()
	if end := strings.IndexAny(rest, " \t"); end >= 0 {
		rest = rest[:end]
	}
	l.at += len(rest)
	return rest
}

// specifiers reads specifiers with commas between them, with or without
// parentheses around them. There may be none.
func (l *lexer) specifiers() (Specifiers, error) {
	parentheses := l.accept('(')
	l.blank()
	start := l.at
	for {
		_, n := scanSpecifier(l.rest())
		l.at += n
		if n == 0 {
			break
		}
		l.blank()
		if !l.accept(',') {
			break
		}
		l.blank()
	}
	text := l.source[start:l.at]
	l.blank()
	if parentheses && !l.accept(')') {
		return Specifiers{}, l.wanted("a comma or a closing parenthesis")
	}
	return ParseSpecifiers(text)
}

// Wanted reports whether the requirement applies in the environment when the
// project that states it is installed with these extras. One whose marker
// cannot be evaluated applies, as a mirror should rather hold too much.
func (r Requirement) Wanted(env Environment, extras []string) bool {
	met, err := r.Marker.Evaluate(env, extras)
	return met || err != nil
}

// String gives the requirement in the form that ParseRequirement reads, with
// the name and the extras as they were written.
func (r Requirement) String() string {
	var b strings.Builder
	b.WriteString(r.RawName)
	if r.RawName == "" {
		b.WriteString(string(r.Name))
	}
	if len(r.Extras) > 0 {
		b.WriteString("[" + strings.Join(r.Extras, ",") + "]")
	}
	b.WriteString(r.Specifiers.String())
	if r.URL != "" {
		b.WriteString(" @ " + r.URL)
		if r.Marker != nil {
			b.WriteByte(' ')
		}
	}
	if r.Marker != nil {
		b.WriteString("; " + r.Marker.String())
	}
	return b.String()
}

package pypi

import (
	"fmt"
	"strings"
)

// maxMarkerDepth bounds the parentheses within parentheses of a marker.
const maxMarkerDepth = 100

// Marker is a condition on the environment of an installation (PEP 508), such
// as `python_version < "3.11" and extra == "test"`. It is immutable. A nil
// Marker is always met.
type Marker struct {
	expression markerGroup
}

// markerGroup is a row of terms; "and" binds them more tightly than "or".
type markerGroup []markerTerm

// markerTerm is a comparison or a group in parentheses.
type markerTerm struct {
	or         bool        // "or" stands before it; else "and", or it is the first
	group      markerGroup // of two terms at least; nil for a comparison
	comparison comparison
}

// comparison is an operator between two operands.
type comparison struct {
	operator    string // as in PEP 508: "==", "in", "not in" …
	left, right operand
}

// operand is the name of a variable, or text in quotes.
type operand struct {
	variable bool
	text     string // the variable's name with underscores, or the text itself
}

// markerVariables maps every spelling of a variable to its name. The ones with
// dots are those of PEP 345.
var markerVariables = map[string]string{
	"python_version":                 "python_version",
	"python_full_version":            "python_full_version",
	"os_name":                        "os_name",
	"os.name":                        "os_name",
	"sys_platform":                   "sys_platform",
	"sys.platform":                   "sys_platform",
	"platform_release":               "platform_release",
	"platform_system":                "platform_system",
	"platform_version":               "platform_version",
	"platform.version":               "platform_version",
	"platform_machine":               "platform_machine",
	"platform.machine":               "platform_machine",
	"platform_python_implementation": "platform_python_implementation",
	"platform.python_implementation": "platform_python_implementation",
	"python_implementation":          "platform_python_implementation",
	"implementation_name":            "implementation_name",
	"implementation_version":         "implementation_version",
	"extra":                          "extra",
	"extras":                         "extras",
	"dependency_groups":              "dependency_groups",
}

// ParseMarker reads a marker. It refuses variables that PEP 508 and the lock
// file format (PEP 751) do not know, more than 100 parentheses within one
// another, and more than 64 KiB.
//
// Text in quotes follows the rules of Python's string literals, except that
// characters cannot be given by their Unicode name (`\N{…}`).
func ParseMarker(s string) (*Marker, error) {
	l, err := newLexer("marker", s)
	if err != nil {
		return nil, err
	}
	m, err := l.marker()
	if err == nil && !l.atEnd() {
		err = l.wanted("and, or, or the end")
	}
	if err != nil {
		return nil, fmt.Errorf("parse marker %.200q: %w", s, err)
	}
	return m, nil
}

// marker reads a whole marker and leaves what follows it.
func (l *lexer) marker() (*Marker, error) {
	group, err := l.markerGroup(0)
	if err != nil {
		return nil, err
	}
	return &Marker{expression: group}, nil
}

// markerGroup reads terms with "and" and "or" between them. Parentheses around
// a single term are dropped: they mean nothing.
func (l *lexer) markerGroup(depth int) (markerGroup, error) {
	var group markerGroup
	for or := false; ; {
		term, err := l.markerTerm(depth)
		if err != nil {
			return nil, err
		}
		term.or = or
		group = append(group, term)
		switch {
		case l.acceptWord("and"):
			or = false
		case l.acceptWord("or"):
			or = true
		case len(group) == 1 && term.group != nil:
			return term.group, nil
		default:
			return group, nil
		}
	}
}

// markerTerm reads a comparison or a group in parentheses, and the blanks
// around it.
func (l *lexer) markerTerm(depth int) (markerTerm, error) {
	l.blank()
	defer l.blank()
	if !l.accept('(') {
		c, err := l.comparison()
		return markerTerm{comparison: c}, err
	}
	if depth == maxMarkerDepth {
		return markerTerm{}, fmt.Errorf("more than %d parentheses within one another", maxMarkerDepth)
	}
	group, err := l.markerGroup(depth + 1)
	if err != nil {
		return markerTerm{}, err
	}
	if !l.accept(')') {
		return markerTerm{}, l.wanted("and, or, or a closing parenthesis")
	}
	if len(group) == 1 {
		return group[0], nil
	}
	return markerTerm{group: group}, nil
}

// comparison reads an operator between two operands.
func (l *lexer) comparison() (c comparison, err error) {
	if c.left, err = l.operand(); err != nil {
		return c, err
	}
	l.blank()
	if c.operator, err = l.operator(); err != nil {
		return c, err
	}
	l.blank()
	if c.right, err = l.operand(); err != nil {
		return c, err
	}
	c.normalizeExtras()
	return c, nil
}

// operator reads a comparison operator of PEP 508.
func (l *lexer) operator() (string, error) {
	if l.acceptWord("in") {
		return "in", nil
	}
	if l.acceptWord("not") {
		if l.blank() && l.acceptWord("in") {
			return "not in", nil
		}
		return "", l.wanted(`"in" after "not"`)
	}
	op := operatorOf(l.rest())
	if op == "" {
		return "", l.wanted("a comparison operator")
	}
	l.at += len(op)
	return op, nil
}

// operand reads a variable or text in quotes.
func (l *lexer) operand() (operand, error) {
	rest := l.rest()
	if quote := l.next(); quote == '"' || quote == '\'' {
		end := strings.IndexByte(rest[1:], quote)
		if end < 0 {
			return operand{}, l.wanted("a closing quote")
		}
		text, err := pythonString(rest[1 : end+1])
		if err != nil {
			return operand{}, err
		}
		l.at += end + 2
		return operand{text: text}, nil
	}
	n := 0
	for n < len(rest) && (isWordByte(rest[n]) || rest[n] == '.') {
		n++
	}
	name, ok := markerVariables[rest[:n]]
	if !ok {
		return operand{}, l.wanted("a marker variable or text in quotes")
	}
	l.at += n
	return operand{variable: true, text: name}, nil
}

// normalizeExtras puts text that is compared with extras or dependency groups
// into normal form (PEP 685, PEP 735).
func (c *comparison) normalizeExtras() {
	if c.left.variable && c.left.text == "extra" && !c.right.variable {
		c.right.text = NormalizeExtra(c.right.text)
	}
	if c.right.variable && !c.left.variable {
		switch c.right.text {
		case "extra", "extras", "dependency_groups":
			c.left.text = NormalizeExtra(c.left.text)
		}
	}
}

// NormalizeExtra gives the normal form of the name of an extra or a dependency
// group (PEP 685): lower case, with a single hyphen for each run of separators.
// It checks nothing: a marker may compare with any text.
func NormalizeExtra(s string) string {
	var b strings.Builder
	run := false
	for _, r := range strings.ToLower(s) {
		separator := r == '-' || r == '_' || r == '.'
		if separator && run {
			continue
		}
		if run = separator; separator {
			r = '-'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// String gives the marker in normal form: variables with underscores, text in
// double quotes where it can be, parentheses where they mean something. It is
// "" for a nil Marker.
func (m *Marker) String() string {
	if m == nil {
		return ""
	}
	var b strings.Builder
	m.expression.write(&b)
	return b.String()
}

func (g markerGroup) write(b *strings.Builder) {
	for i, term := range g {
		switch {
		case i == 0:
		case term.or:
			b.WriteString(" or ")
		default:
			b.WriteString(" and ")
		}
		if term.group == nil {
			term.comparison.write(b)
			continue
		}
		b.WriteByte('(')
		term.group.write(b)
		b.WriteByte(')')
	}
}

func (c comparison) write(b *strings.Builder) {
	c.left.write(b)
	b.WriteString(" " + c.operator + " ")
	c.right.write(b)
}

func (o operand) write(b *strings.Builder) {
	if o.variable {
		b.WriteString(o.text)
		return
	}
	b.WriteString(quotePythonString(o.text))
}

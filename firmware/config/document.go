package config

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a TOML document as a flat list, in the order in which it was
// written. The decoder of the TOML library stops at the first value of a wrong
// type and forgets where the good ones stood; this package reports all problems
// at once and checks more than types, so it keeps the places.
type document struct {
	data    []byte
	entries []entry
}

// entry is one header of a table, or one key with its value.
type entry struct {
	path  []string // from the root of the document
	at    int      // offset of the key, or of the first part of the header's name
	value value    // of kind Table or ArrayTable for a header
}

// value is one TOML value. For text from a variable or a flag that is no TOML,
// the kind is Invalid.
type value struct {
	kind   unstable.Kind
	text   string  // a string without its quotes; other scalars as they were written
	items  []value // of an Array
	fields []entry // of an InlineTable, with their full paths
	at     int     // offset in the document
}

// readDocument splits a document, or says where it stops being TOML.
func readDocument(data []byte) (document, *Problem) {
	// The library's own decoder goes first: it finds what the parser lets
	// through, such as keys that are set twice.
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return document{}, syntaxProblem(data, err)
	}
	d := document{data: data}
	var parser unstable.Parser
	parser.Reset(data)
	var table []string
	for parser.NextExpression() {
		node := parser.Expression()
		if node.Kind == unstable.KeyValue {
			d.entries = append(d.entries, d.keyValue(node, table, 0))
			continue
		}
		path, first, _ := keyPath(node.Key())
		table = path
		d.entries = append(d.entries, entry{path: path, at: first, value: value{kind: node.Kind, at: first}})
	}
	if err := parser.Error(); err != nil {
		return document{}, syntaxProblem(data, err)
	}
	return d, nil
}

// keyPath returns the parts of a key, the offset where it begins, and the
// offset where it ends.
func keyPath(key unstable.Iterator) (path []string, first, end int) {
	for key.Next() {
		part := key.Node()
		if path == nil {
			first = int(part.Raw.Offset)
		}
		path = append(path, string(part.Data))
		end = int(part.Raw.Offset) + int(part.Raw.Length)
	}
	return path, first, end
}

// keyValue copies an expression out of the parser, whose nodes live only until
// the next one.
func (d document) keyValue(node *unstable.Node, table []string, around int) entry {
	path, first, end := keyPath(node.Key())
	full := append(append(make([]string, 0, len(table)+len(path)), table...), path...)
	return entry{path: full, at: first, value: d.value(node.Value(), full, max(d.afterEquals(end), around))}
}

// afterEquals returns where the value begins whose key ends at the offset. The
// parser does not record it for arrays.
func (d document) afterEquals(end int) int {
	rest := bytes.TrimLeft(d.data[end:], " \t")
	rest = bytes.TrimLeft(bytes.TrimPrefix(rest, []byte("=")), " \t")
	return len(d.data) - len(rest)
}

func (d document) value(node *unstable.Node, path []string, at int) value {
	if node.Raw.Length > 0 {
		at = int(node.Raw.Offset)
	}
	v := value{kind: node.Kind, text: string(node.Data), at: at}
	switch node.Kind {
	case unstable.Array:
		for it := node.Children(); it.Next(); {
			v.items = append(v.items, d.value(it.Node(), path, at))
		}
	case unstable.InlineTable:
		for it := node.Children(); it.Next(); {
			v.fields = append(v.fields, d.keyValue(it.Node(), path, at))
		}
	}
	return v
}

// parseValue reads text as one TOML value; ok is false where it is not one.
func parseValue(text string) (v value, ok bool) {
	d, problem := readDocument([]byte("x = " + text))
	if problem != nil || len(d.entries) != 1 {
		return value{}, false
	}
	return d.entries[0].value, true
}

// syntaxProblem turns an error of the TOML library into a Problem.
func syntaxProblem(data []byte, err error) *Problem {
	reason := strings.TrimPrefix(err.Error(), "toml: ")
	p := &Problem{Line: 1, Column: 1}
	var at *toml.DecodeError
	if errors.As(err, &at) {
		line, column := at.Position() // in bytes
		for range line - 1 {
			_, data, _ = bytes.Cut(data, []byte("\n"))
		}
		offset := min(max(column-1, 0), len(data))
		p.Line, p.Column = line, 1+utf8.RuneCount(data[:offset])
		reason += syntaxHint(reason, string(data[offset:min(offset+16, len(data))]))
	}
	p.Reason = "not TOML: " + oneLine(reason)
	return p
}

// syntaxHint says what to do about the mistakes of those who write TOML for the
// first time. The text is what stands at the place of the mistake.
func syntaxHint(reason, text string) string {
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case strings.ContainsRune("“”„‘’«»", first):
		return `; use straight quotes (")`
	case strings.HasPrefix(text, "True") || strings.HasPrefix(text, "False"):
		return "; write true or false"
	case strings.Contains(reason, "escape"):
		return `; write a Windows path in single quotes, as in 'D:\packages'`
	case strings.Contains(reason, "start of value") || strings.Contains(reason, "must be quoted"):
		return `; text stands in quotes, as in "6h"`
	default:
		return ""
	}
}

// lines holds the offsets at which the lines of a document begin.
type lines []int

func linesOf(data []byte) lines {
	starts := lines{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// position turns an offset into a line and a column, both from 1.
func (l lines) position(data []byte, offset int) (line, column int) {
	line = sort.SearchInts(l, offset+1)
	return line, 1 + utf8.RuneCount(data[l[line-1]:offset])
}

// joinPath writes a key with dots, quoting the parts that TOML would quote, so
// that no name can pass for another.
func joinPath(path []string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		if isBareKey(part) {
			parts[i] = part
		} else {
			parts[i] = shorten(quote(part))
		}
	}
	return strings.Join(parts, ".")
}

func isBareKey(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxSuggestLength
}

// quote writes s as a basic string of TOML, on one line.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// oneLine replaces what could break a line or disturb a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || 0x7f <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}

// shorten cuts text that is too long for a message.
func shorten(s string) string {
	const most = 80 // characters
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}

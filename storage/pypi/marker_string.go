package pypi

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// pythonString reads what stands between the quotes of a string literal of
// Python, which is what packaging tools take the text of a marker for. An
// escape that Python does not know stands for itself, backslash included.
func pythonString(s string) (string, error) {
	if strings.ContainsAny(s, "\x00\r\n") && !strings.Contains(s, "\\") {
		return "", fmt.Errorf("text in quotes contains a control character")
	}
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		switch s[i] {
		case 0, '\r', '\n':
			return "", fmt.Errorf("text in quotes contains a control character")
		case '\\':
			n, err := writeEscape(&b, s[i:])
			if err != nil {
				return "", err
			}
			i += n
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return b.String(), nil
}

// simpleEscapes are the escapes of one letter.
var simpleEscapes = map[byte]byte{
	'\\': '\\', '\'': '\'', '"': '"', 'a': '\a', 'b': '\b', 'f': '\f',
	'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
}

// writeEscape writes what the escape at the beginning of s stands for, and
// returns the length of the escape.
func writeEscape(b *strings.Builder, s string) (int, error) {
	if len(s) == 1 {
		return 0, fmt.Errorf("text in quotes ends with a backslash")
	}
	if c, ok := simpleEscapes[s[1]]; ok {
		b.WriteByte(c)
		return 2, nil
	}
	switch s[1] {
	case '\n':
		return 2, nil // goes on in the next line
	case '\r':
		if strings.HasPrefix(s[2:], "\n") {
			return 3, nil
		}
		return 2, nil
	case 'x':
		return writeCodePoint(b, s, 2, 2, 16)
	case 'u':
		return writeCodePoint(b, s, 2, 4, 16)
	case 'U':
		return writeCodePoint(b, s, 2, 8, 16)
	case 'N':
		return 0, fmt.Errorf(`the escape \N is not supported`)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		n := 1
		for n < 3 && n+1 < len(s) && '0' <= s[n+1] && s[n+1] <= '7' {
			n++
		}
		return writeCodePoint(b, s, 1, n, 8)
	}
	b.WriteByte('\\') // what follows is read as it stands
	return 1, nil
}

// writeCodePoint writes the character whose number stands in s at start, in
// that many digits.
func writeCodePoint(b *strings.Builder, s string, start, digits, base int) (int, error) {
	end := start + digits
	if len(s) < end {
		return 0, fmt.Errorf("the escape %.12q is cut short", s)
	}
	n, err := strconv.ParseUint(s[start:end], base, 32)
	if err != nil {
		return 0, fmt.Errorf("the escape %.12q is not a number", s[:end])
	}
	if n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return 0, fmt.Errorf("the escape %.12q is not a character", s[:end])
	}
	b.WriteRune(rune(n))
	return end, nil
}

// quotePythonString writes text so that pythonString reads it back. It uses
// double quotes unless only single ones spare an escape; as the grammar of
// markers ends text at the next quote whatever stands before it, a quote within
// the text is written by its number.
func quotePythonString(s string) string {
	quote := byte('"')
	if strings.Contains(s, `"`) && !strings.Contains(s, `'`) {
		quote = '\''
	}
	b := []byte{quote}
	for i := range len(s) {
		switch c := s[i]; c {
		case 0, '\r', '\n', quote:
			b = fmt.Appendf(b, `\x%02x`, c)
		case '\\':
			b = append(b, `\\`...)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, quote))
}

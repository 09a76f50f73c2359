package pypi

import (
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// number takes a number and returns it as it stands. The bytes are good until
// the next call.
func (r *jsonReader) number() ([]byte, error) {
	r.mark = r.pos
	i := r.pos
	for {
		for i < len(r.buf) && isNumberByte(r.buf[i]) {
			i++
		}
		if i < len(r.buf) {
			break
		}
		have := i - r.mark
		err := r.more()
		i = r.mark + have // the bytes may have moved, also where no more came
		if errors.Is(err, ErrTruncated) {
			break // a number may end with the text
		}
		if err != nil {
			return nil, err
		}
	}
	num := r.buf[r.mark:i]
	if !validNumber(num) {
		return nil, r.bad("a value that is not one")
	}
	r.pos = i
	return num, nil
}

func isNumberByte(c byte) bool {
	return '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// validNumber checks the grammar: -? (0|[1-9][0-9]*) (.[0-9]+)? ([eE][+-]?[0-9]+)?
func validNumber(b []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(b) && '0' <= b[n] && b[n] <= '9' {
			n++
		}
		b = b[n:]
		return n > 0
	}
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) > 0 && b[0] == '0' {
		b = b[1:]
	} else if !digits() {
		return false
	}
	if len(b) > 0 && b[0] == '.' {
		b = b[1:]
		if !digits() {
			return false
		}
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(b) == 0
}

// unescapeJSON resolves the escapes of a string whose form was checked. A half
// of a surrogate pair becomes U+FFFD.
func unescapeJSON(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		switch c = raw[i+1]; c {
		case 'u':
			r, n := unicodeEscape(raw[i:])
			out = utf8.AppendRune(out, r)
			i += n
			continue
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		}
		out = append(out, c)
		i += 2
	}
	return out
}

// unicodeEscape reads \uXXXX, or a pair of them, and its length.
func unicodeEscape(raw []byte) (rune, int) {
	unit := func(b []byte) (u rune) {
		for _, c := range b[2:6] {
			h, _ := hexValue(c)
			u = u<<4 | rune(h)
		}
		return u
	}
	u := unit(raw)
	if !utf16.IsSurrogate(u) {
		return u, 6
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if pair := utf16.DecodeRune(u, unit(raw[6:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

func hexValue(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

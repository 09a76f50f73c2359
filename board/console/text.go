package console

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text fit for one line of a terminal: what would move the cursor, change
// colours or turn the direction of the writing becomes a question mark. Names and
// reasons come from strangers.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// ascii writes JSON in ASCII: what is beyond becomes an escape, so that no terminal and
// no line noise can make anything else of it.
func ascii(raw []byte) []byte {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(raw))
	unit := func(u uint16) {
		out = append(out, '\\', 'u', digits[u>>12], digits[u>>8&15], digits[u>>4&15], digits[u&15])
	}
	for _, r := range string(raw) {
		switch {
		case r >= ' ' && r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			r -= 0x10000
			unit(0xd800 + uint16(r>>10))
			unit(0xdc00 + uint16(r&0x3ff))
		default:
			unit(uint16(r))
		}
	}
	return out
}

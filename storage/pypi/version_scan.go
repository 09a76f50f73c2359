package pypi

import "strings"

// versionParts are the parts of one version as they were written.
type versionParts struct {
	epoch, release        string // digits; dotted digits
	pre, post, dev        string // "a", "b", "rc"; "post"; "dev"; "" for none
	preNumber, postNumber string // digits, "" where the number was left out
	devNumber, local      string // the local label without its plus sign
	longest               int    // digits of the longest number
}

// releaseOnly reports whether nothing follows the release.
func (p *versionParts) releaseOnly() bool {
	return p.pre == "" && p.post == "" && p.dev == "" && p.local == ""
}

// versionWord is one spelling of a phase and its normal form.
type versionWord struct{ spelling, normal string }

// scanVersion reads the longest version that s begins with (PEP 440, appendix
// B) and returns its length in bytes, 0 if s does not begin with one.
func scanVersion(s string) (versionParts, int) {
	var p versionParts
	c := versionScanner{s: s}
	if c.i < len(s) && lower(s[c.i]) == 'v' {
		c.i++
	}
	first := c.digits()
	if first == "" {
		return p, 0
	}
	if c.i+1 < len(s) && s[c.i] == '!' && isDigit(s[c.i+1]) {
		p.epoch = first
		c.i++
		first = c.digits()
	}
	start := c.i - len(first)
	for c.i+1 < len(s) && s[c.i] == '.' && isDigit(s[c.i+1]) {
		c.i++
		c.digits()
	}
	p.release = s[start:c.i]
	if c.i < len(s) {
		c.suffixes(&p)
	}
	p.longest = c.longest
	return p, c.i
}

// versionScanner walks through one version.
type versionScanner struct {
	s       string
	i       int
	longest int // digits of the longest number so far
}

// suffixes reads all that may follow the release.
func (c *versionScanner) suffixes(p *versionParts) {
	// A spelling that begins with another one stands before it.
	p.pre, p.preNumber = c.phase([]versionWord{
		{"alpha", "a"}, {"a", "a"}, {"beta", "b"}, {"b", "b"},
		{"preview", "rc"}, {"pre", "rc"}, {"c", "rc"}, {"rc", "rc"},
	})
	if c.i+1 < len(c.s) && c.s[c.i] == '-' && isDigit(c.s[c.i+1]) {
		c.i++ // 1.0-1 is the short spelling of 1.0.post1
		p.post, p.postNumber = "post", c.digits()
	} else {
		p.post, p.postNumber = c.phase([]versionWord{{"post", "post"}, {"rev", "post"}, {"r", "post"}})
	}
	p.dev, p.devNumber = c.phase([]versionWord{{"dev", "dev"}})
	p.local = c.localLabel()
}

// phase reads one of the words, with an optional separator before and after it
// and an optional number. It returns the normal form of the word, or "" without
// having moved.
func (c *versionScanner) phase(words []versionWord) (word, number string) {
	start := c.i
	c.separator()
	for _, w := range words {
		if hasPrefixFold(c.s[c.i:], w.spelling) {
			c.i += len(w.spelling)
			c.separator()
			return w.normal, c.digits()
		}
	}
	c.i = start
	return "", ""
}

// localLabel reads a plus sign and the label after it.
func (c *versionScanner) localLabel() string {
	if c.i+1 >= len(c.s) || c.s[c.i] != '+' || !isAlphanumeric(c.s[c.i+1]) {
		return ""
	}
	start := c.i + 1
	for c.i = start; c.i < len(c.s); {
		switch {
		case isDigit(c.s[c.i]):
			c.digits()
		case isAlphanumeric(c.s[c.i]):
			c.i++
		case isSeparator(c.s[c.i]) && c.i+1 < len(c.s) && isAlphanumeric(c.s[c.i+1]):
			c.i++
		default:
			return c.s[start:c.i]
		}
	}
	return c.s[start:]
}

func (c *versionScanner) separator() {
	if c.i < len(c.s) && isSeparator(c.s[c.i]) {
		c.i++
	}
}

func (c *versionScanner) digits() string {
	start := c.i
	for c.i < len(c.s) && isDigit(c.s[c.i]) {
		c.i++
	}
	c.longest = max(c.longest, c.i-start)
	return c.s[start:c.i]
}

// version puts the parts into normal form. It keeps what was written if that is
// the normal form already, so that the usual case allocates nothing.
func (p *versionParts) version(written string) Version {
	var v Version
	var space [64]byte
	b := space[:0]
	if epoch := strings.TrimLeft(p.epoch, "0"); epoch != "" {
		b = append(append(b, epoch...), '!')
	}
	v.epochEnd = uint16(len(b))
	b = appendDotted(b, p.release)
	v.releaseEnd = uint16(len(b))
	if p.pre != "" {
		b = appendNumber(append(b, p.pre...), p.preNumber)
	}
	v.preEnd = uint16(len(b))
	if p.post != "" {
		b = appendNumber(append(b, ".post"...), p.postNumber)
	}
	v.postEnd = uint16(len(b))
	if p.dev != "" {
		b = appendNumber(append(b, ".dev"...), p.devNumber)
	}
	v.devEnd = uint16(len(b))
	if p.local != "" {
		b = appendDotted(append(b, '+'), p.local)
	}
	v.text = written
	if string(b) != written {
		v.text = string(b)
	}
	return v
}

// appendDotted appends the parts of s, which any separator may part, with dots
// between them: numbers without leading zeros, words in lower case.
func appendDotted(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		start, number := i, true
		for i < len(s) && !isSeparator(s[i]) {
			number = number && isDigit(s[i])
			i++
		}
		if number {
			b = appendNumber(b, s[start:i])
		} else {
			for _, c := range []byte(s[start:i]) {
				b = append(b, lower(c))
			}
		}
		if i < len(s) {
			b = append(b, '.')
		}
	}
	return b
}

// appendNumber appends digits without leading zeros; "" counts as zero.
func appendNumber(b []byte, digits string) []byte {
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return append(b, '0')
	}
	return append(b, digits...)
}

// hasPrefixFold reports whether s begins with prefix, which is in lower case,
// in any case of ASCII. Letters outside ASCII never match one within it.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(s[i]) != prefix[i] {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool     { return '0' <= c && c <= '9' }
func isSeparator(c byte) bool { return c == '.' || c == '-' || c == '_' }

func isAlphanumeric(c byte) bool {
	return isDigit(c) || 'a' <= lower(c) && lower(c) <= 'z'
}

// lower gives the lower case of an ASCII letter, and any other byte as it is.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

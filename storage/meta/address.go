package meta

import (
	"encoding/hex"
	"strings"

	"cheeseboard/storage/pypi"
)

// place is a URL without what the file's name tells, and with the digest that
// PyPI has in the paths of its files (a BLAKE2b) as bytes.
type place struct {
	text   string
	short  bool // without /FILENAME at its end
	hashed bool // without /XX/YY/60-DIGITS before that
	digest pypi.Digest
}

// hashedPath is the length of /XX/YY/60-DIGITS.
const hashedPath = 3 + 3 + 61

func splitURL(address, filename string) (p place) {
	p.text, p.short = strings.CutSuffix(address, "/"+filename)
	n := len(p.text) - hashedPath
	if !p.short || n < 0 {
		return p
	}
	path := p.text[n:]
	digest, err := pypi.ParseDigest(path[1:3] + path[4:6] + path[7:])
	if made := hashedPathOf(digest); err == nil && string(made[:]) == path {
		p.text, p.digest, p.hashed = p.text[:n], digest, true
	}
	return p
}

func joinURL(p place, filename string) string {
	if !p.hashed && !p.short {
		return p.text
	}
	var b strings.Builder
	b.Grow(len(p.text) + hashedPath + 1 + len(filename))
	b.WriteString(p.text)
	if p.hashed {
		path := hashedPathOf(p.digest)
		b.Write(path[:])
	}
	if p.short {
		b.WriteByte('/')
		b.WriteString(filename)
	}
	return b.String()
}

func hashedPathOf(d pypi.Digest) (path [hashedPath]byte) {
	path[0], path[3], path[6] = '/', '/', '/'
	hex.Encode(path[1:3], d[:1])
	hex.Encode(path[4:6], d[1:2])
	hex.Encode(path[7:], d[2:])
	return path
}

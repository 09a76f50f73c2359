package meta

import (
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
	if err == nil && hashedPathOf(digest) == path {
		p.text, p.digest, p.hashed = p.text[:n], digest, true
	}
	return p
}

func joinURL(p place, filename string) string {
	if p.hashed {
		p.text += hashedPathOf(p.digest)
	}
	if p.short {
		p.text += "/" + filename
	}
	return p.text
}

func hashedPathOf(d pypi.Digest) string {
	digits := d.String()
	return "/" + digits[:2] + "/" + digits[2:4] + "/" + digits[4:]
}

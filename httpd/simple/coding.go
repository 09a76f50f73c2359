package simple

import (
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// coding is how a body is packed.
type coding uint8

const (
	identity coding = iota
	gzipped
	zstandard
	numCodings
)

// token is what stands in Content-Encoding; "" for none.
func (c coding) token() string { return [numCodings]string{"", "gzip", "zstd"}[c] }

// pageLevel is the compression with gzip. Most of a page is digests, which no level
// makes smaller: on a page of 3,000 files level 6 saves 1 % over level 1.
const pageLevel = 1

// zstdWindow is how far back zstd looks, in bytes: with more a page of 3,000 files gets
// no smaller, and whoever packs or unpacks it needs more memory.
const zstdWindow = 64 << 10

// packer packs one body after the other; equal bodies give equal bytes.
type packer interface {
	io.WriteCloser
	Reset(io.Writer)
}

// newPacker makes one for a coding that is not identity.
func newPacker(c coding) (packer, error) {
	if c == zstandard {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	}
	return gzip.NewWriterLevel(nil, pageLevel)
}

// codings is what a client takes (RFC 9110, 12.5.3), each with its worth in thousandths.
type codings struct {
	worth [numCodings]int
	// silent: the client does not speak of identity, which it takes if nothing else is
	// there.
	silent bool
}

// readCodings reads Accept-Encoding. Without the header a body goes out as it is. What
// `*` stands for is gzip: zstd has to be named.
func readCodings(lines []string) codings {
	if len(lines) == 0 {
		return codings{worth: [numCodings]int{identity: 1000}}
	}
	const unset = -1
	any := unset
	c := codings{worth: [numCodings]int{unset, unset, unset}}
	for name := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, params, _ := strings.Cut(name, ";")
		into := &any
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			into = &c.worth[gzipped]
		case "zstd":
			into = &c.worth[zstandard]
		case "identity":
			into = &c.worth[identity]
		case "*":
		default:
			continue
		}
		*into = max(*into, quality(params))
	}
	if c.worth[gzipped] == unset {
		c.worth[gzipped] = any
	}
	c.silent = c.worth[identity] == unset && any != 0
	for i := range c.worth {
		c.worth[i] = max(0, c.worth[i])
	}
	return c
}

// best picks one of some codings; ok is false where the client takes none of them.
// Of those that are worth as much the one that stands first is taken.
func (c codings) best(of ...coding) (best coding, ok bool) {
	worth := 0
	for _, one := range of {
		if c.worth[one] > worth {
			best, worth, ok = one, c.worth[one], true
		}
	}
	if !ok && c.silent {
		return identity, true
	}
	return best, ok
}

// quality reads `q=0.5` among parameters, in thousandths. A value that cannot be
// read counts as 0: a client that was misread gets the plain form.
func quality(params string) int {
	for p := range strings.SplitSeq(params, ";") {
		key, value, ok := strings.Cut(p, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(key), "q") {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(f >= 0 && f <= 1) {
			return 0
		}
		return int(f*1000 + 0.5)
	}
	return 1000
}

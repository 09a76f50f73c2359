package pypi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Digest is a SHA-256: the identity of every blob that the box stores.
type Digest [sha256.Size]byte

// ParseDigest reads the 64 hexadecimal digits of a SHA-256, in either case.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(len(d)) {
		return d, fmt.Errorf("parse sha256: %d characters, want %d", len(s), hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("parse sha256: %w", err)
	}
	return d, nil
}

// String gives 64 lower-case hexadecimal digits.
func (d Digest) String() string {
	var digits [2 * sha256.Size]byte // on the stack: pages have thousands
	hex.Encode(digits[:], d[:])
	return string(digits[:])
}

// IsZero reports whether d is the zero value, which stands for "none".
func (d Digest) IsZero() bool { return d == Digest{} }

// Hash is one digest as an index states it.
type Hash struct {
	Algorithm string // as in Python's hashlib, lower case: "sha256", "md5", "blake2b"
	Hex       string // lower-case hexadecimal
}

// Hashes are the digests that an index states for one file, sorted by
// algorithm and with no algorithm twice. An index may state none.
type Hashes []Hash

// hashSizes holds the algorithms whose length is known, in bytes. blake2 may be
// cut to other lengths, so it is checked for being hexadecimal only.
var hashSizes = map[string]int{
	"md5": 16, "sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64,
	"sha3_224": 28, "sha3_256": 32, "sha3_384": 48, "sha3_512": 64,
}

// NewHash checks one stated digest: a name of letters, digits and underscores,
// and hexadecimal digits of the length that the algorithm has.
func NewHash(algorithm, digits string) (Hash, error) {
	algorithm = strings.ToLower(algorithm)
	for _, c := range []byte(algorithm) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return Hash{}, fmt.Errorf("parse hash: %.40q is not the name of an algorithm", algorithm)
		}
	}
	if algorithm == "" || len(algorithm) > 32 {
		return Hash{}, fmt.Errorf("parse hash: %.40q is not the name of an algorithm", algorithm)
	}
	digits = strings.ToLower(digits)
	if digits == "" || len(digits) > 256 {
		return Hash{}, fmt.Errorf("parse %s: %d characters", algorithm, len(digits))
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return Hash{}, fmt.Errorf("parse %s: %w", algorithm, err)
	}
	if want, known := hashSizes[algorithm]; known && len(raw) != want {
		return Hash{}, fmt.Errorf("parse %s: %d bytes, want %d", algorithm, len(raw), want)
	}
	return Hash{Algorithm: algorithm, Hex: digits}, nil
}

// NewHashes sorts the digests by algorithm and refuses an algorithm that is
// stated twice with different digits.
func NewHashes(list ...Hash) (Hashes, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b Hash) int { return strings.Compare(a.Algorithm, b.Algorithm) })
	for i := 1; i < len(out); i++ {
		if out[i].Algorithm == out[i-1].Algorithm && out[i].Hex != out[i-1].Hex {
			return nil, fmt.Errorf("parse hashes: %s is stated twice and differs", out[i].Algorithm)
		}
	}
	return slices.CompactFunc(out, func(a, b Hash) bool { return a == b }), nil
}

// SHA256 returns the SHA-256 among the hashes, and whether it is there.
func (h Hashes) SHA256() (Digest, bool) {
	for _, x := range h {
		if x.Algorithm == "sha256" {
			d, err := ParseDigest(x.Hex)
			return d, err == nil
		}
	}
	return Digest{}, false
}

package update

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is that of a release: one to four numbers, "1.4.2". A number that is not
// there counts as 0. It encodes to JSON as its text.
type Version struct{ parts [4]uint32 }

// ParseVersion reads one. There are no suffixes: a release is what was signed, and
// its order has to be plain to whoever reads two numbers.
func ParseVersion(s string) (Version, error) {
	var v Version
	fields := strings.Split(s, ".")
	if len(fields) > len(v.parts) {
		return v, fmt.Errorf("parse version %.40q: it has more than four numbers", s)
	}
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 31)
		if err != nil || len(f) > 1 && f[0] == '0' || f[0] == '+' {
			return v, fmt.Errorf("parse version %.40q: it must be one to four numbers with dots between them, as 1.4.2", s)
		}
		v.parts[i] = uint32(n)
	}
	return v, nil
}

// Compare is negative where v is older than w, 0 where they are the same.
func (v Version) Compare(w Version) int {
	for i := range v.parts {
		if c := cmp.Compare(v.parts[i], w.parts[i]); c != 0 {
			return c
		}
	}
	return 0
}

// String gives three numbers, or four where the last one is not 0.
func (v Version) String() string {
	p := v.parts
	if p[3] != 0 {
		return fmt.Sprintf("%d.%d.%d.%d", p[0], p[1], p[2], p[3])
	}
	return fmt.Sprintf("%d.%d.%d", p[0], p[1], p[2])
}

// MarshalText gives String.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is ParseVersion.
func (v *Version) UnmarshalText(text []byte) (err error) {
	*v, err = ParseVersion(string(text))
	return err
}

package config

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written as in "90s", "10m" or "1h30m".
type Duration time.Duration

// ParseDuration reads one or more numbers with a unit each (ns, us, ms, s, m,
// h), as time.ParseDuration does.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("parse duration %.40q: it must read like \"90s\", \"10m\" or \"6h\"", s)
	}
	return Duration(d), nil
}

// String gives the shortest form: "6h", not "6h0m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText gives String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads, and leaves d alone on an error.
func (d *Duration) UnmarshalText(text []byte) error {
	got, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = got
	return nil
}

// Size is a number of bytes, never negative, that is written as in "2GB",
// "512MiB" or "1000000".
type Size int64

const (
	megabyte Size = 1_000_000
	gigabyte Size = 1_000_000_000
	terabyte Size = 1_000_000_000_000
)

// sizeUnits are the units of a Size. Where two forms of a size are equally
// short, the earlier unit is printed.
var sizeUnits = []struct {
	name  string
	bytes Size
}{
	{"TB", terabyte}, {"GB", gigabyte}, {"MB", megabyte}, {"kB", 1000},
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"B", 1},
}

// errSize does not repeat what was read: the caller shows it.
var errSize = errors.New(`it must read like "2GB", "512MiB" or "1000000" (bytes)`)

// ParseSize reads a number with an optional fraction and an optional unit, with
// or without a space between them, in any case: decimal (kB, MB, GB, TB),
// binary (KiB, MiB, GiB, TiB), or bytes (B, or no unit). Single letters are
// refused, since some programs read K as 1000 and some as 1024. A fraction of a
// byte is cut off.
func ParseSize(s string) (Size, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit := s[len(digits):]
	digits = strings.TrimRight(digits, " ")
	factor := Size(0)
	for _, u := range sizeUnits {
		if strings.EqualFold(u.name, unit) {
			factor = u.bytes
		}
	}
	if unit == "" {
		factor = 1
	}
	// The check of the characters keeps exponents and fractions such as 1/3
	// away from Rat, the check of the length keeps its arithmetic small.
	whole, fraction, dotted := strings.Cut(digits, ".")
	if factor == 0 || len(digits) > 32 || !isDigits(whole) || dotted && !isDigits(fraction) {
		return 0, fmt.Errorf("parse size %.40q: %w", s, errSize)
	}
	n, ok := new(big.Rat).SetString(digits)
	if !ok {
		return 0, fmt.Errorf("parse size %.40q: %w", s, errSize)
	}
	n.Mul(n, new(big.Rat).SetInt64(int64(factor)))
	bytes := new(big.Int).Quo(n.Num(), n.Denom())
	if !bytes.IsInt64() {
		return 0, fmt.Errorf("parse size %.40q: more than %d bytes", s, int64(math.MaxInt64))
	}
	return Size(bytes.Int64()), nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// String gives the shortest exact form: "2GB", "512MiB", "1234567B".
func (s Size) String() string {
	best := ""
	for _, u := range sizeUnits {
		if s%u.bytes != 0 || s == 0 && u.bytes != 1 {
			continue
		}
		if form := strconv.FormatInt(int64(s/u.bytes), 10) + u.name; best == "" || len(form) < len(best) {
			best = form
		}
	}
	return best
}

// MarshalText gives String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what ParseSize reads, and leaves s alone on an error.
func (s *Size) UnmarshalText(text []byte) error {
	got, err := ParseSize(string(text))
	if err != nil {
		return err
	}
	*s = got
	return nil
}

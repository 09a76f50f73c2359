package pypi

import (
	"fmt"
	"strings"
	"time"
)

// parseUploadTime reads an `upload-time` (PEP 700): RFC 3339 in UTC. Other
// zones, a blank in place of the T and a missing zone (taken as UTC) are read
// as well, for some indexes print them. The result is UTC and cut to
// microseconds. "" is the zero time: not stated.
func parseUploadTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, ok := parsePlainTime(s); ok {
		return t, nil
	}
	if len(s) > 40 {
		return time.Time{}, fmt.Errorf("read upload-time %.40q…: too long", s)
	}
	norm := s
	if len(norm) > 10 && norm[10] == ' ' {
		norm = norm[:10] + "T" + norm[11:]
	}
	t, err := time.Parse(time.RFC3339Nano, norm)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", strings.TrimSuffix(norm, "Z"))
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read upload-time: %w", err)
	}
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("read upload-time %q: the year is out of range", s)
	}
	return t, nil
}

// parsePlainTime reads the two forms that PyPI prints,
// "2006-01-02T15:04:05Z" and "2006-01-02T15:04:05.000000Z".
func parsePlainTime(s string) (time.Time, bool) {
	if len(s) != 20 && len(s) != 27 {
		return time.Time{}, false
	}
	if s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len(s)-1] != 'Z' {
		return time.Time{}, false
	}
	ok := true
	num := func(digits string) (n int) {
		for _, c := range []byte(digits) {
			ok = ok && '0' <= c && c <= '9'
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := num(s[:4]), num(s[5:7]), num(s[8:10])
	hour, minute, second := num(s[11:13]), num(s[14:16]), num(s[17:19])
	micro := 0
	if len(s) == 27 {
		ok = ok && s[19] == '.'
		micro = num(s[20:26])
	}
	if !ok || year < 1 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, micro*1000, time.UTC)
	// Date carries a 31st of February over into March; such a day is refused.
	y, m, d := t.Date()
	return t, y == year && int(m) == month && d == day
}

// appendUploadTime prints t in UTC, with six digits of fraction unless they are
// all zero. It reports false for a time that the form cannot carry.
func appendUploadTime(dst []byte, t time.Time) ([]byte, bool) {
	t = t.UTC()
	year, month, day := t.Date()
	if t.IsZero() || year < 1 || year > 9999 {
		return dst, false
	}
	hour, minute, second := t.Clock()
	dst = appendDigits(dst, year, 4)
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	if micro := t.Nanosecond() / 1000; micro != 0 {
		dst = appendDigits(append(dst, '.'), micro, 6)
	}
	return append(dst, 'Z'), true
}

// appendDigits prints n with leading zeroes, width digits in all.
func appendDigits(dst []byte, n, width int) []byte {
	var digits [6]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, digits[:width]...)
}

package pypi

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxFilenameLength leaves room for ".metadata" in the 255 bytes that a file
// system allows for a name.
const MaxFilenameLength = 240

// CheckFilename refuses every file name that is not one plain path element:
// separators, control characters, leading dots, bytes that are not UTF-8, and
// names that are too long to be stored.
func CheckFilename(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("check filename: it is empty")
	case len(s) > MaxFilenameLength:
		return fmt.Errorf("check filename %.40q…: longer than %d bytes", s, MaxFilenameLength)
	case s[0] == '.':
		return fmt.Errorf("check filename %q: begins with a dot", s)
	case !utf8.ValidString(s):
		return fmt.Errorf("check filename %q: not UTF-8", s)
	case strings.ContainsAny(s, `/\:`):
		return fmt.Errorf("check filename %q: contains a path", s)
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == 0x2028 || r == 0x2029 {
			return fmt.Errorf("check filename %q: contains a control character", s)
		}
	}
	return nil
}

// WheelName is what the file name of a wheel says (PEP 427).
type WheelName struct {
	Name    Name
	Version Version
	Build   BuildTag // the zero value where there is none
	Tags    []Tag    // all that the wheel runs on, as many as its parts combine to
	Sorted  bool     // the values within each tag are in the order of PEP 425
}

// BuildTag orders wheels of the same version: first by its number, then by the
// rest of it.
type BuildTag struct {
	Number string // digits without leading zeros; "" for no build tag
	Suffix string
}

// Compare returns -1, 0 or 1 as b comes before c, is equal to it, or comes after
// it. No build tag comes first.
func (b BuildTag) Compare(c BuildTag) int {
	return cmp.Or(compareNumbers(b.Number, c.Number), strings.Compare(b.Suffix, c.Suffix))
}

// ParseWheelFilename reads the file name of a wheel: name, version, an optional
// build tag, and the tags of what it runs on. Unlike Python's packaging library
// it refuses names that are not ASCII, as they are no project's name, and more
// than 4,096 combinations of tags.
func ParseWheelFilename(filename string) (WheelName, error) {
	var w WheelName
	stem, ok := strings.CutSuffix(filename, ".whl")
	if !ok {
		return w, fmt.Errorf("parse wheel %.80q: does not end with .whl", filename)
	}
	if err := CheckFilename(filename); err != nil {
		return w, fmt.Errorf("parse wheel: %w", err)
	}
	parts := strings.Split(stem, "-")
	if len(parts) != 5 && len(parts) != 6 {
		return w, fmt.Errorf("parse wheel %q: %d parts, want 5 or 6", filename, len(parts))
	}
	var err error
	if strings.Contains(parts[0], "__") {
		return w, fmt.Errorf("parse wheel %q: the name has two underscores in a row", filename)
	}
	if w.Name, err = ParseName(parts[0]); err != nil {
		return w, fmt.Errorf("parse wheel %q: %w", filename, err)
	}
	if w.Version, err = ParseVersion(parts[1]); err != nil {
		return w, fmt.Errorf("parse wheel %q: %w", filename, err)
	}
	if len(parts) == 6 {
		if w.Build, ok = parseBuildTag(parts[2]); !ok {
			return w, fmt.Errorf("parse wheel %q: the build tag %q does not begin with a digit", filename, parts[2])
		}
	}
	tags := strings.Join(parts[len(parts)-3:], "-")
	if w.Tags, w.Sorted, err = parseTags(tags); err != nil {
		return w, fmt.Errorf("parse wheel %q: %w", filename, err)
	}
	return w, nil
}

func parseBuildTag(s string) (BuildTag, bool) {
	rest := strings.TrimLeft(s, "0123456789")
	digits := s[:len(s)-len(rest)]
	if digits == "" {
		return BuildTag{}, false
	}
	return BuildTag{Number: string(appendNumber(nil, digits)), Suffix: rest}, true
}

// ParseSdistFilename reads the file name of a source distribution, .tar.gz or
// .zip: name and version with the last hyphen between them (PEP 625).
func ParseSdistFilename(filename string) (Name, Version, error) {
	stem, ok := strings.CutSuffix(filename, ".tar.gz")
	if !ok {
		if stem, ok = strings.CutSuffix(filename, ".zip"); !ok {
			return "", Version{}, fmt.Errorf("parse sdist %.80q: ends with neither .tar.gz nor .zip", filename)
		}
	}
	hyphen := strings.LastIndexByte(stem, '-')
	if hyphen < 0 {
		return "", Version{}, fmt.Errorf("parse sdist %.80q: no hyphen before the version", filename)
	}
	name, err := ParseName(stem[:hyphen])
	if err != nil {
		return "", Version{}, fmt.Errorf("parse sdist %.80q: %w", filename, err)
	}
	version, err := ParseVersion(stem[hyphen+1:])
	if err != nil {
		return "", Version{}, fmt.Errorf("parse sdist %.80q: %w", filename, err)
	}
	return name, version, nil
}

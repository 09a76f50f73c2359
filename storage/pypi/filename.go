package pypi

import (
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

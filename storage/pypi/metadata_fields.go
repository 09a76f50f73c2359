package pypi

import (
	"bytes"
	"strings"
)

// MetadataField is one field of core metadata as it stands there.
type MetadataField struct {
	Key   string // in lower case
	Value string // folded lines joined by single spaces; of a Description, by line ends
}

// MetadataFields reads core metadata field by field, in the order of the file; a
// body is the field "description", as it stands. Nothing is checked but the form;
// what does not have it ends the fields. Bytes that are not UTF-8 become U+FFFD.
func MetadataFields(data []byte) []MetadataField {
	var fields []MetadataField
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	for len(fields) < maxMetadataLines {
		key, value, rest, ok := cutField(data)
		if !ok {
			break
		}
		key = strings.ToLower(key)
		if key == "description" {
			value = unfoldDescription(data[:len(data)-len(rest)])
		}
		fields = append(fields, MetadataField{key, strings.ToValidUTF8(value, "\ufffd")})
		data = rest
	}
	if line, body := cutLine(data); len(line) == 0 && len(body) > 0 {
		fields = append(fields, MetadataField{"description", strings.ToValidUTF8(string(body), "\ufffd")})
	}
	return fields
}

// unfoldDescription gives the lines of a folded Description: of the first the key
// goes, of the others the eight characters that indent them, the last of which may
// be a bar (core metadata 1.0 to 2.0).
func unfoldDescription(field []byte) string {
	_, value, _ := bytes.Cut(field, []byte(":"))
	var lines []string
	for first := true; len(value) > 0; first = false {
		var line []byte
		line, value = cutLine(value)
		text := string(line)
		if first {
			text = strings.TrimSpace(text)
		} else if after, ok := strings.CutPrefix(text, "       |"); ok {
			text = after
		} else {
			text = strings.TrimPrefix(text, "        ")
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n")
}

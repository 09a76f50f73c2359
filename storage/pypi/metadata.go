package pypi

import (
	"bytes"
	"fmt"
	"strings"
)

const (
	// maxMetadataLines bounds how many fields of core metadata are read.
	maxMetadataLines = 100_000

	// maxUnparsed bounds how many unsound requirements are kept, each up to
	// maxUnparsedLength bytes.
	maxUnparsed       = 100
	maxUnparsedLength = 200
)

// CoreMetadataFields are those fields of a distribution's core metadata (the
// file METADATA of a wheel) that say what else an installation needs.
type CoreMetadataFields struct {
	Name           Name
	Version        Version
	RequiresDist   []Requirement // in the order of the file
	RequiresPython string        // a version specifier set, verbatim; "" where not stated
	ProvidesExtra  []string      // verbatim, in the order of the file
	Unparsed       []string      // requirements that are not sound, 100 of them at most, cut to 200 bytes
}

// ParseCoreMetadata reads the header of core metadata, which has the form of an
// e-mail (RFC 822): fields, folded lines, an empty line, a description that is
// ignored. A name or a version that is missing, stated twice or not sound is an
// error; a requirement that is not sound is set aside. The fields share no
// memory with data.
func ParseCoreMetadata(data []byte) (CoreMetadataFields, error) {
	var m CoreMetadataFields
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	for lines := 0; ; lines++ {
		if lines == maxMetadataLines {
			return CoreMetadataFields{}, fmt.Errorf("parse core metadata: more than %d fields", maxMetadataLines)
		}
		key, value, rest, ok := cutField(data)
		if !ok {
			break
		}
		data = rest
		if err := m.set(key, value); err != nil {
			return CoreMetadataFields{}, fmt.Errorf("parse core metadata: %w", err)
		}
	}
	switch {
	case m.Name == "":
		return CoreMetadataFields{}, fmt.Errorf("parse core metadata: it states no name")
	case m.Version.IsZero():
		return CoreMetadataFields{}, fmt.Errorf("parse core metadata of %s: it states no version", m.Name)
	}
	return m, nil
}

// set takes one field; all that are not wanted here are ignored.
func (m *CoreMetadataFields) set(key, value string) (err error) {
	switch strings.ToLower(key) {
	case "name":
		if m.Name != "" {
			return fmt.Errorf("it states two names")
		}
		m.Name, err = ParseName(value)
	case "version":
		if !m.Version.IsZero() {
			return fmt.Errorf("it states two versions")
		}
		m.Version, err = ParseVersion(value)
	case "requires-python":
		m.RequiresPython = value
	case "provides-extra":
		m.ProvidesExtra = append(m.ProvidesExtra, value)
	case "requires-dist":
		r, err := ParseRequirement(value)
		switch {
		case err == nil:
			m.RequiresDist = append(m.RequiresDist, r)
		case len(m.Unparsed) < maxUnparsed:
			value = value[:min(len(value), maxUnparsedLength)]
			m.Unparsed = append(m.Unparsed, strings.ToValidUTF8(value, "?"))
		}
	}
	return err
}

// cutField reads one field with its folded lines, which are joined by single
// spaces. It returns false at the end of the header: an empty line, a line that
// is no field, or the end of the data.
func cutField(data []byte) (key, value string, rest []byte, ok bool) {
	line, rest := cutLine(data)
	rawKey, rawValue, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(rawKey) == 0 {
		return "", "", nil, false
	}
	for _, c := range rawKey {
		if c <= ' ' || c > '~' {
			return "", "", nil, false
		}
	}
	parts := []string{strings.TrimSpace(string(rawValue))}
	for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		line, rest = cutLine(rest)
		parts = append(parts, strings.TrimSpace(string(line)))
	}
	return string(rawKey), strings.TrimSpace(strings.Join(parts, " ")), rest, true
}

// cutLine cuts off the first line, without the line end in any of its forms.
func cutLine(data []byte) (line, rest []byte) {
	end := bytes.IndexAny(data, "\r\n")
	if end < 0 {
		return data, nil
	}
	line, rest = data[:end], data[end+1:]
	if data[end] == '\r' {
		rest = bytes.TrimPrefix(rest, []byte("\n"))
	}
	return line, rest
}

package pypi

import (
	"strings"
	"unicode/utf8"
)

// PEP 691 has clients ignore keys that they do not know. A mirror passes them on:
// whoever installs from it may know them.

// Unknown are the members of a JSON object whose keys are not known here, in their
// order: `"key":value,"key":value`, the values as they came. "" is none. What is
// ours to say is never among them, in whatever case it is spelt, for some readers
// do not tell cases apart.
type Unknown string

// What a page may state of unknown members at most, in bytes. What is beyond is
// left out, and said so among the refusals.
const (
	maxUnknownOfFile    = 2 << 10  // all of a file
	maxUnknownOfProject = 16 << 10 // all of its page, and as much of the page's meta
	maxUnknownOfPage    = 4 << 20  // all of a page and its files
)

// Keys that are known, and those that are written here.
var (
	knownOfFile = []string{
		"filename", "url", "hashes", "requires-python", "core-metadata", "dist-info-metadata", "data-dist-info-metadata",
		"gpg-sig", "yanked", "size", "upload-time", "provenance",
	}
	knownOfProject = []string{"meta", "name", "project-status", "versions", "alternate-locations", "files", "_notes"}
	knownOfMeta    = []string{"api-version", "_last-serial", "tracks"}
)

// unknownMembers gathers the unknown members of one object.
type unknownMembers struct {
	known []string
	most  int // bytes
	text  []byte
	keys  []string
	left  bool // something was left out
}

// add takes a member. Of two with one key the first is kept.
func (u *unknownMembers) add(key, value []byte) {
	for _, k := range u.known {
		if strings.EqualFold(k, string(key)) {
			return
		}
	}
	if u.left {
		return
	}
	if len(u.text)+len(key)+len(value) > u.most || !utf8.Valid(value) || !utf8.Valid(key) {
		u.left = true
		return
	}
	for _, k := range u.keys {
		if k == string(key) {
			return
		}
	}
	kept := len(u.text)
	if kept > 0 {
		u.text = append(u.text, ',')
	}
	u.text = append(appendJSONString(u.text, string(key)), ':')
	if u.text = append(u.text, value...); len(u.text) > u.most {
		u.text, u.left = u.text[:kept], true // it grew by what had to be escaped
		return
	}
	u.keys = append(u.keys, string(key))
}

// unknown keeps the unknown members of an object of the page, as far as there is
// room for them.
func (e *entries) unknown(u *unknownMembers) Unknown {
	if e.unknownBytes+len(u.text) > maxUnknownOfPage {
		u.text, u.left = nil, true
	}
	if u.left {
		e.unknownLeft++
	}
	if len(u.text) == 0 {
		return ""
	}
	e.unknownBytes += len(u.text)
	return Unknown(u.text)
}

// appendUnknown appends members behind others.
func appendUnknown(dst []byte, u Unknown) []byte {
	if u == "" {
		return dst
	}
	return append(append(dst, ','), u...)
}

package pypi

import (
	"fmt"
	"strconv"
)

// jsonEntry is one file while its keys are read. A value of the wrong kind
// spoils the entry, not the page.
type jsonEntry struct {
	File
	core, alias []byte // as they stand in the page; nil where not stated
	unknown     unknownMembers
	spoiled     string // the first reason to refuse the entry
}

func (e *jsonEntry) spoil(format string, args ...any) {
	if e.spoiled == "" {
		e.spoiled = fmt.Sprintf(format, args...)
	}
}

// file takes one element of `files`.
func (d *jsonPage) file() error {
	c, err := d.peek()
	if err != nil {
		return err
	}
	if c != '{' {
		d.entries.refuse("", "the entry is not an object")
		return d.skip()
	}
	e := jsonEntry{File: File{Size: SizeUnknown}, unknown: unknownMembers{known: knownOfFile, most: maxUnknownOfFile}}
	if err := d.object(func(key []byte) error { return d.member(&e, key) }); err != nil {
		return err
	}
	if e.core == nil {
		e.core = e.alias
	}
	if e.core != nil {
		inner := jsonPage{jsonReader: jsonReader{buf: e.core}, entries: d.entries}
		if err := inner.coreMetadata(&e); err != nil {
			return err
		}
	}
	if e.spoiled != "" {
		d.entries.refuse(e.Filename, e.spoiled)
		return nil
	}
	e.Unknown = d.entries.unknown(&e.unknown)
	d.entries.add(e.File)
	return nil
}

// member takes the value of one key. null is the same as no key, if the key is known.
func (d *jsonPage) member(e *jsonEntry, key []byte) error {
	c, err := d.peek()
	if err != nil {
		return err
	}
	if c == 'n' {
		return d.other(e, key)
	}
	switch string(key) {
	case "filename":
		return d.string(e, "filename", c, &e.Filename)
	case "url":
		return d.string(e, "url", c, &e.URL)
	case "provenance":
		return d.string(e, "provenance", c, &e.Provenance)
	case "requires-python":
		return d.requiresPython(e, c)
	case "hashes":
		e.Hashes, err = d.hashes(e, "hashes", c)
		return err
	case "core-metadata":
		e.core, err = d.value()
		return err
	case "dist-info-metadata", "data-dist-info-metadata":
		// The first is the name before PEP 714, the second is what PyPI printed
		// for years by mistake.
		e.alias, err = d.value()
		return err
	case "gpg-sig":
		return d.gpgSig(e, c)
	case "yanked":
		return d.yanked(e, c)
	case "size":
		return d.size(e, c)
	case "upload-time":
		return d.uploadTime(e, c)
	default:
		return d.other(e, key)
	}
}

// other takes the value of a key that says nothing here.
func (d *jsonPage) other(e *jsonEntry, key []byte) error {
	value, err := d.value()
	if err == nil {
		e.unknown.add(key, value)
	}
	return err
}

// value takes any value and returns it as it stands.
func (d *jsonPage) value() ([]byte, error) {
	if _, err := d.peek(); err != nil { // behind the white space
		return nil, err
	}
	start := d.pos
	err := d.skip()
	return d.buf[start:d.pos], err
}

func (d *jsonPage) string(e *jsonEntry, what string, c byte, to *string) (err error) {
	if c != '"' {
		e.spoil("read %s: not a string", what)
		return d.skip()
	}
	*to, err = d.text()
	return err
}

func (d *jsonPage) requiresPython(e *jsonEntry, c byte) error {
	if c != '"' {
		e.spoil("read requires-python: not a string")
		return d.skip()
	}
	b, err := d.bytes()
	e.RequiresPython = d.entries.share(b)
	return err
}

// hashes takes a map of algorithms to hexadecimal digits.
func (d *jsonPage) hashes(e *jsonEntry, what string, c byte) (Hashes, error) {
	if c != '{' {
		e.spoil("read %s: not an object", what)
		return nil, d.skip()
	}
	var list Hashes
	err := d.object(func(key []byte) error {
		algorithm := algorithmName(key)
		c, err := d.peek()
		if err != nil {
			return err
		}
		if c != '"' {
			if c != 'n' {
				e.spoil("read %s: a digest is not a string", what)
			}
			return d.skip()
		}
		digits, err := d.bytes()
		if err != nil {
			return err
		}
		h, err := statedHash(algorithm, digits)
		if err != nil {
			e.spoil("read %s: %v", what, err)
			return nil
		}
		list = append(list, h)
		return nil
	})
	if err != nil || len(list) <= 1 {
		return list, err
	}
	sorted, err := NewHashes(list...)
	if err != nil {
		e.spoil("read %s: %v", what, err)
	}
	return sorted, nil
}

// coreMetadata takes a boolean or a map of hashes, which may be empty.
func (d *jsonPage) coreMetadata(e *jsonEntry) error {
	c, err := d.peek()
	if err != nil {
		return err
	}
	switch c {
	case 't', 'f':
		e.CoreMetadata.Available = c == 't'
		return d.skip()
	case '{':
		e.CoreMetadata.Available = true
		e.CoreMetadata.Hashes, err = d.hashes(e, "core-metadata", c)
		return err
	default:
		e.spoil("read core-metadata: neither a boolean nor an object")
		return d.skip()
	}
}

func (d *jsonPage) gpgSig(e *jsonEntry, c byte) error {
	switch c {
	case 't':
		e.GPGSig = Yes
	case 'f':
		e.GPGSig = No
	default:
		e.spoil("read gpg-sig: not a boolean")
	}
	return d.skip()
}

// yanked takes a boolean or a reason. An empty reason is false, as installers
// take it.
func (d *jsonPage) yanked(e *jsonEntry, c byte) (err error) {
	e.Yanked = Yanked{}
	switch c {
	case '"':
		e.Yanked.Reason, err = d.text()
		e.Yanked.Is = e.Yanked.Reason != ""
		return err
	case 't':
		e.Yanked.Is = true
	case 'f':
	default:
		e.spoil("read yanked: neither a boolean nor a string")
	}
	return d.skip()
}

func (d *jsonPage) size(e *jsonEntry, c byte) error {
	if c != '-' && (c < '0' || c > '9') {
		e.spoil("read size: not a number")
		return d.skip()
	}
	num, err := d.number()
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(string(num), 10, 64)
	if err != nil || size < 0 || size > MaxFileSize {
		e.spoil("read size: %.40s is not an integer from 0 to %d", num, MaxFileSize)
		return nil
	}
	e.Size = size
	return nil
}

func (d *jsonPage) uploadTime(e *jsonEntry, c byte) error {
	if c != '"' {
		e.spoil("read upload-time: not a string")
		return d.skip()
	}
	b, err := d.bytes()
	if err != nil {
		return err
	}
	if e.UploadTime, err = parseUploadTime(string(b)); err != nil {
		e.spoil("%v", err)
	}
	return nil
}

// algorithmName gives the names that nearly every index states without
// allocating.
func algorithmName(b []byte) string {
	switch string(b) {
	case "sha256":
		return "sha256"
	case "md5":
		return "md5"
	case "blake2b_256":
		return "blake2b_256"
	}
	return string(b)
}

// statedHash is NewHash with a short way for the digest that every page of a
// modern index states for each file.
func statedHash(algorithm string, digits []byte) (Hash, error) {
	if algorithm == "sha256" && len(digits) == 64 {
		plain := true
		for _, c := range digits {
			plain = plain && ('0' <= c && c <= '9' || 'a' <= c && c <= 'f')
		}
		if plain {
			return Hash{Algorithm: algorithm, Hex: string(digits)}, nil
		}
	}
	return NewHash(algorithm, string(digits))
}

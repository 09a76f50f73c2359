package pypi

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"
)

// utf8BOM may stand before a JSON text; RFC 8259 lets readers ignore it.
var utf8BOM = []byte("\xef\xbb\xbf")

// DecodeProjectJSON reads a project page in its JSON form (PEP 691 with 700,
// 708, 714, 740 and 792, API 1.x). want is the project that was asked for, base
// the URL that the page came from after redirects; relative file URLs are
// resolved against it. base may be nil: relative URLs are refused then.
//
// An entry that is not safe or not sound is left out and named among the
// refusals, in which an empty Filename stands for something that is not a file,
// such as a version; at most 1,000 are named. The members of files, of the page and
// of its meta whose keys are not known are kept as they are (see Unknown); of known
// ones null counts as absent. Of two entries with one name the first is kept; if they do
// not state the same SHA-256 the second is refused.
//
// The error wraps ErrNotIndex (ErrTruncated if the text stops too early),
// ErrVersion or ErrWrongProject. The body is not kept; the caller bounds its
// length.
func DecodeProjectJSON(body []byte, want Name, base *url.URL) (*Project, []Refusal, error) {
	top, err := splitJSONPage(bytes.TrimPrefix(body, utf8BOM))
	if err != nil {
		return nil, nil, fmt.Errorf("decode project %s: %w", want, err)
	}
	d := jsonPage{entries: newEntries(base)}
	p, err := d.project(top, want)
	if err != nil {
		return nil, nil, fmt.Errorf("decode project %s: %w", want, err)
	}
	return p, d.entries.finish(p), nil
}

// jsonPageParts are the values of a page's top level as they stand in the body.
// They are located first, since a page may give its version after its files.
type jsonPageParts struct {
	meta, name, status, versions, alternates, files []byte
	unknown                                         unknownMembers
}

// splitJSONPage checks that the whole body is JSON, and locates the parts.
func splitJSONPage(body []byte) (*jsonPageParts, error) {
	parts := jsonPageParts{unknown: unknownMembers{known: knownOfProject, most: maxUnknownOfProject}}
	r := &jsonReader{buf: body}
	err := r.object(func(key []byte) error {
		var part *[]byte
		switch string(key) {
		case "meta":
			part = &parts.meta
		case "name":
			part = &parts.name
		case "project-status":
			part = &parts.status
		case "versions":
			part = &parts.versions
		case "alternate-locations":
			part = &parts.alternates
		case "files":
			part = &parts.files
		}
		c, err := r.peek()
		if err != nil {
			return err
		}
		start := r.pos
		if err := r.skip(); err != nil {
			return err
		}
		if part == nil {
			parts.unknown.add(key, body[start:r.pos])
			return nil
		}
		if *part != nil {
			// Which of the two is meant is anyone's guess, and readers differ.
			return fmt.Errorf("read JSON: the key %q stands there twice: %w", key, ErrNotIndex)
		}
		if c != 'n' {
			*part = body[start:r.pos]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &parts, r.end()
}

// jsonPage decodes the parts of one page.
type jsonPage struct {
	jsonReader
	entries *entries
}

// at moves the reader to one part of the page.
func (d *jsonPage) at(part []byte) { d.jsonReader = jsonReader{buf: part} }

func (d *jsonPage) project(top *jsonPageParts, want Name) (*Project, error) {
	p := &Project{Name: want}
	if top.meta == nil && top.name == nil && top.files == nil {
		return nil, fmt.Errorf("read page: it has neither meta nor name nor files: %w", ErrNotIndex)
	}
	if err := d.meta(top.meta, p); err != nil {
		return nil, err
	}
	if err := d.name(top.name, want); err != nil {
		return nil, err
	}
	if top.status != nil {
		d.at(top.status)
		if err := d.status(p); err != nil {
			return nil, err
		}
	}
	versions, err := d.texts("versions", top.versions)
	if err != nil {
		return nil, err
	}
	p.Versions = d.versions(versions)
	alternates, err := d.texts("alternate-locations", top.alternates)
	if err != nil {
		return nil, err
	}
	p.Alternates = d.entries.list("alternate-locations", alternates)
	// A page without files is not a page with none: to take it for one would
	// delete a project.
	if len(top.files) == 0 || top.files[0] != '[' {
		return nil, fmt.Errorf("read files: there is no array of them: %w", ErrNotIndex)
	}
	p.Unknown = d.entries.unknown(&top.unknown)
	d.at(top.files)
	return p, d.array(d.file)
}

// meta reads the version, the serial and what the project tracks.
func (d *jsonPage) meta(part []byte, p *Project) error {
	version := ""
	if len(part) > 0 && part[0] == '{' {
		d.at(part)
		unknown := unknownMembers{known: knownOfMeta, most: maxUnknownOfProject}
		err := d.object(func(key []byte) (err error) {
			switch string(key) {
			case "api-version":
				version, _, err = d.optional()
			case "_last-serial":
				p.LastSerial, err = readSerial(&d.jsonReader)
			case "tracks":
				p.Tracks, err = d.tracks()
			default:
				var value []byte
				if value, err = d.value(); err == nil {
					unknown.add(key, value)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		p.InMeta = d.entries.unknown(&unknown)
	}
	return checkAPIVersion(version)
}

func (d *jsonPage) tracks() ([]string, error) {
	value, err := d.value()
	if err != nil {
		return nil, err
	}
	inner := jsonPage{entries: d.entries}
	urls, err := inner.texts("tracks", value)
	return d.entries.list("tracks", urls), err
}

func (d *jsonPage) name(part []byte, want Name) error {
	if part == nil {
		return fmt.Errorf("read name: there is none: %w", ErrNotIndex)
	}
	d.at(part)
	got, isText, err := d.optional()
	if err != nil {
		return err
	}
	if name, err := ParseName(got); !isText || err != nil || name != want {
		return fmt.Errorf("read name %.200q: want %s: %w", got, want, ErrWrongProject)
	}
	return nil
}

// status reads {"status": …, "reason": …} (PEP 792), or the state alone.
func (d *jsonPage) status(p *Project) error {
	var s Status
	c, err := d.peek()
	switch {
	case err != nil:
	case c == '"':
		s.State, err = d.text()
	case c == '{':
		err = d.object(func(key []byte) (err error) {
			switch string(key) {
			case "status":
				s.State, _, err = d.optional()
			case "reason":
				s.Reason, _, err = d.optional()
			default:
				err = d.skip()
			}
			return err
		})
	default:
		d.entries.refuse("", "read project-status: neither an object nor a string")
	}
	p.Status = d.entries.status(s)
	return err
}

// optional takes any value and returns it if it is a string.
func (d *jsonPage) optional() (s string, isText bool, err error) {
	c, err := d.peek()
	switch {
	case err != nil:
		return "", false, err
	case c == '"':
		s, err = d.text()
		return s, true, err
	default:
		return "", false, d.skip()
	}
}

// texts reads an array of strings. What else is in it is refused by name.
func (d *jsonPage) texts(what string, part []byte) ([]string, error) {
	if len(part) == 0 || part[0] == 'n' {
		return nil, nil
	}
	if part[0] != '[' {
		d.entries.refuse("", fmt.Sprintf("read %s: not an array", what))
		return nil, nil
	}
	d.at(part)
	list := []string{}
	err := d.array(func() error {
		s, isText, err := d.optional()
		if !isText {
			d.entries.refuse("", fmt.Sprintf("read %s: an element is not a string", what))
			return err
		}
		list = append(list, s)
		return err
	})
	return list, err
}

// versions leaves out what cannot be a version in any scheme. They are not
// parsed: old projects list versions that PEP 440 does not know.
func (d *jsonPage) versions(list []string) []string {
	kept := list[:0]
	for _, v := range list {
		if v == "" || len(v) > MaxFilenameLength || checkText(v) != nil {
			d.entries.refuse("", fmt.Sprintf("read versions: %.100q is not a version", v))
			continue
		}
		kept = append(kept, v)
	}
	return kept
}

// readSerial takes any value and returns it if it is a positive integer. The
// key is a private one of PyPI's, so nothing else is an error.
func readSerial(r *jsonReader) (int64, error) {
	c, err := r.peek()
	if err != nil {
		return 0, err
	}
	if c < '0' || c > '9' {
		return 0, r.skip()
	}
	num, err := r.number()
	if err != nil {
		return 0, err
	}
	if n, err := strconv.ParseInt(string(num), 10, 64); err == nil {
		return n, nil
	}
	return 0, nil
}

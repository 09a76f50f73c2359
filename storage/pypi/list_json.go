package pypi

import (
	"fmt"
	"io"
)

// DecodeListJSON reads a root list in its JSON form (PEP 691) as it streams by,
// and hands each entry to yield in the order of the page. A name that is none is
// skipped and counted; a name may come twice.
//
// The error wraps ErrNotIndex (ErrTruncated if the text stops too early) or
// ErrVersion, or the error of r; an error of yield is returned as it is. The
// entries were handed on before the page was known to be whole: with an error,
// what they were used for must be undone.
func DecodeListJSON(r io.Reader, yield func(ListEntry) error) (ListSummary, error) {
	l := jsonList{jsonReader: jsonReader{src: skipBOM(r)}, yield: yield}
	if err := l.page(); err != nil {
		if l.stopped != nil {
			return l.sum, l.stopped
		}
		return l.sum, fmt.Errorf("decode root list: %w", err)
	}
	return l.sum, nil
}

type jsonList struct {
	jsonReader
	yield    func(ListEntry) error
	stopped  error // what yield returned
	sum      ListSummary
	version  bool // a version was seen, and is supported
	projects bool // an array of projects was seen
}

func (l *jsonList) page() error {
	if err := l.object(l.member); err != nil {
		return err
	}
	if !l.version && !l.projects {
		return fmt.Errorf("read page: it has neither meta nor projects: %w", ErrNotIndex)
	}
	if !l.version {
		return checkAPIVersion("")
	}
	if !l.projects {
		return fmt.Errorf("read projects: there is no array of them: %w", ErrNotIndex)
	}
	return l.end()
}

func (l *jsonList) member(key []byte) error {
	isMeta, isProjects := string(key) == "meta", string(key) == "projects"
	c, err := l.peek()
	switch {
	case err != nil:
		return err
	case isMeta && c == '{':
		return l.object(l.meta)
	case isProjects && c == '[':
		l.projects = true
		return l.array(l.entry)
	default:
		return l.skip()
	}
}

func (l *jsonList) meta(key []byte) (err error) {
	switch string(key) {
	case "api-version":
		var version []byte
		if version, err = l.optional(); err == nil {
			l.version = true
			err = checkAPIVersion(string(version))
		}
	case "_last-serial":
		l.sum.LastSerial, err = readSerial(&l.jsonReader)
	default:
		err = l.skip()
	}
	return err
}

// optional takes any value and returns the text if it is a string.
func (l *jsonList) optional() ([]byte, error) {
	c, err := l.peek()
	if err != nil {
		return nil, err
	}
	if c != '"' {
		return nil, l.skip()
	}
	return l.bytes()
}

// entry takes one project.
func (l *jsonList) entry() error {
	c, err := l.peek()
	if err != nil {
		return err
	}
	if c != '{' {
		l.sum.Skipped++
		return l.skip()
	}
	var e ListEntry
	err = l.object(func(key []byte) error {
		switch string(key) {
		case "name":
			text, err := l.optional()
			e.Name, _ = ParseName(string(text)) // "" where it is none
			return err
		case "_last-serial":
			serial, err := readSerial(&l.jsonReader)
			e.Serial = serial
			return err
		default:
			return l.skip()
		}
	})
	if err != nil {
		return err
	}
	if e.Name == "" {
		l.sum.Skipped++
		return nil
	}
	l.sum.Projects++
	l.stopped = l.yield(e)
	return l.stopped
}

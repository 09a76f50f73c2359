package pypi

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// What a message may hold at most. The number of rows has no bound here: they
// are handed on one by one, and the caller bounds the bytes.
const (
	maxXMLToken  = 64 << 10 // bytes of one tag, text or comment
	maxXMLText   = 64 << 10 // bytes of one value, which may have several texts
	maxXMLDepth  = 24       // elements that are open; a row's values stand at 11
	maxXMLParams = 16
)

// xmlSource feeds the XML decoder byte by byte, and ends a token that grows
// without end: the decoder would gather it in memory.
type xmlSource struct {
	in    *bufio.Reader
	token int // bytes since the last token
	err   error
}

var errXMLToken = fmt.Errorf("a tag or a text is longer than %d bytes: %w", maxXMLToken, ErrNotXMLRPC)

// ReadByte implements io.ByteReader.
func (s *xmlSource) ReadByte() (byte, error) {
	if s.token++; s.token > maxXMLToken {
		s.err = errXMLToken
		return 0, s.err
	}
	c, err := s.in.ReadByte()
	if err != nil {
		s.err = err
	}
	return c, err
}

// Read implements io.Reader, which the decoder wants of a source whose encoding
// was declared. It reads by ReadByte even then.
func (s *xmlSource) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// xmlReader walks an XML-RPC message element by element.
type xmlReader struct {
	src  *xmlSource
	dec  *xml.Decoder
	open []string // elements
	buf  []byte   // the text of the value that was read last
}

func newXMLReader(r io.Reader) *xmlReader {
	x := &xmlReader{src: &xmlSource{in: bufio.NewReaderSize(skipBOM(r), 32<<10)}}
	x.dec = xml.NewDecoder(x.src)
	x.dec.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		switch strings.ToLower(charset) {
		case "us-ascii", "ascii":
			return input, nil // a part of UTF-8
		}
		return nil, fmt.Errorf("the encoding %.40q is not supported", charset)
	}
	return x
}

func (x *xmlReader) bad(format string, args ...any) error {
	return fmt.Errorf("read XML-RPC: %s: %w", fmt.Sprintf(format, args...), ErrNotXMLRPC)
}

// token reads what comes next, without comments and processing instructions.
// Tags are matched here: RawToken spares the work on name spaces.
func (x *xmlReader) token() (xml.Token, error) {
	for {
		x.src.token = 0
		t, err := x.dec.RawToken()
		if err != nil {
			return nil, x.failed(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(x.open) == maxXMLDepth {
				return nil, x.bad("it is nested too deeply")
			}
			x.open = append(x.open, t.Name.Local)
			return t, nil
		case xml.EndElement:
			last := len(x.open) - 1
			if last < 0 || x.open[last] != t.Name.Local {
				return nil, x.bad("</%.40s> where it does not belong", t.Name.Local)
			}
			x.open = x.open[:last]
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Directive:
			return nil, x.bad("it has a document type")
		}
	}
}

// failed tells the failures of the source from those of the text.
func (x *xmlReader) failed(err error) error {
	switch {
	case errors.Is(x.src.err, io.EOF):
		return fmt.Errorf("read XML-RPC: %w", errTruncatedXMLRPC)
	case x.src.err != nil:
		return fmt.Errorf("read XML-RPC: %w", x.src.err)
	}
	return x.bad("%v", err)
}

// next returns the name of the next element within the current one, or "" at
// the current one's end.
func (x *xmlReader) next() (string, error) {
	for {
		t, err := x.token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if t.Name.Local == "" {
				return "", x.bad("an element without a name")
			}
			return t.Name.Local, nil
		case xml.EndElement:
			return "", nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return "", x.bad("text where an element belongs")
			}
		}
	}
}

// enter takes the begin of the element with that name.
func (x *xmlReader) enter(name string) error {
	got, err := x.next()
	if err == nil && got != name {
		err = x.bad("%.40q where <%s> belongs", got, name)
	}
	return err
}

// leave takes the ends of n elements.
func (x *xmlReader) leave(n int) error {
	for range n {
		got, err := x.next()
		if err != nil {
			return err
		}
		if got != "" {
			return x.bad("<%.40s> after the end of a value", got)
		}
	}
	return nil
}

// end checks that nothing but white space and comments is left.
func (x *xmlReader) end() error {
	for {
		x.src.token = 0
		t, err := x.dec.RawToken()
		if err == io.EOF { // the decoder gives it bare, and only between tokens
			return nil
		}
		if err != nil {
			return x.failed(err)
		}
		switch t := t.(type) {
		case xml.StartElement, xml.EndElement, xml.Directive:
			return x.bad("more text after the end")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return x.bad("more text after the end")
			}
		}
	}
}

// text takes the text up to the end of the current element, into buf. Where an
// element may stand in its place, that one is entered and its name returned.
func (x *xmlReader) text(element bool) (string, error) {
	x.buf = x.buf[:0]
	for {
		t, err := x.token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.EndElement:
			return "", nil
		case xml.CharData:
			if len(x.buf)+len(t) > maxXMLText {
				return "", x.bad("a value is longer than %d bytes", maxXMLText)
			}
			x.buf = append(x.buf, t...)
		case xml.StartElement:
			if !element || t.Name.Local == "" || len(bytes.TrimSpace(x.buf)) > 0 {
				return "", x.bad("an element within a text")
			}
			return t.Name.Local, nil
		}
	}
}

// xmlKind is the kind of a value.
type xmlKind uint8

const (
	xmlOther  xmlKind = iota // nothing of it was kept
	xmlInt                   // in number
	xmlString                // in the reader's buf
	xmlArray                 // taken by the function for its elements
	xmlStruct                // taken by the function for its members
)

// xmlValue is a value without what it may hold.
type xmlValue struct {
	kind   xmlKind
	number int64
}

// value takes what is within a <value>, up to its end. element is called for
// each <value> of an array, and member for each of a struct by its name: they
// take it by calling value. Where they are nil, it is skipped.
func (x *xmlReader) value(element func() error, member func(name string) error) (v xmlValue, err error) {
	kind, err := x.text(true)
	if err != nil {
		return v, err
	}
	switch kind {
	case "":
		return xmlValue{kind: xmlString}, nil // untyped; </value> was taken
	case "int", "i4", "i8", "i1", "i2":
		if _, err = x.text(false); err == nil {
			v.kind = xmlInt
			if v.number, err = strconv.ParseInt(string(bytes.TrimSpace(x.buf)), 10, 64); err != nil {
				err = x.bad("%.40q is not an integer", x.buf)
			}
		}
	case "string":
		v.kind = xmlString
		_, err = x.text(false)
	case "array":
		v.kind = xmlArray
		err = x.array(element)
	case "struct":
		v.kind = xmlStruct
		err = x.structure(member)
	default: // nil, boolean, double, dateTime.iso8601, base64
		_, err = x.text(false)
	}
	if err == nil {
		err = x.leave(1)
	}
	return v, err
}

func (x *xmlReader) skip() error {
	_, err := x.value(nil, nil)
	return err
}

// array takes <data> with its values, and the end of the array.
func (x *xmlReader) array(element func() error) error {
	if element == nil {
		element = x.skip
	}
	if err := x.enter("data"); err != nil {
		return err
	}
	for {
		name, err := x.next()
		if err != nil {
			return err
		}
		if name == "" {
			return x.leave(1)
		}
		if name != "value" {
			return x.bad("<%.40s> where <value> belongs", name)
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// structure takes the members of a struct, and its end.
func (x *xmlReader) structure(member func(string) error) error {
	if member == nil {
		member = func(string) error { return x.skip() }
	}
	for {
		name, err := x.next()
		if err != nil || name == "" {
			return err
		}
		if name != "member" {
			return x.bad("<%.40s> where <member> belongs", name)
		}
		if err := x.enter("name"); err != nil {
			return err
		}
		if _, err := x.text(false); err != nil {
			return err
		}
		key := string(x.buf)
		if err := x.enter("value"); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if err := x.leave(1); err != nil {
			return err
		}
	}
}

package pypi

import (
	"bytes"
	"encoding/xml"
	"io"
	"iter"
	"math"
	"strconv"
)

// ContentTypeXML is the media type of XML-RPC messages.
const ContentTypeXML = "text/xml"

const (
	xmlHead  = "<?xml version=\"1.0\"?>\n"
	xmlBegin = xmlHead + "<methodResponse><params><param>"
	xmlEnd   = "</param></params></methodResponse>\n"
)

// AppendFeedCall appends a request with integers as its params.
func AppendFeedCall(dst []byte, method string, params ...int64) []byte {
	dst = append(dst, xmlHead+"<methodCall><methodName>"...)
	dst = appendXMLText(dst, method)
	dst = append(dst, "</methodName><params>"...)
	for _, n := range params {
		dst = append(dst, "<param>"...)
		dst = appendXMLInt(dst, n)
		dst = append(dst, "</param>"...)
	}
	return append(dst, "</params></methodCall>\n"...)
}

// AppendFeedSerial appends the answer to MethodLastSerial.
func AppendFeedSerial(dst []byte, serial int64) []byte {
	return append(appendXMLInt(append(dst, xmlBegin...), serial), xmlEnd...)
}

// AppendFeedFault appends a fault as the answer to any method.
func AppendFeedFault(dst []byte, f Fault) []byte {
	dst = append(dst, xmlHead+"<methodResponse><fault><value><struct><member><name>faultCode</name>"...)
	dst = appendXMLInt(dst, f.Code)
	dst = append(dst, "</member><member><name>faultString</name>"...)
	dst = appendXMLString(dst, f.Text)
	return append(dst, "</member></struct></value></fault></methodResponse>\n"...)
}

// WriteFeedChanges writes the answer to MethodSinceSerial. It holds a few dozen
// kilobytes however many rows there are. The error is that of w.
func WriteFeedChanges(w io.Writer, changes iter.Seq[Change]) error {
	l := newListWriter(w)
	l.buf = append(l.buf, xmlBegin+"<value><array><data>\n"...)
	for c := range changes {
		l.buf = append(l.buf, "<value><array><data>"...)
		l.buf = appendXMLString(l.buf, string(c.Name))
		if c.Version == "" {
			l.buf = append(l.buf, "<value><nil/></value>"...)
		} else {
			l.buf = appendXMLString(l.buf, c.Version)
		}
		l.buf = appendXMLInt(l.buf, c.Timestamp)
		l.buf = appendXMLString(l.buf, c.Action)
		l.buf = appendXMLInt(l.buf, c.Serial)
		l.buf = append(l.buf, "</data></array></value>\n"...)
		if err := l.settle(); err != nil {
			return err
		}
	}
	l.buf = append(l.buf, "</data></array></value>"+xmlEnd...)
	return l.flush()
}

// WriteFeedList writes the answer to MethodListSerials. It holds a few dozen
// kilobytes however long the list is. The error is that of w.
func WriteFeedList(w io.Writer, entries iter.Seq[ListEntry]) error {
	l := newListWriter(w)
	l.buf = append(l.buf, xmlBegin+"<value><struct>\n"...)
	for e := range entries {
		l.buf = appendXMLText(append(l.buf, "<member><name>"...), string(e.Name))
		l.buf = appendXMLInt(append(l.buf, "</name>"...), e.Serial)
		l.buf = append(l.buf, "</member>\n"...)
		if err := l.settle(); err != nil {
			return err
		}
	}
	l.buf = append(l.buf, "</struct></value>"+xmlEnd...)
	return l.flush()
}

// WriteFeedNames writes the answer to MethodListPackages: the names alone. It
// holds a few dozen kilobytes however long the list is. The error is that of w.
func WriteFeedNames(w io.Writer, entries iter.Seq[ListEntry]) error {
	l := newListWriter(w)
	l.buf = append(l.buf, xmlBegin+"<value><array><data>\n"...)
	for e := range entries {
		l.buf = append(appendXMLString(l.buf, string(e.Name)), '\n')
		if err := l.settle(); err != nil {
			return err
		}
	}
	l.buf = append(l.buf, "</data></array></value>"+xmlEnd...)
	return l.flush()
}

// appendXMLInt appends <int>, which has 32 bits, or <i8> where that is not enough.
func appendXMLInt(dst []byte, n int64) []byte {
	kind := "int"
	if n < math.MinInt32 || n > math.MaxInt32 {
		kind = "i8"
	}
	dst = append(append(append(dst, "<value><"...), kind...), '>')
	dst = strconv.AppendInt(dst, n, 10)
	return append(append(append(dst, "</"...), kind...), "></value>"...)
}

func appendXMLString(dst []byte, s string) []byte {
	dst = appendXMLText(append(dst, "<value><string>"...), s)
	return append(dst, "</string></value>"...)
}

// appendXMLText escapes what has a meaning in XML. What XML cannot carry at all,
// such as most control characters, becomes U+FFFD.
func appendXMLText(dst []byte, s string) []byte {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '<' || c == '>' || c == '&' || c == '"' || c == '\'' {
			b := bytes.NewBuffer(dst)
			_ = xml.EscapeText(b, []byte(s)) // a buffer takes everything
			return b.Bytes()
		}
	}
	return append(dst, s...)
}

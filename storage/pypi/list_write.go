package pypi

import (
	"io"
	"iter"
	"strconv"
)

// A root list is its head, its entries in order, and its tail: whoever keeps
// parts of one puts them together from these.

// AppendListHead appends what stands before the entries of a root list, in its
// JSON (PEP 691, API 1.4) or HTML form (PEP 503, 629).
func AppendListHead(b []byte, form Form, lastSerial int64) []byte {
	if !form.IsJSON() {
		return append(appendHTMLHead(b), "    <title>Simple index</title>\n  </head>\n  <body>\n"...)
	}
	b = append(b, `{"meta":{"api-version":"`+APIVersion+`"`...)
	if lastSerial > 0 {
		b = strconv.AppendInt(append(b, `,"_last-serial":`...), lastSerial, 10)
	}
	return append(b, `},"projects":[`...)
}

// AppendListEntry appends one entry; first says that none stands before it. A
// serial of 0 is left out, and HTML has none.
func AppendListEntry(b []byte, form Form, e ListEntry, first bool) []byte {
	if !form.IsJSON() {
		b = appendHTMLText(append(b, `    <a href="`...), string(e.Name))
		b = appendHTMLText(append(b, `/">`...), string(e.Name))
		return append(b, "</a><br>\n"...)
	}
	if !first {
		b = append(b, ',')
	}
	b = appendJSONString(append(b, "\n{\"name\":"...), string(e.Name))
	if e.Serial > 0 {
		b = strconv.AppendInt(append(b, `,"_last-serial":`...), e.Serial, 10)
	}
	return append(b, '}')
}

// AppendListTail appends what stands behind the entries.
func AppendListTail(b []byte, form Form, lastSerial int64) []byte {
	if form.IsJSON() {
		return append(b, "\n]}"...)
	}
	return appendHTMLTail(b, lastSerial)
}

// WriteList writes a root list. The links of the HTML form are relative: the list
// stands at a URL that ends in a slash. It holds a few dozen kilobytes however
// long the list is. The error is that of w.
func WriteList(w io.Writer, form Form, lastSerial int64, entries iter.Seq[ListEntry]) error {
	l := newListWriter(w)
	l.buf = AppendListHead(l.buf, form, lastSerial)
	first := true
	for e := range entries {
		l.buf = AppendListEntry(l.buf, form, e, first)
		first = false
		if err := l.settle(); err != nil {
			return err
		}
	}
	l.buf = AppendListTail(l.buf, form, lastSerial)
	return l.flush()
}

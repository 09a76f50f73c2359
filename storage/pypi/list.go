package pypi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// ListSummary is what a root list says beside its entries.
type ListSummary struct {
	LastSerial int64 // the highest serial of the index; 0 where not stated
	Projects   int   // entries that were handed on
	Skipped    int   // entries that were left out: their names are no project names
}

// skipBOM returns a reader of what follows a byte order mark, if there is one.
func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 16)
	if mark, err := b.Peek(len(utf8BOM)); err == nil && bytes.Equal(mark, utf8BOM) {
		_, _ = b.Discard(len(utf8BOM)) // it was just peeked at
	}
	return b // reads past its few bytes go to r directly
}

// listFlush is how many bytes of a root list are gathered before they are
// written: a list of all of PyPI has 40 MB and is never in memory whole.
const listFlush = 32 << 10

// listWriter gathers what is appended to buf and writes it in large pieces.
type listWriter struct {
	w   io.Writer
	buf []byte
}

func newListWriter(w io.Writer) *listWriter {
	return &listWriter{w: w, buf: make([]byte, 0, listFlush+1024)}
}

// settle writes the buffer if it is full.
func (l *listWriter) settle() error {
	if len(l.buf) < listFlush {
		return nil
	}
	return l.flush()
}

func (l *listWriter) flush() error {
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	if err != nil {
		return fmt.Errorf("write root list: %w", err)
	}
	return nil
}

package pypi

import (
	"errors"
	"fmt"
	"io"
)

// jsonReader walks a JSON text (RFC 8259) value by value: a whole one in
// memory, or one of 40 MB that streams by. encoding/json would read each entry
// twice, once for where it ends and once for what it says, and allocate for
// each token; a small board feels that. A fuzz target compares the answers with
// those of encoding/json.
type jsonReader struct {
	buf  []byte
	pos  int       // what is before it was read
	mark int       // start of the token being read: more keeps it
	src  io.Reader // nil: buf is all there is
	deep int       // objects and arrays that are open
}

const (
	maxJSONDepth = 64
	jsonChunk    = 64 << 10 // bytes read at a time from src
	maxJSONToken = 1 << 20  // bytes of one string or number from src
)

func (r *jsonReader) bad(what string) error {
	return fmt.Errorf("read JSON: %s: %w", what, ErrNotIndex)
}

// more makes at least one byte beyond buf available, and moves what is still
// needed, from mark on, to the front.
func (r *jsonReader) more() error {
	if r.src == nil {
		return fmt.Errorf("read JSON: %w", ErrTruncated)
	}
	if len(r.buf)-r.mark > maxJSONToken {
		return r.bad("a value is too long")
	}
	kept := copy(r.buf, r.buf[r.mark:])
	r.buf, r.pos, r.mark = r.buf[:kept], r.pos-r.mark, 0
	if cap(r.buf)-kept < jsonChunk/2 {
		grown := make([]byte, kept, 2*cap(r.buf)+jsonChunk)
		copy(grown, r.buf)
		r.buf = grown
	}
	for range 100 {
		n, err := r.src.Read(r.buf[kept:cap(r.buf)])
		r.buf = r.buf[:kept+n]
		switch {
		case n > 0:
			return nil // an error comes again with the next read
		case errors.Is(err, io.EOF):
			return fmt.Errorf("read JSON: %w", ErrTruncated)
		case err != nil:
			return fmt.Errorf("read JSON: %w", err)
		}
	}
	return fmt.Errorf("read JSON: %w", io.ErrNoProgress)
}

// peek skips white space and returns the next byte without taking it.
func (r *jsonReader) peek() (byte, error) {
	for {
		for r.pos < len(r.buf) {
			switch c := r.buf[r.pos]; c {
			case ' ', '\t', '\n', '\r':
				r.pos++
			default:
				return c, nil
			}
		}
		r.mark = r.pos
		if err := r.more(); err != nil {
			return 0, err
		}
	}
}

// take skips white space and takes the byte c.
func (r *jsonReader) take(c byte) error {
	got, err := r.peek()
	if err != nil {
		return err
	}
	if got != c {
		return r.bad(fmt.Sprintf("%q where %q belongs", got, c))
	}
	r.pos++
	return nil
}

// end checks that nothing but white space is left.
func (r *jsonReader) end() error {
	_, err := r.peek()
	switch {
	case err == nil:
		return r.bad("more text after the end")
	case errors.Is(err, ErrTruncated):
		return nil
	default:
		return err
	}
}

// raw takes a string and returns what stands between its quotes, and whether it
// holds escapes. The bytes are good until the next call.
func (r *jsonReader) raw() (text []byte, escaped bool, err error) {
	if err := r.take('"'); err != nil {
		return nil, false, err
	}
	r.mark = r.pos
	for {
		buf := r.buf
		i := r.pos
		for i < len(buf) && buf[i] != '"' && buf[i] != '\\' && buf[i] >= ' ' {
			i++
		}
		r.pos = i
		switch {
		case i == len(buf):
			if err := r.more(); err != nil {
				return nil, false, err
			}
		case buf[i] == '"':
			r.pos++
			return buf[r.mark:i], escaped, nil
		case buf[i] == '\\':
			escaped = true
			if err := r.escape(); err != nil {
				return nil, false, err
			}
		default:
			return nil, false, r.bad("a control character in a string")
		}
	}
}

// escape takes one escape sequence and checks its form.
func (r *jsonReader) escape() error {
	c, err := r.after()
	if err != nil {
		return err
	}
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
	case 'u':
		for range 4 {
			h, err := r.after()
			if err != nil {
				return err
			}
			if _, ok := hexValue(h); !ok {
				return r.bad("an escape that is not one")
			}
		}
	default:
		return r.bad("an escape that is not one")
	}
	r.pos++
	return nil
}

// after moves on by one byte and returns the byte there.
func (r *jsonReader) after() (byte, error) {
	r.pos++
	if r.pos == len(r.buf) {
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	return r.buf[r.pos], nil
}

// bytes takes a string and returns its text, unescaped. Bytes that are not
// UTF-8 stay as they are, for the checks of the values to find. The result is
// good until the next call.
func (r *jsonReader) bytes() ([]byte, error) {
	raw, escaped, err := r.raw()
	if err != nil || !escaped {
		return raw, err
	}
	return unescapeJSON(raw), nil
}

// text takes a string.
func (r *jsonReader) text() (string, error) {
	b, err := r.bytes()
	return string(b), err
}

// object takes an object and calls member for each key; member takes the value.
// The key is good until member takes it.
func (r *jsonReader) object(member func(key []byte) error) error {
	if err := r.open('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		if done, err := r.next('}', first); done || err != nil {
			return err
		}
		key, err := r.bytes()
		if err != nil {
			return err
		}
		// The colon may lie beyond the buffer, and reading on moves the key.
		if r.src != nil && (r.pos == len(r.buf) || r.buf[r.pos] != ':') {
			key = append([]byte(nil), key...)
		}
		if err := r.take(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
}

// array takes an array and calls element for each value, which takes it.
func (r *jsonReader) array(element func() error) error {
	if err := r.open('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		if done, err := r.next(']', first); done || err != nil {
			return err
		}
		if err := element(); err != nil {
			return err
		}
	}
}

func (r *jsonReader) open(c byte) error {
	if err := r.take(c); err != nil {
		return err
	}
	if r.deep++; r.deep > maxJSONDepth {
		return r.bad("it is nested too deeply")
	}
	return nil
}

// next takes the comma before a further element, or the closing bracket.
func (r *jsonReader) next(closing byte, first bool) (done bool, err error) {
	c, err := r.peek()
	if err != nil {
		return false, err
	}
	if c == closing {
		r.pos++
		r.deep--
		return true, nil
	}
	if first {
		return false, nil
	}
	return false, r.take(',')
}

// skip takes a value of any kind.
func (r *jsonReader) skip() error {
	c, err := r.peek()
	if err != nil {
		return err
	}
	switch c {
	case '{':
		return r.object(func([]byte) error { return r.skip() })
	case '[':
		return r.array(r.skip)
	case '"':
		_, _, err := r.raw()
		return err
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	default:
		_, err := r.number()
		return err
	}
}

// word takes the literal w, whose first byte is known to be there.
func (r *jsonReader) word(w string) error {
	r.mark = r.pos
	for len(r.buf)-r.pos < len(w) {
		if err := r.more(); err != nil {
			return err
		}
	}
	if string(r.buf[r.pos:r.pos+len(w)]) != w {
		return r.bad("a word that is not true, false or null")
	}
	r.pos += len(w)
	return nil
}

package quick

import "bytes"

// maxHead is the longest head that is read here, in bytes. net/http reads longer
// ones.
const maxHead = 4096

// verdict is what parse makes of the first bytes of a request.
type verdict int

const (
	// other is whatever is not understood here to its last byte: net/http decides.
	other verdict = iota
	// more bytes are needed.
	more
	// alone is a whole head of a request without a body that has something in it that
	// is not known here: net/http answers it, and what follows begins a new one.
	alone
	// plain is one whose every field is known and stands there once.
	plain
)

// head is a plain request. Its parts lie in the bytes that were parsed.
type head struct {
	size   int    // of the head, with the empty line at its end
	method []byte // GET or HEAD
	path   []byte // as it was written; it needs no decoding
	host   []byte
	accept []byte // nil where there is none, as for those below
	coding []byte // Accept-Encoding
	match  []byte // If-None-Match
}

// parse reads the head of a request (RFC 9112) as far as it is one of a kind that
// all readers understand in the same way. It is much narrower than the standard:
// what it takes for plain is a GET or HEAD of HTTP/1.1, for a path without
// escapes and query, with lines that end in CR LF, and with fields that are known
// not to ask for a body, a part, another protocol, or anything else than the whole
// of what stands at that path. It allocates nothing.
func parse(b []byte) (head, verdict) {
	var h head
	rest, v := h.requestLine(b)
	if v < alone {
		return h, v
	}
	kind := v
	var seen fields
	for {
		line, after, v := cutLine(rest)
		switch {
		case v < plain:
			return h, v
		case len(line) == 0:
			h.size = len(b) - len(after)
			if !seen.has(fieldHost) {
				return h, other
			}
			return h, kind
		}
		kind = min(kind, h.field(line, &seen))
		if kind == other {
			return h, other
		}
		rest = after
	}
}

// cutLine takes one line off, without its end. Nothing but printable ASCII may be
// in it.
func cutLine(b []byte) (line, rest []byte, v verdict) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if len(b) > 0 && b[len(b)-1] == '\r' {
			b = b[:len(b)-1]
		}
		if !printable(b) {
			return nil, nil, other
		}
		return nil, nil, more
	}
	if end == 0 || b[end-1] != '\r' || !printable(b[:end-1]) {
		return nil, nil, other
	}
	return b[:end-1], b[end+1:], plain
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// requestLine reads `GET PATH HTTP/1.1` and gives what follows.
func (h *head) requestLine(b []byte) ([]byte, verdict) {
	line, rest, v := cutLine(b)
	if v == more {
		// What is no GET or HEAD from its first bytes need not be waited for.
		if !begins(b, "GET /") && !begins(b, "HEAD /") {
			return nil, other
		}
		return nil, more
	}
	if v != plain {
		return nil, v
	}
	const version = " HTTP/1.1"
	if !bytes.HasSuffix(line, []byte(version)) {
		return nil, other
	}
	line = line[:len(line)-len(version)]
	switch {
	case bytes.HasPrefix(line, []byte("GET /")):
		h.method, h.path = line[:3], line[4:]
	case bytes.HasPrefix(line, []byte("HEAD /")):
		h.method, h.path = line[:4], line[5:]
	default:
		return nil, other
	}
	for _, c := range h.path {
		if c == ' ' {
			return nil, other
		}
		if !inPath[c] {
			v = alone
		}
	}
	return rest, v
}

// begins tells whether b, or what is there of it, begins with text.
func begins(b []byte, text string) bool {
	n := min(len(b), len(text))
	return string(b[:n]) == text[:n]
}

// inPath are the bytes of paths that mean themselves.
var inPath = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/+!")

// inHost are the bytes of names and addresses with a port.
var inHost = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:[]")

func set(bytes string) (s [256]bool) {
	for i := range len(bytes) {
		s[bytes[i]] = true
	}
	return s
}

// fields are those that were seen.
type fields uint

func (f fields) has(x fields) bool { return f&x != 0 }

const (
	fieldHost fields = 1 << iota
	fieldAccept
	fieldCoding
	fieldMatch
	fieldConnection
	fieldAgent
	fieldCache
	fieldPragma
	fieldLanguage
)

// known are the fields that may be there. No handler of the front reads those
// without a part in head; one that begins to must make them part of it.
var known = []struct {
	name string
	is   fields
}{
	{"host", fieldHost},
	{"accept", fieldAccept},
	{"accept-encoding", fieldCoding},
	{"if-none-match", fieldMatch},
	{"connection", fieldConnection},
	{"user-agent", fieldAgent},
	{"cache-control", fieldCache},
	{"pragma", fieldPragma},
	{"accept-language", fieldLanguage},
}

// framing are fields that may announce a body, or say how the connection goes on:
// net/http has to read whatever comes with them.
var framing = []string{"content-length", "transfer-encoding", "expect", "upgrade", "te", "trailer", "http2-settings", "proxy-connection", "keep-alive"}

// inName are the bytes of names of fields.
var inName = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")

// unknown judges a field that is not known: alone, or other where it is not sound
// or might announce something.
func unknown(name []byte) verdict {
	for _, c := range name {
		if !inName[c] {
			return other
		}
	}
	for _, f := range framing {
		if equalFold(name, f) {
			return other
		}
	}
	return alone
}

// field takes one header field: plain where it is known; other where it is not
// sound, or known and there twice.
func (h *head) field(line []byte, seen *fields) verdict {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 {
		return other
	}
	name, value := line[:colon], trim(line[colon+1:])
	var is fields
	for i := range known {
		if equalFold(name, known[i].name) {
			is = known[i].is
			break
		}
	}
	if is == 0 {
		return unknown(name)
	}
	if seen.has(is) {
		return other
	}
	*seen |= is
	switch is {
	case fieldHost:
		h.host = value
		for _, c := range value {
			if !inHost[c] {
				return other
			}
		}
		if len(value) == 0 {
			return other
		}
	case fieldConnection:
		if !equalFold(value, "keep-alive") {
			return other
		}
	case fieldAccept:
		h.accept = value
	case fieldCoding:
		h.coding = value
	case fieldMatch:
		h.match = value
	}
	return plain
}

// trim takes spaces off. What is left is never nil: to say nothing is not the same as
// not to speak.
func trim(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares with a text in lower case, as ASCII.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

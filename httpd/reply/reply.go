// Package reply holds the short answers that every part of the HTTP front gives
// in the same way: a sentence as plain text, the refusal of a method, and the
// comparison of entity tags (RFC 9110).
//
// It knows nothing about projects or files, and keeps no state.
package reply

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxText bounds the sentence of an answer, in bytes. A reason may carry words
// that came from an upstream, and those have no bound of their own.
const maxText = 1000

// Text answers with one sentence as plain text that no browser takes for
// anything else, and that no cache keeps. Control characters and bytes that are
// not UTF-8 become spaces. Headers that describe a successful body are removed.
// To a HEAD request it sends the headers only.
func Text(w http.ResponseWriter, r *http.Request, status int, sentence string) {
	body := Plain(sentence) + "\n"
	h := w.Header()
	for _, name := range []string{"ETag", "Content-Encoding", "Content-Range", "Last-Modified", "X-PyPI-Last-Serial"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(body)) // a client that has gone needs no answer
	}
}

// Plain makes one printable line of s: control characters and broken UTF-8
// become spaces, and what is longer than about 1000 bytes is cut.
func Plain(s string) string {
	cut := len(s) > maxText
	if cut {
		s = s[:maxText]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf {
			s = s[:len(s)-1] // the first byte of a rune that was cut
		}
	}
	s = strings.Map(func(c rune) rune {
		switch {
		case c < 0x20, c >= 0x7f && c < 0xa0, c == 0x2028, c == 0x2029, c == utf8.RuneError:
			return ' '
		case c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
			return ' ' // these turn the direction of the text around
		}
		return c
	}, s)
	if cut {
		s += "…"
	}
	return s
}

// Later answers 503 with Retry-After in whole seconds, at least one. pip waits
// exactly as long as it is told, five times.
func Later(w http.ResponseWriter, r *http.Request, after time.Duration, sentence string) {
	seconds := (after + time.Second - 1) / time.Second
	w.Header().Set("Retry-After", strconv.FormatInt(max(1, int64(seconds)), 10))
	Text(w, r, http.StatusServiceUnavailable, sentence)
}

// ReadOnly reports whether the method is GET or HEAD. To any other method it
// answers 405 with Allow, and then the caller has nothing left to do.
func ReadOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	Text(w, r, http.StatusMethodNotAllowed, "Only GET and HEAD are answered here.")
	return false
}

// NoneMatch reports whether the request's If-None-Match names etag, so that the
// answer is 304. The comparison is weak (RFC 9110, 13.1.2); `*` names every
// tag. etag is quoted, as it stands in the header; an empty one matches nothing.
func NoneMatch(r *http.Request, etag string) bool {
	if etag == "" {
		return false
	}
	for _, line := range r.Header.Values("If-None-Match") {
		if matchList(line, strings.TrimPrefix(etag, "W/")) {
			return true
		}
	}
	return false
}

// matchList walks a list of entity tags. It stops at the first thing that is
// none, and what stood before it counts. A comma may stand inside a tag.
func matchList(list, opaque string) bool {
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			return false
		}
		if list[0] == '*' {
			return true
		}
		list = strings.TrimPrefix(list, "W/")
		if list == "" || list[0] != '"' {
			return false
		}
		end := strings.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		if list[:end+2] == opaque {
			return true
		}
		list = list[end+2:]
	}
}

package upstreamtest

import (
	"net/http"
	"strconv"
	"strings"
)

// The media types of the simple API.
const (
	typeJSON = "application/vnd.pypi.simple.v1+json"
	typeHTML = "application/vnd.pypi.simple.v1+html"
	typeText = "text/html"
)

// negotiate picks the media type of a page (PEP 691): the highest q; among equals
// a type that is named before one that a wildcard covers, then JSON before HTML.
// What is covered by wildcards alone is text/html, as PyPI answers it. The result
// is "" when nothing that is accepted can be had.
func negotiate(accept string) string {
	if strings.TrimSpace(accept) == "" {
		return typeText
	}
	best, bestQ, bestNamed := "", 0.0, false
	for _, offer := range []struct{ name, answer string }{
		{typeJSON, typeJSON},
		{"application/vnd.pypi.simple.latest+json", typeJSON},
		{typeHTML, typeHTML},
		{"application/vnd.pypi.simple.latest+html", typeHTML},
		{typeText, typeText},
	} {
		q, named := quality(accept, offer.name), strings.Contains(accept, offer.name)
		if q > bestQ || q > 0 && q == bestQ && named && !bestNamed {
			best, bestQ, bestNamed = offer.answer, q, named
		}
	}
	if !bestNamed && bestQ > 0 && quality(accept, typeText) == bestQ {
		return typeText
	}
	return best
}

// quality is the q that an Accept or Accept-Encoding header gives to value: that
// of the most specific range that covers it, 0 where none does.
func quality(header, value string) float64 {
	family, _, _ := strings.Cut(value, "/")
	q, precision := 0.0, 0
	for part := range strings.SplitSeq(header, ",") {
		fields := strings.Split(part, ";")
		var p int
		switch strings.ToLower(strings.TrimSpace(fields[0])) {
		case value:
			p = 3
		case family + "/*":
			p = 2
		case "*/*", "*":
			p = 1
		}
		if p <= precision {
			continue
		}
		precision, q = p, 1
		for _, parameter := range fields[1:] {
			if digits, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
				parsed, err := strconv.ParseFloat(digits, 64)
				if err != nil {
					parsed = 0
				}
				q = parsed
			}
		}
	}
	return q
}

// notModified decides a conditional request (RFC 9110, 13.1): If-None-Match
// where it is there, else If-Modified-Since.
func notModified(r *http.Request, c *content) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if list := r.Header.Get("If-None-Match"); list != "" {
		for tag := range strings.SplitSeq(list, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || c.etag != "" && strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(c.etag, "W/") {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(r.Header.Get("If-Modified-Since"))
	return err == nil && !c.modified.IsZero() && !c.modified.Truncate(1e9).After(since)
}

// span is the half-open range of bytes that a Range header asks for.
type span struct{ from, to int64 }

// parseRange reads a Range header with one range (RFC 9110, 14.2). ok is false
// where there is no such header or it has another form, which a server answers
// with the whole; satisfiable is false where the range begins beyond the end.
func parseRange(header string, size int64) (s span, ok, satisfiable bool) {
	spec, found := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !found || !dash || strings.Contains(spec, ",") {
		return span{}, false, false
	}
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return span{}, false, false
		}
		return span{max(0, size-n), size}, true, n > 0 && size > 0
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return span{}, false, false
	}
	to := size
	if last != "" {
		end, err := strconv.ParseInt(last, 10, 64)
		if err != nil || end < from {
			return span{}, false, false
		}
		to = min(size, end+1)
	}
	return span{from, to}, true, from < size
}

// rangeHolds decides If-Range (RFC 9110, 13.1.5): a strong ETag that is still
// the same, or a date that is exactly the last change.
func rangeHolds(r *http.Request, c *content) bool {
	condition := r.Header.Get("If-Range")
	if condition == "" || c.ignoreIfRange {
		return true
	}
	if strings.HasPrefix(condition, `"`) {
		return condition == c.etag
	}
	at, err := http.ParseTime(condition)
	return err == nil && !c.modified.IsZero() && c.modified.Truncate(1e9).Equal(at)
}

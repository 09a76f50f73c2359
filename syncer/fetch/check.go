package fetch

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// checkContent refuses what cannot be the bytes of a file: a login page, or
// bytes under a coding that was not asked for.
func checkContent(resp *http.Response, address string) error {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return nil
	}
	if c := resp.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") && !ownCoding(resp, address, c) {
		return fmt.Errorf("its bytes come under the coding %.40q", c)
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && (kind == "text/html" || kind == "application/xhtml+xml") {
		return errors.New("a web page came instead of the file: a login page of the network, perhaps")
	}
	return nil
}

// ownCoding tells whether a coding is that of the file itself: servers of static files
// may say so of a .tar.gz. What is packed on the way has no length that is known before.
func ownCoding(resp *http.Response, address, coding string) bool {
	u, err := url.Parse(address)
	if err != nil || resp.ContentLength < 0 || !strings.EqualFold(coding, "gzip") && !strings.EqualFold(coding, "x-gzip") {
		return false
	}
	return strings.HasSuffix(u.Path, ".gz") || strings.HasSuffix(u.Path, ".tgz")
}

// checkRange reads `Content-Range: bytes FIRST-LAST/TOTAL` (RFC 9110, section
// 14.4), holds it against what was asked for and what the index states (size, or
// a negative number), and gives the byte after LAST.
func checkRange(resp *http.Response, offset, size int64) (end int64, err error) {
	value := resp.Header.Get("Content-Range")
	spec, ok := strings.CutPrefix(value, "bytes ")
	span, total, ok2 := strings.Cut(spec, "/")
	first, last, ok3 := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if !ok || !ok2 || !ok3 || err1 != nil || err2 != nil || to < from {
		return 0, fmt.Errorf("its range %.60q cannot be read", value)
	}
	if from != offset {
		return 0, fmt.Errorf("it sends bytes from %d, asked for were those from %d", from, offset)
	}
	if n, err := strconv.ParseInt(total, 10, 64); total != "*" && (err != nil || size >= 0 && n != size) {
		return 0, fmt.Errorf("its range %.60q speaks of another file than the index, which states %d bytes", value, size)
	}
	if size >= 0 && to >= size {
		return 0, fmt.Errorf("its range %.60q goes beyond the %d bytes that the index states", value, size)
	}
	if n := resp.ContentLength; n >= 0 && n != to-from+1 {
		return 0, fmt.Errorf("its range %.60q and its length %d differ", value, n)
	}
	return to + 1, nil
}

// strong gives an ETag that may stand in If-Range; "" for a weak or absent one.
func strong(etag string) string {
	if len(etag) < 2 || etag[0] != '"' {
		return ""
	}
	return etag
}

// aboutRange tells whether a status may be meant for the range that was asked
// for, or for the size of the answer, and not for the file.
func aboutRange(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusRequestedRangeNotSatisfiable,
		http.StatusNotImplemented:
		return true
	}
	return false
}

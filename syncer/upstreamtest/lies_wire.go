package upstreamtest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// CutAfter ends the connection by FIN after n bytes of each body.
func CutAfter(n int64) Lie {
	return Lie{Name: fmt.Sprintf("cut:%d", n), late: true, applies: hasBody, reply: func(a *reply, _ *http.Request) {
		a.cutAt, a.reset = n, false
	}}
}

// ResetAfter ends the connection by RST after n bytes of each body. What the
// client has not read by then may be lost to it.
func ResetAfter(n int64) Lie {
	return Lie{Name: fmt.Sprintf("reset:%d", n), late: true, applies: hasBody, reply: func(a *reply, _ *http.Request) {
		a.cutAt, a.reset = n, true
	}}
}

// CutConnectionAfter ends every connection by FIN once it has carried n bytes of
// bodies, over however many requests.
func CutConnectionAfter(n int64) Lie {
	return Lie{Name: fmt.Sprintf("cut-connection:%d", n), late: true, applies: hasBody, reply: func(a *reply, _ *http.Request) {
		a.cutAt, a.reset, a.cutPerLine = n, false, true
	}}
}

// HangUp ends the connection instead of answering.
func HangUp() Lie {
	return Lie{Name: "hang-up", late: true, reply: func(a *reply, _ *http.Request) { a.hangUp = true }}
}

// StallAfter sends n bytes of the body and then nothing, until Release or until
// either side closes.
func StallAfter(n int64) Lie {
	return Lie{Name: fmt.Sprintf("stall:%d", n), late: true, applies: hasBody, reply: func(a *reply, _ *http.Request) { a.stallAt = n }}
}

// NeverAnswer takes the request and sends nothing, until Release or until either
// side closes.
func NeverAnswer() Lie {
	return Lie{Name: "never-answer", late: true, reply: func(a *reply, _ *http.Request) { a.silent = true }}
}

// Endless goes on after the end of the body, with zeros and without a
// Content-Length, until the client has enough.
func Endless() Lie {
	return Lie{Name: "endless", applies: hasBody, reply: func(a *reply, _ *http.Request) {
		if a.body == nil {
			a.body = bytes.NewReader(nil)
		}
		a.body = io.MultiReader(a.body, &repeated{block: make([]byte, 32<<10), left: -1})
		a.unframe(framedByChunks)
	}}
}

// EndAfter sends n bytes and then ends as if that were all: no Content-Length,
// the connection closes.
func EndAfter(n int64) Lie {
	return Lie{Name: fmt.Sprintf("end:%d", n), applies: hasBody, reply: func(a *reply, _ *http.Request) {
		if a.body != nil {
			a.body = io.LimitReader(a.body, n)
		}
		a.unframe(framedByClose)
	}}
}

// EndChunkedAfter is EndAfter with a chunked body that ends in good order.
func EndChunkedAfter(n int64) Lie {
	return Lie{Name: fmt.Sprintf("end-chunked:%d", n), applies: hasBody, reply: func(a *reply, _ *http.Request) {
		if a.body != nil {
			a.body = io.LimitReader(a.body, n)
		}
		a.unframe(framedByChunks)
	}}
}

// WithoutLength leaves Content-Length out; the end of the body is the end of the
// connection.
func WithoutLength() Lie {
	return Lie{Name: "no-length", applies: hasBody, reply: func(a *reply, _ *http.Request) { a.unframe(framedByClose) }}
}

// Status answers with a status and a short text. retryAfter is the Retry-After
// header, in seconds or as a date; "" leaves it out. 404 on a page is a project
// that was deleted, 404 on metadata is metadata that the page promised.
func Status(code int, retryAfter string) Lie {
	name := "status:" + strconv.Itoa(code)
	if retryAfter != "" {
		name += "," + retryAfter
	}
	return Lie{Name: name, reply: func(a *reply, _ *http.Request) {
		a.replace(code, "text/plain; charset=utf-8", []byte(fmt.Sprintf("%d %s\n", code, http.StatusText(code))))
		if retryAfter != "" {
			a.header.Set("Retry-After", retryAfter)
		}
	}}
}

// loginPage is what a captive portal sends in place of everything.
const loginPage = "<!DOCTYPE html>\n<html><head><title>Welcome to Hotel WLAN</title></head>\n" +
	"<body><form action=\"/login\" method=\"post\">Room: <input name=\"room\"></form>" +
	"<a href=\"/terms\">Terms</a></body></html>\n"

// LoginPage answers 200 with a captive portal's page in HTML.
func LoginPage() Lie {
	return Lie{Name: "login-page", reply: func(a *reply, _ *http.Request) {
		a.replace(http.StatusOK, "text/html; charset=utf-8", []byte(loginPage))
	}}
}

// RedirectLoop redirects to the same path for ever, with a query that changes.
func RedirectLoop() Lie {
	return Lie{Name: "redirect-loop", reply: func(a *reply, r *http.Request) {
		turn, err := strconv.Atoi(r.URL.Query().Get("turn"))
		if err != nil {
			turn = 0 // the first request has no turn
		}
		a.replace(http.StatusFound, "text/plain", nil)
		a.header.Set("Location", fmt.Sprintf("%s?turn=%d", r.URL.EscapedPath(), turn+1))
	}}
}

// RedirectTo redirects to any location: file:///etc/passwd, another host.
func RedirectTo(location string) Lie {
	return Lie{Name: "redirect:" + location, reply: func(a *reply, _ *http.Request) {
		a.replace(http.StatusFound, "text/plain", nil)
		a.header.Set("Location", location)
	}}
}

// Unsatisfiable answers every Range request with 416.
func Unsatisfiable() Lie {
	return Lie{Name: "416", applies: hasRange, reply: func(a *reply, _ *http.Request) {
		a.replace(http.StatusRequestedRangeNotSatisfiable, "text/plain", nil)
		a.header.Set("Content-Range", fmt.Sprintf("bytes */%d", a.total))
	}}
}

// WrongContentRange adds start and total to what Content-Range states, and sends
// the bytes that were asked for.
func WrongContentRange(start, total int64) Lie {
	name := fmt.Sprintf("content-range:%d,%d", start, total)
	return Lie{Name: name, applies: hasRange, reply: func(a *reply, _ *http.Request) {
		if from, to, size, ok := a.contentRange(); ok {
			a.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from+start, to+start, size+total))
		}
	}}
}

// UnknownTotal leaves the size open in Content-Range ("bytes 5-9/*").
func UnknownTotal() Lie {
	return Lie{Name: "unknown-total", applies: hasRange, reply: func(a *reply, _ *http.Request) {
		if from, to, _, ok := a.contentRange(); ok {
			a.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/*", from, to))
		}
	}}
}

// GzipBomb answers a page with gzip that unpacks to about mebibytes MiB of valid
// JSON and is about a thousandth of that on the line.
func GzipBomb(mebibytes int64) Lie {
	return Lie{Name: fmt.Sprintf("gzip-bomb:%d", mebibytes), applies: isGet, reply: func(a *reply, r *http.Request) {
		stream, err := bomb(subjectOf(r.URL.Path).project, mebibytes)
		if err != nil {
			a.replace(http.StatusInternalServerError, "text/plain", []byte(err.Error()))
			return
		}
		a.replace(http.StatusOK, typeJSON, nil)
		a.header.Set("Content-Encoding", "gzip")
		a.body = stream
		a.unframe(framedByChunks)
	}}
}

// replace makes another answer of it and drops all headers; a cut or a silence stays.
func (a *reply) replace(status int, mediaType string, text []byte) {
	a.status = status
	a.header = http.Header{}
	a.header.Set("Content-Type", mediaType)
	a.body = bytes.NewReader(text)
	a.size = int64(len(text))
	a.framing = framedByLength
}

func (a *reply) unframe(by framing) {
	a.size, a.framing = -1, by
}

// contentRange reads the header that an honest 206 has; ok is false for every
// other answer, where there is nothing to bend.
func (a *reply) contentRange() (from, to, size int64, ok bool) {
	_, err := fmt.Sscanf(a.header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size)
	return from, to, size, err == nil
}

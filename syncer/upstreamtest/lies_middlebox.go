package upstreamtest

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// ResetConnectionAfter ends every connection by RST once it has carried n bytes
// of bodies, over however many requests.
func ResetConnectionAfter(n int64) Lie {
	return Lie{Name: fmt.Sprintf("reset-connection:%d", n), late: true, applies: hasBody, reply: func(a *reply, _ *http.Request) {
		a.cutAt, a.reset, a.cutPerLine = n, true, true
	}}
}

// StopAt ends the connection at one byte of the representation, whatever range
// is asked for: a box on the way that lets nothing beyond it through.
func StopAt(position int64) Lie {
	return Lie{Name: fmt.Sprintf("stop-at:%d", position), late: true, applies: hasBody, reply: func(a *reply, _ *http.Request) {
		from, _, _, _ := a.contentRange() // 0 for an answer that has none
		a.cutAt, a.reset = max(0, position-from), false
	}}
}

// Trim ends each body after n bytes in good order: Content-Length is that of
// what is sent, Content-Range that of what was there.
func Trim(n int64) Lie {
	return Lie{Name: fmt.Sprintf("trim:%d", n), applies: hasBody, reply: func(a *reply, _ *http.Request) {
		if a.size > n {
			a.size = n
			a.body = io.LimitReader(a.body, n)
		}
	}}
}

// RefuseRanges answers a request for a range with a status, and serves wholes.
func RefuseRanges(code int) Lie {
	return Lie{Name: fmt.Sprintf("refuse-ranges:%d", code), applies: hasRange, reply: func(a *reply, _ *http.Request) {
		a.replace(code, "text/plain; charset=utf-8", []byte(http.StatusText(code)+"\n"))
	}}
}

// LimitAnswer answers with a status wherever the body would be longer than n.
func LimitAnswer(n int64, code int) Lie {
	return Lie{Name: fmt.Sprintf("limit-answer:%d,%d", n, code), applies: hasBody, reply: func(a *reply, _ *http.Request) {
		if a.size > n {
			a.replace(code, "text/plain; charset=utf-8", []byte(http.StatusText(code)+"\n"))
		}
	}}
}

// RefuseBeyond answers with a status wherever a byte at or behind the position
// is asked for first.
func RefuseBeyond(position int64, code int) Lie {
	return Lie{Name: fmt.Sprintf("refuse-beyond:%d,%d", position, code), applies: hasRange, reply: func(a *reply, _ *http.Request) {
		if from, _, _, ok := a.contentRange(); ok && from >= position {
			a.replace(code, "text/plain; charset=utf-8", []byte(http.StatusText(code)+"\n"))
		}
	}}
}

func parseCode(argument string) (int, error) {
	code, err := strconv.Atoi(argument)
	if err == nil && (code < 400 || code > 599) {
		err = fmt.Errorf("%d is no refusal", code)
	}
	return code, err
}

func parseRefuseRanges(argument string) (Lie, error) {
	code, err := parseCode(argument)
	return RefuseRanges(code), err
}

// numberAndCode reads "BYTES,CODE".
func numberAndCode(lie func(int64, int) Lie) func(string) (Lie, error) {
	return func(argument string) (Lie, error) {
		first, second, _ := strings.Cut(argument, ",")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return Lie{}, err
		}
		code, err := parseCode(second)
		return lie(n, code), err
	}
}

// OnRanges tells a lie only where a range is asked for.
func OnRanges(lie Lie) Lie {
	applies := lie.applies
	lie.applies = func(r *http.Request) bool { return hasRange(r) && (applies == nil || applies(r)) }
	return lie
}

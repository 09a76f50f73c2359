package reply_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cheeseboard/httpd/reply"
)

func TestTextIsPlainAndUncached(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		w := httptest.NewRecorder()
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Content-Encoding", "gzip")
		reply.Text(w, httptest.NewRequest(method, "/", nil), 404, "no <b>numpy</b>\r\nSet-Cookie: a\x1b[31m \xff")
		res := w.Result()
		if res.StatusCode != 404 || res.Header.Get("ETag") != "" || res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Cache-Control") != "no-store" ||
			!strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: headers %v", method, res.Header)
		}
		want := "no <b>numpy</b>  Set-Cookie: a [31m  \n"
		if method == "HEAD" {
			want = ""
		}
		if got := w.Body.String(); got != want {
			t.Errorf("%s: body %q, want %q", method, got, want)
		}
	}
}

func TestPlainCutsOnRuneBoundary(t *testing.T) {
	for _, s := range []string{strings.Repeat("ä", 900), "x" + strings.Repeat("ä", 900), strings.Repeat("世", 900)} {
		got := reply.Plain(s)
		if len(got) > 1010 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("Plain gives %d bytes ending in %q", len(got), got[len(got)-8:])
		}
		if strings.Contains(got, " ") {
			t.Errorf("Plain broke a rune: %q", got[len(got)-12:])
		}
	}
}

func TestLaterRoundsUp(t *testing.T) {
	for after, want := range map[time.Duration]string{
		1: "1", time.Second: "1", 1500 * time.Millisecond: "2", 3 * time.Second: "3",
	} {
		w := httptest.NewRecorder()
		reply.Later(w, httptest.NewRequest("GET", "/", nil), after, "wait")
		if got := w.Result().Header.Get("Retry-After"); got != want || w.Code != 503 {
			t.Errorf("%v: %d, Retry-After %q, want %q", after, w.Code, got, want)
		}
	}
}

func TestReadOnly(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "POST": false, "PUT": false, "DELETE": false, "OPTIONS": false, "get": false} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.Method = method
		if got := reply.ReadOnly(w, r); got != want {
			t.Errorf("%s: %v", method, got)
		}
		if !want && (w.Code != 405 || w.Result().Header.Get("Allow") != "GET, HEAD") {
			t.Errorf("%s: %d %v", method, w.Code, w.Result().Header)
		}
	}
}

func TestNoneMatch(t *testing.T) {
	const tag = `"a-1"`
	tests := []struct {
		header []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{`"a-1"`}, true},
		{[]string{`W/"a-1"`}, true},
		{[]string{`a-1`}, false},
		{[]string{`"A-1"`}, false},
		{[]string{`"a-1x"`}, false},
		{[]string{`"b", "a-1"`}, true},
		{[]string{`"b","a-1","c"`}, true},
		{[]string{`W/"b" , W/"a-1"`}, true},
		{[]string{`"b"`, `"a-1"`}, true},
		{[]string{`*`}, true},
		{[]string{` *`}, true},
		{[]string{`"x,*,y"`}, false},
		{[]string{`"x, "a-1"`}, false}, // a broken list: what follows is not trusted
		{[]string{`"unterminated`}, false},
		{[]string{`W/`}, false},
		{[]string{`w/"a-1"`}, false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = http.Header{"If-None-Match": tt.header}
		if got := reply.NoneMatch(r, tag); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.header, got, tt.want)
		}
		if reply.NoneMatch(r, "") {
			t.Errorf("%q matches the empty tag", tt.header)
		}
	}
}

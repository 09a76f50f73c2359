package quick_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"cheeseboard/httpd/quick"
)

// corpus is what is asked of both: requests as clients send them, and everything
// that somebody may send to have two readers understand two things.
func corpus() []string {
	var all []string
	paths := []string{"/", "/page", "/page/", "/simple/numpy/", "/none/x", "/unoffered", "//page", "/./page", "/../page", "/a/../page", "/page?", "/page?a=b",
		"/p%61ge", "/page%2f", "/page#x", "/page;a=b", "/a b", "/\x00", "/\x7f", "/é", "*", "page", "http://box/page", "http://other/page", "box:80", "/page\t", ""}
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD"} {
			all = append(all, strings.Replace(get(path), "GET", method, 1))
		}
	}
	for _, method := range []string{"get", "GETT", "PUT", "OPTIONS", "DELETE", "PRI", "CONNECT", "TRACE", " GET", "GET\t", "G", ""} {
		all = append(all, strings.Replace(get("/page"), "GET", method, 1))
	}
	for _, version := range []string{"HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", " HTTP/1.1", "HTTP/1.10", "HTTP/01.1", "HTTP", "HTP/1.1"} {
		all = append(all, strings.Replace(get("/page"), "HTTP/1.1", version, 1))
	}
	fields := []string{
		"Accept: a", "accept: a", "ACCEPT:a", "Accept:  a  ", "Accept:\ta", "Accept: a\t", "Accept : a", " Accept: a", "Accept: a\r\n b", "Accept: a\r\n\tb", "Accept", ": a", "Accept: \x01", "Accept: é", "Accept: a\x00b",
		"Accept: a\r\nAccept: b", "Accept:", "Accept: ", "Host: box", "Host: other", "Host:", "Acc ept: a", "Acc\tept: a", "A@b: c", "A_b: c", "Content-Length: 0", "Content-Length: 5",
		"Content-Length: 0\r\nContent-Length: 0", "Content-Length: 0\r\nContent-Length: 5", "Content-Length: +5", "Content-Length: -1", "Content-Length: 0x5", "Content-Length:", "content-length : 5", "Content-Length: 5, 5",
		"Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5", "Transfer-Encoding:\tchunked", "X: y\r\n Transfer-Encoding: chunked",
		"Expect: 100-continue", "Expect: x", "Connection: close", "Connection: Close", "Connection: keep-alive", "Connection: Keep-Alive", "Connection: upgrade", "Connection: keep-alive, close", "Connection: keep-alive\r\nConnection: close", "Connection: Accept",
		"Upgrade: h2c", "Upgrade: websocket\r\nConnection: Upgrade", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "TE: trailers", "Trailer: x", "Keep-Alive: 3", "Proxy-Connection: close",
		"If-None-Match: \"0\"", "If-None-Match: W/\"0\"", "If-None-Match: *", "If-None-Match: \"1\", \"0\"", "If-None-Match: 0", "If-None-Match: \"0\"\r\nIf-None-Match: \"1\"", "If-Match: \"0\"", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "If-Range: \"0\"",
		"Range: bytes=0-1", "Range: x", "Accept-Encoding: gzip", "Accept-Encoding: gzip, deflate", "Accept-Encoding: identity", "Accept-Encoding:", "User-Agent: pip/25", "User-Agent: a\r\nUser-Agent: b", "Cache-Control: no-store", "Pragma: no-cache", "Accept-Language: de",
		"Cookie: a=b", "Authorization: Basic YTpi", "X-Forwarded-For: 1.2.3.4", "X-HTTP-Method-Override: DELETE", "Cheeseboard-Here-Only: 1", "Forwarded: for=x", "X: " + strings.Repeat("y", 5000), "X: " + strings.Repeat("y", 30000),
	}
	for _, f := range fields {
		for _, path := range []string{"/page", "/none/x"} {
			all = append(all, get(path, f), get(path, "Accept: z", f), get(path, f, "User-Agent: z"))
		}
	}
	for _, host := range []string{"Host: box:80", "Host: [::1]:80", "Host: a b", "Host: a/b", "Host: a@b", "Host: %61", "Host: é", "Host: \"x\"", "Host: a,b", "Host : box", "host: box", "HOST:box", "X: y"} {
		all = append(all, strings.Replace(get("/page"), "Host: box", host, 1))
	}
	all = append(all,
		strings.ReplaceAll(get("/page"), "\r\n", "\n"), strings.Replace(get("/page"), "\r\n", "\n", 1), "\r\n"+get("/page"), "\n"+get("/page"), " "+get("/page"),
		strings.Replace(get("/page"), "\r\n\r\n", "\r\n\n", 1), strings.Replace(get("/page"), "\r\n\r\n", "\n\r\n", 1), strings.Replace(get("/page"), "\r\n", "\r\r\n", 1), strings.Replace(get("/page"), "Host", "\r\nHost", 1),
		"GET /page\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /page HTTP/1.1\r\n\r\n",
		"POST /page HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
		"POST /page HTTP/1.1\r\nHost: box\r\nContent-Length: "+fmt.Sprint(len(get("/none/smuggled")))+"\r\n\r\n"+get("/none/smuggled"),
		"GET /page HTTP/1.1\r\nHost: box\r\nContent-Length: "+fmt.Sprint(len(get("/none/smuggled")))+"\r\n\r\n"+get("/none/smuggled"),
	)
	return all
}

// said is everything that a server answers to some bytes and then the end of what
// is sent.
func said(t testing.TB, address, text string) string {
	t.Helper()
	c := dial(t, address)
	defer func() { _ = c.Close() }() // it was read to its end
	_, err := io.WriteString(c, text)
	if err == nil {
		err = c.Conn.(*net.TCPConn).CloseWrite()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		// The server may have closed before it has read everything.
		t.Logf("send %.40q: %v", text, err)
	}
	var all strings.Builder
	for {
		method := http.MethodGet
		if strings.HasPrefix(text, "HEAD") && all.Len() == 0 {
			method = http.MethodHead
		}
		a, err := c.answer(method)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("no end of the answers to %.200q", text)
		}
		if err != nil {
			return all.String() // the end, or a reset where not everything was read
		}
		all.WriteString(a + "\n----\n")
	}
}

// Both answer the same, the first time and again, to the last byte but for the date.
func TestSameAsNetHTTP(t *testing.T) {
	s := serve(t, quick.Options{})
	for _, text := range corpus() {
		// A request that is surely understood follows: who takes another one's bytes
		// for a request answers it wrongly, or not.
		for _, then := range []string{"", get("/page", "Accept: then")} {
			want := said(t, s.plain, text+then)
			for round := range 3 {
				if got := said(t, s.quick, text+then); got != want {
					t.Fatalf("%.300q, round %d: quick answers\n%s\nand net/http\n%s", text+then, round, got, want)
				}
			}
		}
	}
	t.Logf("%d requests; the handler was asked %d times", len(corpus()), s.asked.Load())
}

// The same with a connection that stays, and heads that come in pieces.
func TestSameOnOneConnection(t *testing.T) {
	s := serve(t, quick.Options{})
	all := corpus()
	chance := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		var text strings.Builder
		for range 1 + chance.IntN(6) {
			if chance.IntN(3) > 0 {
				text.WriteString(get("/page", "Accept: then"))
			} else {
				text.WriteString(all[chance.IntN(len(all))])
			}
		}
		whole := text.String()
		if strings.HasPrefix(whole, "HEAD") || strings.Contains(whole, "\nHEAD") || len(whole) > 8000 {
			continue
		}
		if got, want := said(t, s.quick, whole), said(t, s.plain, whole); got != want {
			t.Fatalf("%q: quick answers\n%s\nand net/http\n%s", whole, got, want)
		}
	}
}

func FuzzSameAsNetHTTP(f *testing.F) {
	s := serve(f, quick.Options{})
	for _, text := range corpus() {
		if len(text) < 1000 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 6000 || strings.Contains(text, "/slow") || strings.Contains(text, "/large") {
			return
		}
		text += get("/page", "Accept: then")
		want := said(t, s.plain, text)
		for range 2 {
			if got := said(t, s.quick, text); got != want {
				t.Errorf("%q: quick answers\n%s\nand net/http\n%s", text, got, want)
			}
		}
	})
}

// An answer that is given again costs no memory.
func BenchmarkAgain(b *testing.B) {
	s := serve(b, quick.Options{})
	c := dial(b, s.quick)
	if err := c.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	request := []byte(get("/page", "Accept: application/vnd.pypi.simple.v1+json", "Accept-Encoding: gzip, deflate", "User-Agent: pip/25.3"))
	answer := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(answer); err != nil {
			b.Fatal(err)
		}
	}
}

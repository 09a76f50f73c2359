package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// heard is what a box answers to raw bytes, until it closes the connection.
type heard struct {
	raw     []byte
	answers []*http.Response
	bodies  [][]byte
	open    bool // it waits for more
}

func (h heard) String() string {
	var s []string
	for _, a := range h.answers {
		s = append(s, fmt.Sprint(a.StatusCode))
	}
	if h.open {
		s = append(s, "waits for more")
	}
	return strings.Join(s, ", ")
}

// listening is how long a box may take for an answer; what it leaves open for longer
// is not waited for.
const listening = 20 * time.Second

// say sends bytes to a box and listens. A request without a Connection field has one
// added, so that the box closes after its answer.
func say(t *testing.T, b *box, raw string) heard {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	must(t, err)
	defer func() { _ = conn.Close() }() // the other end may have gone
	must(t, conn.SetDeadline(time.Now().Add(listening)))
	go func() { _, _ = io.WriteString(conn, raw) }() // a box need not take all of it
	var h heard
	h.raw, err = io.ReadAll(conn)
	var waited net.Error
	h.open = errors.As(err, &waited) && waited.Timeout()
	in := bufio.NewReader(bytes.NewReader(h.raw))
	method, _, _ := strings.Cut(raw, " ")
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return h
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			body = append(body, "(cut off)"...)
		}
		_ = resp.Body.Close() // it was read
		h.answers, h.bodies = append(h.answers, resp), append(h.bodies, body)
		method = "GET"
	}
}

// attack is something that a request tries, and the statuses of all answers to it.
// Several lists are as good as one another; 0 stands for no answer at all.
type attack struct {
	what string
	raw  string
	want []int
	// see looks at more than the status; nil: nothing.
	see func(heard) string
}

func statuses(h heard) (list []int) {
	for _, a := range h.answers {
		list = append(list, a.StatusCode)
	}
	return list
}

// get makes a request that asks for the connection to be closed.
func rawGet(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

func rawPost(path, body string, fields ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n" + body
}

// atHome finds fault with an answer that leads elsewhere, or sets what was asked for.
func atHome(h heard) string {
	for _, a := range h.answers {
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil || to.Host != "" || to.Scheme != "" {
			return "it leads to " + a.Header.Get("Location")
		}
		if a.Header.Get("Set-Cookie") != "" || a.Header.Get("X-Evil") != "" {
			return fmt.Sprintf("it has the fields %v", a.Header)
		}
	}
	return ""
}

// silent finds fault with an answer that says what the request said.
func silent(h heard) string {
	if bytes.Contains(h.raw, []byte("evil")) {
		return "it repeats what it was told"
	}
	return ""
}

const smuggled = "GET /simple/smuggled/ HTTP/1.1\r\nHost: localhost\r\n\r\n"

// traversals try to reach what is not served.
func traversals(file string) []attack {
	digest := strings.Split(file, "/")[3]
	return []attack{
		{"dots", rawGet("/../../etc/passwd"), []int{301, 307, 404}, atHome},
		{"dots below files", rawGet("/files/../../../etc/passwd"), []int{301, 307, 404}, atHome},
		{"escaped dots", rawGet("/files/%2e%2e/%2e%2e/etc/passwd"), []int{301, 307, 404}, atHome},
		{"escaped slashes for a file", rawGet("/files/curd/" + digest + "/..%2f..%2f..%2fetc%2fpasswd"), []int{404}, nil},
		{"backslashes", rawGet(`/files/curd/` + digest + `/..\..\etc\passwd`), []int{404}, nil},
		{"a zero byte", rawGet("/files/curd/" + digest + "/x%00.whl"), []int{404}, nil},
		{"a zero byte for a project", rawGet("/simple/curd%00/"), []int{404}, nil},
		{"long forms of UTF-8", rawGet("/simple/%c0%ae%c0%ae%c0%af/"), []int{404}, nil},
		{"a project above", rawGet("/simple/..%2f..%2f/"), []int{404}, nil},
		{"another store's name", rawGet("/simple/curd@corp/"), []int{404}, nil},
		{"the data folder", rawGet("/authority.pem"), []int{404}, nil},
		{"the control socket", rawGet("/status"), []int{404}, nil},
		{"another host behind slashes", rawGet("//evil.example/simple"), []int{301, 307, 404}, atHome},
		{"another host behind a backslash", rawGet(`/\evil.example/..`), []int{301, 307, 404}, atHome},
		{"a name that leads elsewhere", rawGet("/simple/%2fevil.example"), []int{301, 404}, atHome},
		{"a whole address", "GET http://evil.example/simple/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", []int{200}, silent},
		{"no path", "GET evil HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", []int{400}, nil},
	}
}

// smugglers send one request that might be taken for two.
func smugglers() []attack {
	post := func(fields, body string) string {
		return "POST /simple/ HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n" + body
	}
	return []attack{
		{"two lengths", post("Content-Length: 0\r\nContent-Length: 53\r\n", smuggled), []int{400}, nil},
		{"a length and chunks", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), []int{405, 400}, nil},
		{"chunks and a length", post("Transfer-Encoding: chunked\r\nContent-Length: 60\r\n", "0\r\n\r\n"+smuggled), []int{405, 400}, nil},
		{"chunks twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), []int{400, 501}, nil},
		{"chunks of a kind", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+smuggled), []int{400, 501}, nil},
		{"chunks and nothing", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+smuggled), []int{400, 501}, nil},
		{"chunks behind a tab", post("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"+smuggled), []int{405, 400, 501}, nil},
		{"chunks behind a space", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+smuggled), []int{400}, nil},
		{"chunks in a folded line", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+smuggled), []int{405, 400, 501}, nil},
		{"a length with a sign", post("Content-Length: +5\r\n", "abcde"+smuggled), []int{400}, nil},
		{"a negative length", post("Content-Length: -5\r\n", smuggled), []int{400}, nil},
		{"a length in hexadecimals", post("Content-Length: 0x5\r\n", "abcde"+smuggled), []int{400}, nil},
		{"a list of lengths", post("Content-Length: 5, 5\r\n", "abcde"+smuggled), []int{400}, nil},
		{"a chunk that is too long", post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"+smuggled), []int{405, 400}, nil},
		{"a chunk without an end", post("Transfer-Encoding: chunked\r\n", "5\r\nabcdeX\r\n0\r\n\r\n"+smuggled), []int{405, 400}, nil},
		{"a GET with a body", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + fmt.Sprint(len(smuggled)) + "\r\n\r\n" + smuggled, []int{200}, nil},
		{"a HEAD with a body", "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + fmt.Sprint(len(smuggled)) + "\r\n\r\n" + smuggled, []int{200}, nil},
		{"another protocol", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", []int{200}, nil},
		{"a tunnel", "CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\nConnection: close\r\n\r\n", []int{400, 404, 405}, atHome},
		{"a mirror", "TRACE /simple/ HTTP/1.1\r\nHost: localhost\r\nX-Secret: evil\r\nConnection: close\r\n\r\n", []int{405}, silent},
	}
}

// malformed are requests that no reader should take.
func malformed() []attack {
	return []attack{
		{"no host", "GET / HTTP/1.1\r\n\r\n", []int{400}, nil},
		{"two hosts", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", []int{400}, nil},
		{"a host with a path", "GET / HTTP/1.1\r\nHost: evil.example/x\r\nConnection: close\r\n\r\n", []int{400}, nil},
		{"a host with a user", "GET / HTTP/1.1\r\nHost: a@evil.example\r\nConnection: close\r\n\r\n", []int{400}, nil},
		{"a host with markup", "GET / HTTP/1.1\r\nHost: <script>alert(1)</script>\r\nConnection: close\r\n\r\n", []int{400}, nil},
		{"an unknown version", "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", []int{505, 400}, nil},
		{"no version", "GET /\r\n\r\n", []int{400, 0}, nil},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 405, 505, 0}, nil},
		{"TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", []int{400, 0}, nil},
		{"a carriage return in a field", "GET /simple/ HTTP/1.1\r\nHost: localhost\r\nX: a\rX-Evil: b\r\nConnection: close\r\n\r\n", []int{400}, atHome},
		{"a zero byte in a field", "GET /simple/ HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", []int{400}, nil},
		{"a space in the name of a field", "GET /simple/ HTTP/1.1\r\nHost: localhost\r\nX Y: a\r\n\r\n", []int{400}, nil},
		{"a line that is no field", "GET /simple/ HTTP/1.1\r\nHost: localhost\r\nevil\r\n\r\n", []int{400}, nil},
		{"a line break in the path", rawGet("/simple/x%0d%0aSet-Cookie:%20a=b/"), []int{404}, atHome},
		{"a line break in a name that is redirected", rawGet("/simple/Curd%0d%0aX-Evil:%20b"), []int{404}, atHome},
		{"a line break in the form", rawGet("/simple/?format=%0d%0aX-Evil:%20b"), []int{406, 400}, atHome},
		{"a line break in a search", rawGet("/search?q=%0d%0aX-Evil:%20b"), []int{200, 400}, atHome},
		{"markup in a search", rawGet("/search?q=%3Cscript%3Ealert(1)%3C/script%3E"), []int{200, 400}, func(h heard) string {
			if bytes.Contains(h.raw, []byte("<script>alert")) {
				return "it is in the page"
			}
			return ""
		}},
		{"markup in a name", rawGet("/simple/%3Cscript%3Ealert(1)%3C%2fscript%3E/"), []int{404}, func(h heard) string {
			if len(h.answers) == 1 && strings.Contains(h.answers[0].Header.Get("Content-Type"), "html") {
				return "it is answered as HTML"
			}
			return ""
		}},
		{"a path that forges the log", rawGet("/simple/%0Atime=2026-01-01T00:00:00Z%20level=WARN%20msg=forged/"), []int{404}, nil},
		{"a program that forges the log", rawGet("/simple/", "User-Agent: x\"\tlevel=WARN msg=forged"), []int{200}, nil},
	}
}

// oversized are requests that want to be kept in memory.
func oversized(token string) []attack {
	auth := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("__token__:"+token))
	return []attack{
		{"a long address", rawGet("/simple/" + strings.Repeat("x", 5000)), []int{414}, nil},
		{"a longer address", rawGet("/" + strings.Repeat("x", 100_000)), []int{431, 414, 0}, nil},
		{"a long name", rawGet("/simple/" + strings.Repeat("x", 1000) + "/"), []int{404}, nil},
		{"a long field", rawGet("/simple/", "X: "+strings.Repeat("x", 30_000)), []int{431, 0}, nil},
		{"many fields", rawGet("/simple/", strings.Repeat("X: y\r\n", 20_000)+"X: y"), []int{431, 0}, nil},
		{"a long list of tags", rawGet("/simple/curd/", "If-None-Match: "+strings.Repeat(`"x", `, 2000)+`"x"`), []int{200}, nil},
		{"a long list of types", rawGet("/simple/curd/", "Accept: "+strings.Repeat("a/b;q=0.1, ", 1000)+"text/html"), []int{200, 406}, nil},
		{"a body that nobody wants", rawPost("/simple/", strings.Repeat("x", 1<<20)), []int{405, 0}, nil},
		{"a long call of the feed", rawPost("/pypi", "<?xml version='1.0'?><methodCall><methodName>"+strings.Repeat("x", 1<<20), "Content-Type: text/xml"), []int{200, 400, 413, 0}, nil},
		{"entities that unfold", rawPost("/pypi", `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "evilevil"><!ENTITY c "&b;&b;&b;">]><methodCall><methodName>&c;</methodName></methodCall>`, "Content-Type: text/xml"), []int{200, 400}, silent},
		{"an upload of half the world", "POST /legacy/ HTTP/1.1\r\nHost: localhost\r\n" + auth + "\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 4611686018427387904\r\n\r\n", []int{413}, nil},
		{"an upload without an end, by nobody", "POST /legacy/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 4611686018427387904\r\n\r\n", []int{401}, nil},
		{"an upload with a long boundary", rawPost("/legacy/", "x", auth, "Content-Type: multipart/form-data; boundary="+strings.Repeat("x", 5000)), []int{415}, nil},
		{"a compressed upload", rawPost("/legacy/", "\x1f\x8b\x08", auth, "Content-Type: multipart/form-data; boundary=x", "Content-Encoding: gzip"), []int{400, 415}, nil},
		{"a compressed call of the feed", rawPost("/pypi", "\x1f\x8b\x08", "Content-Type: text/xml", "Content-Encoding: gzip"), []int{200, 400, 415}, nil},
	}
}

// strangers come under other names, from other sites, and without a session.
func strangers(token, cookie string) []attack {
	auth := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("__token__:"+token))
	as := func(method, path, host string, fields ...string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nContent-Length: 0\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
	}
	return []attack{
		{"rebinding", as("GET", "/admin/", "evil.example", cookie), []int{421}, nil},
		{"rebinding, with a port", as("POST", "/admin/sync", "evil.example:8080", cookie), []int{421}, nil},
		{"rebinding, by a name that holds an address", as("GET", "/admin/", "127.0.0.1.evil.example", cookie), []int{421}, nil},
		{"rebinding, by an address that is not the box's", as("GET", "/admin/", "0.0.0.0", cookie), []int{421}, nil},
		{"rebinding, by a whole address", "GET http://evil.example/admin/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + cookie + "\r\n\r\n", []int{421}, nil},
		{"a page of another site", as("POST", "/admin/sync", "localhost", cookie, "Origin: http://evil.example"), []int{403}, nil},
		{"a frame of another site", as("POST", "/admin/sync", "localhost", cookie, "Sec-Fetch-Site: cross-site"), []int{403}, nil},
		{"a page of a neighbour", as("POST", "/admin/sync", "localhost", cookie, "Sec-Fetch-Site: same-site"), []int{403}, nil},
		{"a page without an origin", as("POST", "/admin/sync", "localhost", cookie, "Origin: null"), []int{403}, nil},
		{"a link to an action", as("GET", "/admin/sync", "localhost", cookie), []int{405}, nil},
		{"another method in disguise", as("GET", "/admin/sync", "localhost", cookie, "X-HTTP-Method-Override: POST"), []int{405}, nil},
		{"no session", as("POST", "/admin/sync", "localhost"), []int{401}, nil},
		{"a session that is made up", as("GET", "/admin/state", "localhost", "Cookie: cheeseboard_session=AAAAAAAAAAAAAAAAAAAAAAAAAA"), []int{401}, nil},
		{"a detour", as("POST", "/simple/../admin/sync", "localhost"), []int{301, 307, 308, 401}, atHome},
		{"an escaped detour", as("POST", "/%61dmin/sync", "localhost"), []int{401}, nil},
		{"an upload from another site", as("POST", "/legacy/", "localhost", auth, "Origin: http://evil.example"), []int{403}, nil},
		{"what the control socket does", as("POST", "/tokens", "localhost", cookie), []int{405, 404}, nil},
		{"a trusted proxy that is none", as("GET", "/admin/state", "localhost", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost"), []int{401}, nil},
	}
}

// ranges are parts of a file in every bad form. Whatever is answered is true, and no
// more than the file.
func ranges(file string, content []byte) (list []attack) {
	size := len(content)
	for _, text := range []string{
		"", "bytes", "bytes=", "bytes=-", "bytes=-0", "bytes=--1", "bytes=0--1", "bytes=5-1", "bytes=a-b", "bytes=1", "bytes=+1-+2",
		"bytes=1 -2", "bytes = 0-1", "bytes=0x1-0x2", "bytes=1.5-2", "bytes=99999999999999999999-", "bytes=0-99999999999999999999",
		"bytes=-99999999999999999999", "bytes=18446744073709551615-", "bytes=9223372036854775807-9223372036854775807", fmt.Sprintf("bytes=%d-", size),
		fmt.Sprintf("bytes=%d-%d", size-1, size+5), "bytes=0-,0-", "bytes=0-,0-,0-,0-,0-,0-,0-,0-", "bytes=" + strings.Repeat("0-0,", 1000) + "0-0",
		"bytes=1-0,2-1", "bytes=0-1,bytes=2-3", "lines=0-1", "BYTES=0-1", "bytes=0-1\t", "bytes=,,,", "bytes=-1", "bytes=0-0", "none", "bytes=0-0;x",
	} {
		list = append(list, attack{"range " + strings.TrimSuffix(text[:min(len(text), 40)], "0-0,"), rawGet(file, "Range: "+text), []int{200, 206, 416}, func(h heard) string {
			return truePart(h, content)
		}})
	}
	return append(list, attack{"two ranges", rawGet(file, "Range: bytes=0-0", "Range: bytes=1-1"), []int{200, 206, 400, 416}, func(h heard) string { return truePart(h, content) }},
		attack{"a range if a made up tag", rawGet(file, "Range: bytes=0-0", "If-Range: \"x\""), []int{200}, func(h heard) string { return truePart(h, content) }})
}

// truePart finds fault with a part of a file that is not what it says.
func truePart(h heard, content []byte) string {
	if len(h.answers) != 1 || len(h.raw) > 2*len(content)+4096 {
		return fmt.Sprintf("%d answers, %d bytes", len(h.answers), len(h.raw))
	}
	a, body := h.answers[0], h.bodies[0]
	switch a.StatusCode {
	case 200:
		if !bytes.Equal(body, content) {
			return "the whole is not the file"
		}
	case 206:
		var from, to, size int
		if strings.HasPrefix(a.Header.Get("Content-Type"), "multipart/") {
			return ""
		}
		n, err := fmt.Sscanf(a.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size)
		if n != 3 || err != nil || size != len(content) || from < 0 || to < from || to >= size || !bytes.Equal(body, content[from:to+1]) {
			return "the part is not what it says: " + a.Header.Get("Content-Range")
		}
	}
	return ""
}

// guessers come last: after them nobody is listened to for a while.
func guessers() []attack {
	wrong := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("__token__:wrong"))
	form := "Content-Type: application/x-www-form-urlencoded"
	var list []attack
	for i := range 8 {
		want := []int{403}
		upload := []int{401}
		if i >= 4 {
			want, upload = []int{429, 403}, []int{429, 401}
		}
		if i == 7 {
			want, upload = []int{429}, []int{429}
		}
		list = append(list, attack{fmt.Sprintf("passphrase %d", i), rawPost("/admin/login", "passphrase=wrong", form), want, nil},
			attack{fmt.Sprintf("token %d", i), rawPost("/legacy/", "", wrong, "Content-Type: multipart/form-data; boundary=x"), upload, nil})
	}
	return list
}

// TestAttacks sends a box that serves what an attacker on the LAN may send, over raw
// connections: each has its answer, nothing else comes, nobody else notices, and the
// log says no more than what was.
func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"info", "debug"} { // at debug all requests are net/http's
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil, "private.names=acme-*", "log.level="+level)
			token := strings.TrimSpace(s.succeed("token", "add", "tester").stdout)
			b := s.serve()
			cookie := sessionOf(t, b)
			file, content := firstFile(t, b, s.upstream.Index)
			attacks := slices.Concat(traversals(file), smugglers(), malformed(), oversized(token), strangers(token, cookie), ranges(file, content))
			for _, a := range attacks {
				attackWith(t, b, a)
			}
			if h := say(t, b, rawGet("/simple/curd/")); !slices.Equal(statuses(h), []int{200}) {
				t.Errorf("an honest client gets %v", h)
			}
			if h := say(t, b, strings.Replace(rawGet("/healthz"), "Connection: close\r\n", "", 1)+rawGet("/healthz")); !slices.Equal(statuses(h), []int{200, 200}) {
				t.Errorf("two honest requests in a row get %v", h)
			}
			for _, a := range guessers() {
				attackWith(t, b, a)
			}
			line, quoted := regexp.MustCompile(`^time=\S+ level=(DEBUG|INFO|WARN) msg=`), regexp.MustCompile(`"(\\.|[^"\\])*"`)
			for text := range strings.Lines(b.stderr.String()) {
				// What a client said stands between quotes, on one line.
				if !line.MatchString(text) || strings.Contains(quoted.ReplaceAllString(text, ""), "forged") {
					t.Errorf("the log says %s", text)
				}
			}
			if level == "debug" && !strings.Contains(b.stderr.String(), "forged") {
				t.Error("the log does not tell of the request at all")
			}
			b.quit()
			s.sound()
		})
	}
}

func attackWith(t *testing.T, b *box, a attack) {
	t.Helper()
	h := say(t, b, a.raw)
	got := 0
	if len(h.answers) > 0 {
		got = h.answers[0].StatusCode
	}
	if len(h.answers) > 1 || h.open || !slices.Contains(a.want, got) {
		t.Errorf("%s: %v, want one of %v", a.what, h, a.want)
		return
	}
	if a.see != nil {
		if why := a.see(h); why != "" {
			t.Errorf("%s: %v: %s", a.what, h, why)
		}
	}
	if bytes.Contains(h.raw, []byte("root:")) || bytes.Contains(h.raw, []byte("PRIVATE KEY")) {
		t.Errorf("%s gives away %s", a.what, h.raw)
	}
	t.Logf("%s: %d", a.what, got)
}

// sessionOf logs in, and gives the field that shows it.
func sessionOf(t *testing.T, b *box) string {
	t.Helper()
	h := say(t, b, rawPost("/admin/login", "passphrase="+url.QueryEscape(b.passphrase()), "Content-Type: application/x-www-form-urlencoded"))
	if len(h.answers) != 1 || len(h.answers[0].Cookies()) != 1 {
		t.Fatalf("login: %v", h)
	}
	c := h.answers[0].Cookies()[0]
	return "Cookie: " + c.Name + "=" + c.Value
}

// firstFile finds a file on a page, has it brought here, and gives its address and
// content.
func firstFile(t *testing.T, b *box, index *upstreamtest.Index) (path string, content []byte) {
	t.Helper()
	h := say(t, b, rawGet("/simple/curd/", "Accept: application/vnd.pypi.simple.v1+json"))
	var page struct {
		Files []struct{ Filename, URL string }
	}
	if len(h.bodies) != 1 || json.Unmarshal(h.bodies[0], &page) != nil || len(page.Files) == 0 {
		t.Fatalf("the page: %v %s", h, h.raw)
	}
	f := page.Files[0]
	content, _ = index.Content(f.Filename)
	path = "/" + strings.TrimLeft(f.URL, "./")
	if h := say(t, b, rawGet(path)); len(h.bodies) != 1 || !bytes.Equal(h.bodies[0], content) {
		t.Fatalf("the file %s: %v", path, h)
	}
	return path, content
}

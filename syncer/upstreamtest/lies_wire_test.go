package upstreamtest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// lied starts a server with one wheel and one lie about its file.
func lied(t *testing.T, lie Lie, times int) (server *Server, told *Told, url string, content []byte) {
	t.Helper()
	index, name, content := small(t)
	server = start(t, index)
	return server, server.Tell(OnFile(name), lie, times), server.FileURL(name), content
}

func TestCutAfter(t *testing.T) {
	server, told, url, content := lied(t, CutAfter(1000), 2)
	for range 2 {
		a := get(t, url)
		if a.length != int64(len(content)) || !bytes.Equal(a.body, content[:1000]) || !errors.Is(a.err, io.ErrUnexpectedEOF) {
			t.Errorf("stated %d, came %d, %v", a.length, len(a.body), a.err)
		}
	}
	if a := get(t, url, "Range", "bytes=1000-"); a.err != nil || !bytes.Equal(a.body, content[1000:]) {
		t.Errorf("after the lie: %d bytes, %v", len(a.body), a.err)
	}
	q := server.Requests().On(OnFile("brie"))
	if told.Count() != 2 || q[0].Body != 1000 || q.Body() != int64(len(content))+1000 {
		t.Errorf("told %d times, recorded %v", told.Count(), q)
	}
}

func TestResetAfter(t *testing.T) {
	_, _, url, content := lied(t, ResetAfter(1000), 0)
	a, err := try(t, "GET", url)
	if err == nil {
		err = a.err
	}
	if !errors.Is(err, syscall.ECONNRESET) || len(a.body) > 1000 || !bytes.HasPrefix(content, a.body) {
		t.Errorf("%d bytes, %v", len(a.body), err)
	}
}

func TestCutConnectionAfter(t *testing.T) {
	server, _, url, content := lied(t, CutConnectionAfter(1500), 0)
	client := rawClient()
	client.Transport.(*http.Transport).DisableKeepAlives = false
	ask := func(rangeHeader string) answered {
		t.Helper()
		a, err := do(client, request(t, testContext(t), "GET", url, "Range", rangeHeader))
		must(t, err)
		return a
	}
	if a := ask("bytes=0-999"); a.err != nil || len(a.body) != 1000 {
		t.Fatalf("first: %d bytes, %v", len(a.body), a.err)
	}
	if a := ask("bytes=1000-1999"); !errors.Is(a.err, io.ErrUnexpectedEOF) || !bytes.Equal(a.body, content[1000:1500]) {
		t.Errorf("second on the same connection: %d bytes, %v", len(a.body), a.err)
	}
	if a := ask("bytes=1500-2499"); a.err != nil || len(a.body) != 1000 {
		t.Errorf("on a new connection: %d bytes, %v", len(a.body), a.err)
	}
	if got := server.Requests().Body(); got != 2500 {
		t.Errorf("recorded %d bytes", got)
	}
}

func TestHangUp(t *testing.T) {
	server, told, url, _ := lied(t, HangUp(), 0)
	if _, err := try(t, "GET", url); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if q := server.Requests(); q[0].Status != 0 || told.Count() == 0 {
		t.Errorf("recorded %v", q)
	}
}

func TestStallAfterUntilRelease(t *testing.T) {
	server, told, url, content := lied(t, StallAfter(1000), 1)
	response, err := rawClient().Do(request(t, testContext(t), "GET", url))
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	first := make([]byte, 1000)
	_, err = io.ReadFull(response.Body, first)
	must(t, err)
	<-told.Reached()
	if q := server.Requests()[0]; q.Body != 1000 || q.Done {
		t.Errorf("during the silence: %v", q)
	}
	told.Release()
	rest, err := io.ReadAll(response.Body)
	if got := append(first, rest...); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, want %d, %v", len(got), len(content), err)
	}
}

func TestStallEndsWithTheClient(t *testing.T) {
	server, told, url, _ := lied(t, StallAfter(0), 0)
	ctx, cancel := context.WithCancel(testContext(t))
	response, err := rawClient().Do(request(t, ctx, "GET", url))
	must(t, err)
	<-told.Reached()
	cancel()
	if _, err := io.ReadAll(response.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	must(t, response.Body.Close())
	must(t, server.Wait(testContext(t), func(q Requests) bool { return q[0].Done }))
}

func TestNeverAnswer(t *testing.T) {
	server, told, url, content := lied(t, NeverAnswer(), 0)
	type result struct {
		answered
		err error
	}
	results := make(chan result, 1)
	ask := request(t, testContext(t), "GET", url)
	go func() {
		a, err := do(rawClient(), ask)
		results <- result{a, err}
	}()
	<-told.Reached()
	if q := server.Requests(); q[0].Status != 0 || q[0].Done {
		t.Errorf("recorded %v", q)
	}
	told.Release()
	if r := <-results; r.err != nil || !bytes.Equal(r.body, content) {
		t.Errorf("after the release: %d bytes, %v", len(r.body), r.err)
	}
}

func TestEndless(t *testing.T) {
	_, _, url, content := lied(t, Endless(), 0)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	response, err := rawClient().Do(request(t, ctx, "GET", url))
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	got := make([]byte, len(content)+3<<20)
	if _, err := io.ReadFull(response.Body, got); err != nil || !bytes.HasPrefix(got, content) || response.ContentLength != -1 {
		t.Errorf("length %d, %v", response.ContentLength, err)
	}
}

func TestEndsWithoutLength(t *testing.T) {
	for _, c := range []struct {
		lie     Lie
		size    int
		chunked bool
	}{
		{EndAfter(1000), 1000, false}, {EndChunkedAfter(1000), 1000, true}, {EndAfter(0), 0, false},
		{WithoutLength(), -1, false},
	} {
		_, _, url, content := lied(t, c.lie, 0)
		if c.size < 0 {
			c.size = len(content)
		}
		a := get(t, url)
		if a.status != 200 || a.err != nil || a.length != -1 || a.chunked != c.chunked || !bytes.Equal(a.body, content[:c.size]) {
			t.Errorf("%s: length %d, chunked %t, %d bytes, %v", c.lie.Name, a.length, a.chunked, len(a.body), a.err)
		}
	}
}

func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		code       int
		retryAfter string
	}{{429, "3"}, {503, ""}, {503, "Wed, 21 Oct 2026 07:28:00 GMT"}, {500, ""}, {502, ""}, {404, ""}} {
		_, _, url, content := lied(t, Status(c.code, c.retryAfter), 1)
		a := get(t, url, "Range", "bytes=5-")
		if a.status != c.code || a.header.Get("Retry-After") != c.retryAfter || a.header.Get("ETag") != "" || a.header.Get("Content-Range") != "" {
			t.Errorf("%d: %d, %v", c.code, a.status, a.header)
		}
		if a := get(t, url); a.status != 200 || len(a.body) != len(content) {
			t.Errorf("%d: the second answer is %d", c.code, a.status)
		}
	}
}

func TestLoginPage(t *testing.T) {
	server, _, url, _ := lied(t, LoginPage(), 0)
	server.Tell(OnPage("brie"), LoginPage(), 0)
	for _, u := range []string{url, server.IndexURL() + "brie/"} {
		a := get(t, u, "Accept", typeJSON)
		if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || string(a.body) != loginPage {
			t.Errorf("%s: %d, %v", u, a.status, a.header)
		}
	}
}

func TestRedirectLies(t *testing.T) {
	server, _, url, _ := lied(t, RedirectLoop(), 0)
	client := rawClient()
	client.CheckRedirect = nil // the ten redirects that Go allows
	if _, err := do(client, request(t, testContext(t), "GET", url)); err == nil || !strings.Contains(err.Error(), "10 redirects") {
		t.Errorf("got %v", err)
	}
	if paths := server.Requests().Paths(); len(paths) != 10 || paths[9] != paths[0] || server.Requests()[9].Query != "turn=9" {
		t.Errorf("asked %q", paths)
	}
	for _, to := range []string{"file:///etc/passwd", "http://localhost:1/simple/brie/"} {
		_, _, url, _ := lied(t, RedirectTo(to), 0)
		if a := get(t, url); a.status != 302 || a.header.Get("Location") != to {
			t.Errorf("%d to %q", a.status, a.header.Get("Location"))
		}
	}
}

func TestLiesAboutRanges(t *testing.T) {
	for _, c := range []struct {
		lie    Lie
		status int
		stated string
		from   int
		to     int
	}{
		{IgnoreRange(), 200, "", 0, 1 << 30},
		{Unsatisfiable(), 416, "bytes */SIZE", 0, 0},
		{WrongContentRange(3, 0), 206, "bytes 13-22/SIZE", 10, 20},
		{WrongContentRange(0, -50), 206, "bytes 10-19/LESS", 10, 20},
		{UnknownTotal(), 206, "bytes 10-19/*", 10, 20},
	} {
		server, told, url, content := lied(t, c.lie, 0)
		replacer := strings.NewReplacer("SIZE", itoa(len(content)), "LESS", itoa(len(content)-50))
		if a := get(t, url); a.status != 200 || !bytes.Equal(a.body, content) || told.Count() != 0 {
			t.Errorf("%s: without Range: %d", c.lie.Name, a.status)
		}
		a := get(t, url, "Range", "bytes=10-19")
		want := content[c.from:min(c.to, len(content))]
		if a.status != c.status || a.header.Get("Content-Range") != replacer.Replace(c.stated) || !bytes.Equal(a.body, want) {
			t.Errorf("%s: %d, %q, %d bytes", c.lie.Name, a.status, a.header.Get("Content-Range"), len(a.body))
		}
		if q := server.Requests(); len(q[0].Lies) != 0 || q[1].Lies[0] != c.lie.Name {
			t.Errorf("%s: recorded %v", c.lie.Name, q)
		}
	}
}

func TestGzipBomb(t *testing.T) {
	index, _, _ := small(t)
	server := start(t, index)
	server.Tell(OnPage("brie"), GzipBomb(64), 0)
	a := get(t, server.IndexURL()+"brie/", "Accept", typeJSON, "Accept-Encoding", "gzip")
	if a.header.Get("Content-Encoding") != "gzip" || len(a.body) > 80<<10 {
		t.Fatalf("%v, %d bytes", a.header, len(a.body))
	}
	r, err := gzip.NewReader(bytes.NewReader(a.body))
	must(t, err)
	head := make([]byte, 20)
	_, err = io.ReadFull(r, head)
	must(t, err)
	n, err := io.Copy(io.Discard, r) // an error here is a wrong checksum or length
	if err != nil || n < 64<<20 || !bytes.HasPrefix(head, []byte(`{"meta":{"api-versio`)) {
		t.Errorf("unpacks to %d bytes, %v, %q", n, err, head)
	}
}

func TestLiesAddUp(t *testing.T) {
	server, _, url, content := lied(t, ChangeETag(false), 0)
	server.Tell(OnFile("*"), CutAfter(500), 0)
	first := get(t, url)
	second := get(t, url, "Range", "bytes=500-", "If-Range", first.header.Get("ETag"))
	if second.status != 206 || second.header.Get("ETag") == first.header.Get("ETag") || !bytes.Equal(second.body, content[500:1000]) {
		t.Errorf("%d, %v, %d bytes", second.status, second.header, len(second.body))
	}
}

// TestResetUnderAnotherServer makes sure that the handler can stand alone.
func TestResetUnderAnotherServer(t *testing.T) {
	index, name, _ := small(t)
	server := NewServer(index)
	server.Tell(OnFile(name), ResetAfter(1000), 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	other := &http.Server{Handler: server}
	served := make(chan error, 1)
	go func() { served <- other.Serve(l) }()
	a, err := try(t, "GET", "http://"+l.Addr().String()+index.Path(name))
	if err == nil {
		err = a.err
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	must(t, other.Close())
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	must(t, server.Close())
}

package quick_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/httpd/quick"
)

// front is a handler as the real one: it offers what it answers. What it has been
// asked is counted.
type front struct {
	asked   atomic.Int64
	version atomic.Int64 // what still goes by
	used    atomic.Int64
	block   chan struct{} // /slow waits for it
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked.Add(1)
	version := f.version.Load()
	still := func() bool { return f.version.Load() == version }
	body := fmt.Appendf(nil, "version %d of %s for %s as %q in %q\n", version, r.URL.Path, r.Host, r.Header["Accept"], r.Header["Accept-Encoding"])
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		read, _ := io.ReadAll(r.Body)
		http.Error(w, fmt.Sprintf("%s with %q", r.Method, read), http.StatusMethodNotAllowed)
		return
	case r.URL.Path == "/slow":
		<-f.block
	case r.URL.Path == "/large":
		body = bytes.Repeat(body, 100_000)
	case strings.HasPrefix(r.URL.Path, "/none/"):
		http.Error(w, "there is no "+r.URL.Path, http.StatusNotFound)
		return
	case r.URL.Path == "/unoffered":
		still = nil
	}
	tag := fmt.Sprintf(`"%d"`, version)
	w.Header().Set("ETag", tag)
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	if r.Header.Get("If-None-Match") == tag {
		quick.Keep(r.Context(), quick.Offer{Still: still, Used: func() { f.used.Add(1) }})
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	quick.Keep(r.Context(), quick.Offer{Body: body, Still: still, Used: func() { f.used.Add(1) }})
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client may have gone
	}
}

// served is a front behind a server, and the same one behind net/http alone.
type served struct {
	*front
	quick, plain string // addresses
	server       *quick.Server
	inner        *http.Server
}

func serve(t testing.TB, o quick.Options) *served {
	t.Helper()
	s := &served{front: &front{block: make(chan struct{})}}
	s.inner = settings(s.front)
	s.server = quick.New(s.inner, o)
	plain := settings(s.front)
	ended := make(chan error, 2)
	var addresses []string
	for _, serve := range []func(net.Listener) error{s.server.Serve, plain.Serve} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, l.Addr().String())
		go func() { ended <- serve(l) }()
	}
	s.quick, s.plain = addresses[0], addresses[1]
	t.Cleanup(func() {
		if err := s.server.Close(); err != nil {
			t.Error(err)
		}
		_ = plain.Close() // it served for comparison only
		for range 2 {
			if err := <-ended; err != http.ErrServerClosed {
				t.Error(err)
			}
		}
	})
	return s
}

func settings(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}

// client is a connection on which raw bytes are sent.
type client struct {
	t testing.TB
	net.Conn
	answers *bufio.Reader
}

func dial(t testing.TB, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a test may have done so
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{t, c, bufio.NewReader(c)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one, and gives it as text, with the date taken out.
func (c *client) answer(method string) (string, error) {
	resp, err := http.ReadResponse(c.answers, &http.Request{Method: method})
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil && time.Since(date).Abs() < time.Hour {
		resp.Header.Set("Date", "now")
	}
	var b strings.Builder
	fmt.Fprintln(&b, resp.Proto, resp.Status, resp.ContentLength, resp.Close)
	if err := resp.Header.Write(&b); err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\n%s", body)
	return b.String(), nil
}

func (c *client) mustAnswer() string {
	c.t.Helper()
	a, err := c.answer(http.MethodGet)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func get(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\n" + strings.Join(append([]string{"Host: box"}, fields...), "\r\n") + "\r\n\r\n"
}

// The second request, and those on other connections, are answered without the
// handler, with what it has answered the first.
func TestAnsweredAgain(t *testing.T) {
	s := serve(t, quick.Options{})
	one, two := dial(t, s.quick), dial(t, s.quick)
	one.send(get("/page"))
	first := one.mustAnswer()
	for _, c := range []*client{one, two, one, two} {
		c.send(get("/page", "User-Agent: somebody/1", "Connection: keep-alive", "Cache-Control: max-age=0"))
		if got := c.mustAnswer(); got != first {
			t.Errorf("%s\ninstead of\n%s", got, first)
		}
	}
	if n, used := s.asked.Load(), s.used.Load(); n != 1 || used != 4 {
		t.Errorf("the handler was asked %d times, %d answers were given again", n, used)
	}
	s.version.Add(1)
	two.send(get("/page"))
	if got := two.mustAnswer(); !strings.Contains(got, "version 1 of") {
		t.Errorf("an answer that holds no more was given: %s", got)
	}
}

// Each part of a request that a handler may look at has answers of its own.
func TestKeptApart(t *testing.T) {
	s := serve(t, quick.Options{})
	c := dial(t, s.quick)
	seen := make(map[string]string)
	for range 3 {
		for _, request := range []string{
			get("/page"), get("/page/"), get("/page", "Accept: a"), get("/page", "Accept:"), get("/page", "Accept-Encoding: a"),
			get("/page", "If-None-Match: \"0\""), get("/page", "If-None-Match: \"1\""), strings.Replace(get("/page"), "box", "other", 1),
		} {
			c.send(request)
			got := c.mustAnswer()
			if before, is := seen[request]; is && got != before {
				t.Errorf("%q was answered\n%s\nand then\n%s", request, before, got)
			}
			seen[request] = got
		}
	}
	if n := s.asked.Load(); n != 8 {
		t.Errorf("the handler was asked %d times instead of 8", n)
	}
}

// What an answer is not offered for, or asks for more than is known, is asked each
// time, and the connection goes on to be answered here.
func TestNotKept(t *testing.T) {
	for _, request := range []string{
		get("/unoffered"), get("/none/1"), get("/page?x=1"), get("/p%61ge"), get("/page", "Authorization: Basic x"), get("/page", "Range: bytes=0-1"),
		get("/page", "X-Forwarded-For: 1.2.3.4"), "POST /page HTTP/1.1\r\nHost: box\r\nContent-Length: 3\r\n\r\nabc",
	} {
		s := serve(t, quick.Options{})
		c := dial(t, s.quick)
		var last string
		for i := range 3 {
			c.send(request)
			got := c.mustAnswer()
			if last != "" && got != last {
				t.Errorf("%q: %s\nand then\n%s", request, last, got)
			}
			if last = got; s.asked.Load() != int64(i+1) {
				t.Errorf("%q was answered without the handler", request)
			}
		}
	}
}

// Requests that come at once are answered in their order, whoever answers them.
func TestPipelining(t *testing.T) {
	s := serve(t, quick.Options{})
	warm := dial(t, s.quick)
	warm.send(get("/page"))
	warm.mustAnswer()
	var all strings.Builder
	var want []string
	for i := range 60 {
		path := "/page"
		switch {
		case i%7 == 3:
			path = fmt.Sprintf("/none/%d", i)
		case i%11 == 5:
			path = "/page?" + fmt.Sprint(i)
		}
		all.WriteString(get(path))
		want = append(want, path)
	}
	for _, size := range []int{1, 7, 64, 1000, all.Len()} {
		c := dial(t, s.quick)
		go func() {
			for text := all.String(); len(text) > 0; {
				n := min(size, len(text))
				if _, err := io.WriteString(c, text[:n]); err != nil {
					return // the reader will see it
				}
				text = text[n:]
			}
		}()
		for i, path := range want {
			got := c.mustAnswer()
			if bare, _, _ := strings.Cut(path, "?"); !strings.Contains(got, bare) {
				t.Fatalf("in pieces of %d, answer %d is not for %s: %s", size, i, path, got)
			}
		}
	}
}

// A head that comes slowly is answered like any other.
func TestInPieces(t *testing.T) {
	s := serve(t, quick.Options{})
	c := dial(t, s.quick)
	for range 3 {
		for _, b := range []byte(get("/page", "Accept: a")) {
			c.send(string(b))
		}
		c.mustAnswer()
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("the handler was asked %d times", n)
	}
}

func TestLargeBody(t *testing.T) {
	s := serve(t, quick.Options{})
	c := dial(t, s.quick)
	c.send(get("/large"))
	first := c.mustAnswer()
	for range 2 {
		c.send(get("/large"))
		if got := c.mustAnswer(); got != first {
			t.Errorf("%d bytes came instead of the %d that came first", len(got), len(first))
		}
	}
}

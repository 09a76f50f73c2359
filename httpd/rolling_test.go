package httpd_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/httpd"
)

// pipes is a listener of in-memory connections without buffers: what the client
// does not read, the server cannot write. Under synctest their deadlines run on
// the bubble's clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// serve runs a server in the bubble of the test until the returned stop is
// called. ended gets the time at which a handler has returned.
func serve(t *testing.T, h http.Handler) (dial func() net.Conn, ended chan time.Time) {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	ended = make(chan time.Time, 10)
	server := httpd.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- time.Now() }()
		h.ServeHTTP(w, r)
	}), nil, httpd.Limits{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close() // the listener is ours and gives no error
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return func() net.Conn {
		client, server := net.Pipe()
		l.conns <- server
		t.Cleanup(func() { _ = client.Close() }) // a pipe's Close gives no error
		return client
	}, ended
}

func write(t *testing.T, c net.Conn, request string) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: box\r\n\r\n" }

// answer reads the head of a response.
func answer(t *testing.T, r *bufio.Reader) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// slow reads at most 20,480 bytes per second.
type slow struct{ io.Reader }

func (s slow) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p[:min(len(p), 2048)])
	time.Sleep(time.Duration(n) * time.Second / 20480) // the bubble's clock
	return n, err
}

func TestSlowClientLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, 5<<20)
		dial, _ := serve(t, b.handler(nil))
		c := dial()
		write(t, c, get(b.fileURL()))
		start := time.Now()
		res := answer(t, bufio.NewReaderSize(slow{c}, 2048))
		got, err := io.ReadAll(res.Body)
		if err != nil || !bytes.Equal(got, b.data) {
			t.Fatalf("after %v: %d of %d bytes, %v", time.Since(start), len(got), len(b.data), err)
		}
		if took := time.Since(start); took < 4*time.Minute {
			t.Errorf("took %v: the client was not slow, so the test shows nothing", took)
		}
	})
}

func TestStuckClientDies(t *testing.T) {
	for _, read := range []int{0, 100, 3 << 20} {
		t.Run(fmt.Sprint("after ", read), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, 5<<20)
				dial, ended := serve(t, b.handler(nil))
				c := dial()
				write(t, c, get(b.fileURL()))
				if _, err := io.CopyN(io.Discard, c, int64(read)); err != nil {
					t.Fatal(err)
				}
				stuck := time.Now()
				if took := (<-ended).Sub(stuck); took < httpd.Patience-time.Second || took > httpd.Patience+time.Second {
					t.Errorf("a client that takes nothing is held for %v", took)
				}
				if n, err := io.Copy(io.Discard, c); err != nil || n > 1<<20 {
					t.Errorf("%d bytes more, %v", n, err)
				}
			})
		})
	}
}

// pausing is a reader that waits for its upstream before every tenth of it.
type pausing struct {
	*bytes.Reader
	pause time.Duration
}

func (r *pausing) Read(p []byte) (int, error) {
	if r.Len() > 0 {
		time.Sleep(r.pause) // the bubble's clock
	}
	return r.Reader.Read(p[:min(int64(len(p)), r.Size()/10)])
}

func TestWaitForUpstreamIsNotTheClientsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, 100_000)
		b.open = func() io.ReadSeeker { return &pausing{bytes.NewReader(b.data), 5 * time.Minute} }
		dial, _ := serve(t, b.handler(nil))
		c := dial()
		write(t, c, get(b.fileURL()))
		got, err := io.ReadAll(answer(t, bufio.NewReader(c)).Body)
		if err != nil || !bytes.Equal(got, b.data) {
			t.Fatalf("%d of %d bytes, %v", len(got), len(b.data), err)
		}
	})
}

func TestKeptConnectionOutlivesItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBox(t, 1000)
		dial, _ := serve(t, b.handler(nil))
		c := dial()
		r := bufio.NewReader(c)
		for i := range 5 {
			write(t, c, get("/simple/demo/"))
			res := answer(t, r)
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
				t.Fatalf("request %d: %d, %v", i, res.StatusCode, err)
			}
			time.Sleep(httpd.Patience * 3 / 2) // the bubble's clock
		}
	})
}

func TestRequestThatNeverEnds(t *testing.T) {
	tests := map[string]struct {
		request string
		within  time.Duration
		status  int // 0: the connection is closed without an answer
	}{
		"headers":     {"GET /simple/ HTTP/1.1\r\nHost: box\r\nX: ", 11 * time.Second, 0},
		"body":        {"GET /simple/ HTTP/1.1\r\nHost: box\r\nContent-Length: 100\r\n\r\nabc", 6 * time.Second, 200},
		"posted body": {"POST /simple/ HTTP/1.1\r\nHost: box\r\nContent-Length: 100000\r\n\r\nabc", 6 * time.Second, 405},
		"chunks":      {"GET /healthz HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 6 * time.Second, 200},
		"nothing":     {"", 11 * time.Second, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, _ := serve(t, newBox(t, 10).handler(nil))
				c := dial()
				start := time.Now()
				write(t, c, tt.request)
				got, err := io.ReadAll(c)
				if took := time.Since(start); err != nil || took > tt.within {
					t.Errorf("closed after %v with %v", took, err)
				}
				if status := fmt.Sprint("HTTP/1.1 ", tt.status); tt.status != 0 && !strings.HasPrefix(string(got), status) {
					t.Errorf("answer %.80q, want %s", got, status)
				}
			})
		})
	}
}

// kernel stands for the connection: it sees what would be given to sendfile.
type kernel struct {
	*httptest.ResponseRecorder
	slices []int64
	other  int
}

func (k *kernel) ReadFrom(src io.Reader) (int64, error) {
	l, ok := src.(*io.LimitedReader)
	if !ok {
		k.other++
		return io.Copy(k.ResponseRecorder, src)
	}
	if _, ok := l.R.(*os.File); !ok {
		k.other++
	}
	n, err := io.Copy(struct{ io.Writer }{k.ResponseRecorder}, src)
	k.slices = append(k.slices, n)
	return n, err
}

func TestKernelSendsStoredFiles(t *testing.T) {
	b := newBox(t, 2<<20+12345)
	tests := map[string][]int64{
		"":                      {1 << 20, 1 << 20, 12345},
		"bytes=5-":              {1 << 20, 1 << 20, 12340},
		"bytes=1048576-2097151": {1 << 20},
		"bytes=0-0":             {1},
	}
	for header, want := range tests {
		k := &kernel{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest("GET", b.fileURL(), nil)
		r.Header.Set("Range", header)
		b.handler(nil).ServeHTTP(k, r)
		if fmt.Sprint(k.slices) != fmt.Sprint(want) || k.other != 0 {
			t.Errorf("Range %q: slices of a bare file %v, want %v; %d others", header, k.slices, want, k.other)
		}
		var sum int64
		for _, n := range want {
			sum += n
		}
		if int64(k.Body.Len()) != sum {
			t.Errorf("Range %q: %d bytes, want %d", header, k.Body.Len(), sum)
		}
	}
}

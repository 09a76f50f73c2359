package quick_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/httpd/quick"
)

// held is a body in a file that counts who holds it.
type held struct {
	file  *os.File
	size  int64
	holds atomic.Int64
	gone  atomic.Bool
	free  chan struct{} // has a value after it was held no more
}

func (h *held) Hold() bool {
	if h.gone.Load() {
		return false
	}
	h.holds.Add(1)
	return true
}

func (h *held) Release() error {
	if h.holds.Add(-1) == 0 {
		select {
		case h.free <- struct{}{}:
		default:
		}
	}
	return nil
}

func (h *held) File() (*os.File, int64) { return h.file, h.size }

// library gives one large body from a file, and counts how often it is asked.
type library struct {
	*held
	asked atomic.Int64
}

func (l *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.asked.Add(1)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", fmt.Sprint(l.size))
	quick.Keep(r.Context(), quick.Offer{File: l.held, Still: func() bool { return true }})
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, io.NewSectionReader(l.file, 0, l.size)) // the client may have gone
	}
}

// serveFile serves a body of so many bytes, and gives what it is.
func serveFile(t *testing.T, size int) (l *library, address string, want []byte) {
	t.Helper()
	for i := 0; len(want) < size; i++ {
		sum := sha256.Sum256(fmt.Append(nil, i))
		want = append(want, sum[:]...)
	}
	want = want[:size]
	name := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l = &library{held: &held{file: file, size: int64(size), free: make(chan struct{}, 1)}}
	server := quick.New(settings(l), quick.Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != http.ErrServerClosed {
			t.Error(err)
		}
		// An answer that was broken off ends in a goroutine of net/http's, whose Close waits for none.
		patience := time.After(time.Minute)
		for waits := true; waits && l.holds.Load() != 0; {
			select {
			case <-l.free:
			case <-patience:
				t.Errorf("at the end the file is held %d times", l.holds.Load())
				waits = false
			}
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, listener.Addr().String(), want
}

// TestFromFile has many read the same file at the same time, again and again, small and
// large, with HEADs and other requests between: each gets every byte in its place.
func TestFromFile(t *testing.T) {
	for _, size := range []int{0, 1, 100_000, 3<<20 + 3} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l, address, want := serveFile(t, size)
			ask := func() {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = c.Close() }() // it was read to its end
				_ = c.(*net.TCPConn).SetReadBuffer(256 << 10)
				get := get("/file")
				const rounds = 3
				go func() {
					// All at once: answers must keep their order.
					_, _ = io.WriteString(c, strings.Repeat(get+strings.Replace(get, "GET", "HEAD", 1), rounds)) // reading finds out
				}()
				r := bufio.NewReader(c)
				for range rounds {
					for _, method := range []string{"GET", "HEAD"} {
						resp, err := http.ReadResponse(r, &http.Request{Method: method})
						if err != nil {
							t.Error(err)
							return
						}
						got, err := io.ReadAll(resp.Body)
						if err != nil || resp.ContentLength != int64(size) || method == "GET" && !bytes.Equal(got, want) || method == "HEAD" && len(got) > 0 {
							t.Errorf("%s: %d bytes of %d: %v", method, len(got), size, err)
							return
						}
					}
				}
			}
			ask() // so that there are answers to give again
			before := l.asked.Load()
			var all sync.WaitGroup
			for range 4 {
				all.Go(ask)
			}
			all.Wait()
			if n := l.asked.Load() - before; n != 0 {
				t.Errorf("the handler was asked %d times more", n)
			}
		})
	}
}

// TestFromFileThatIsGone: the answer must come from the handler then.
func TestFromFileThatIsGone(t *testing.T) {
	l, address, want := serveFile(t, 200_000)
	for i, gone := range []bool{false, false, true} {
		l.gone.Store(gone)
		resp, err := http.Get("http://" + address + "/file")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("request %d: %d bytes, %v", i, len(got), err)
		}
	}
	if l.asked.Load() < 2 {
		t.Error("something was answered from a file that is closed")
	}
}

// TestFromFileThatIsShorter: a client must not take what comes for all of it.
func TestFromFileThatIsShorter(t *testing.T) {
	l, address, _ := serveFile(t, 300_000)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // the other end has closed it
	r := bufio.NewReader(c)
	for i := range 2 {
		if i == 1 {
			if err := l.file.Truncate(1000); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(c, get("/file")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if i == 0 && (err != nil || n != 300_000) || i == 1 && (!errors.Is(err, io.ErrUnexpectedEOF) || n > 1000) {
			t.Errorf("answer %d: %d bytes, %v", i, n, err)
		}
	}
}

// TestFromFileToNobody: who goes away in the middle must not leave the file held.
func TestFromFileToNobody(t *testing.T) {
	_, address, want := serveFile(t, 8<<20)
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{int64(len(want)), 1 << 20} { // the second one is answered from the file
		if _, err := io.WriteString(c, get("/file")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

package quick_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/httpd/quick"
)

// Between clients who ask without a pause, and others who never come to an end, each
// request is answered; when all have gone, so have the goroutines. scripts/bench serve
// --crowd does so with thousands, and looks at the clock.
func TestCrowd(t *testing.T) {
	const busy, slow, requests = 100, 200, 50
	before := runtime.NumGoroutine()
	f := &front{}
	server := quick.New(settings(f), quick.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	for range slow {
		dial(t, l.Addr().String()).send("GET /page HTTP/1.1\r\nHost: b")
	}
	var running sync.WaitGroup
	wrong := make(chan string, busy)
	for i := range busy {
		c := dial(t, l.Addr().String())
		running.Go(func() {
			for n := range requests {
				if i == 0 {
					f.version.Add(1) // what is kept holds no more
				}
				path := "/page"
				if (i+n)%10 == 0 {
					path = fmt.Sprintf("/none/%d", n)
				}
				_, err := io.WriteString(c, get(path))
				var got string
				if err == nil {
					got, err = c.answer(http.MethodGet)
				}
				if err != nil || !strings.Contains(got, path) {
					wrong <- fmt.Sprintf("client %d, request %d for %s: %v %s", i, n, path, err, got)
					return
				}
			}
		})
	}
	running.Wait()
	close(wrong)
	for w := range wrong {
		t.Error(w)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != http.ErrServerClosed {
		t.Error(err)
	}
	// net/http does not wait for goroutines that have nothing left to do.
	for runtime.NumGoroutine() > before {
		select {
		case <-t.Context().Done():
			t.Fatalf("%d goroutines instead of %d", runtime.NumGoroutine(), before)
		case <-time.After(time.Millisecond):
		}
	}
}

package upstreamtest

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"
)

// patience is how long a test waits for what must come; it is never used up
// when all is well.
const patience = 2 * time.Minute

// answered is an answer as it came over the wire.
type answered struct {
	status  int
	header  http.Header
	length  int64 // Content-Length; -1 without one
	chunked bool
	body    []byte
	err     error // of reading the body
}

func start(t *testing.T, index *Index) *Server {
	t.Helper()
	return startWith(t, NewServer(index))
}

func startWith(t *testing.T, server *Server) *Server {
	t.Helper()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// rawClient follows no redirect, unpacks nothing and opens a connection per request.
func rawClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// request makes a request; header are keys and values by turns.
func request(t *testing.T, ctx context.Context, method, url string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// get asks once and reads all that comes; a request without an answer is fatal.
func get(t *testing.T, url string, header ...string) answered {
	t.Helper()
	a, err := try(t, "GET", url, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(t *testing.T, method, url string, header ...string) (answered, error) {
	t.Helper()
	return do(rawClient(), request(t, testContext(t), method, url, header...))
}

func do(client *http.Client, r *http.Request) (answered, error) {
	response, err := client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = response.Body.Close() }() // all that matters was read
	a := answered{
		status: response.StatusCode, header: response.Header, length: response.ContentLength,
		chunked: len(response.TransferEncoding) > 0 && response.TransferEncoding[0] == "chunked",
	}
	a.body, a.err = io.ReadAll(response.Body)
	return a, nil
}

// small is an index with one project that has one wheel of a known size.
func small(t *testing.T) (index *Index, filename string, content []byte) {
	t.Helper()
	index = NewIndex()
	filename, err := index.AddWheel(Wheel{Name: "brie", Version: "1.0", Payload: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	content, ok := index.Content(filename)
	if !ok {
		t.Fatalf("%s is not in the index", filename)
	}
	return index, filename, content
}

// must fails the test for an error of a change to an index.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package wire

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/syncer/budget"
)

func client(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle)
	return c
}

func get(t *testing.T, c *Client, address string) error {
	t.Helper()
	resp, err := c.Get(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func TestCauses(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/silent", func(http.ResponseWriter, *http.Request) { <-release })
	mux.HandleFunc("/halfway", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("some"))
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("some"))
		panic(http.ErrAbortHandler)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(release)
	secure := httptest.NewUnstartedServer(http.RedirectHandler(server.URL, http.StatusFound))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs the handshake that is refused
	secure.StartTLS()
	defer secure.Close()

	c := client(t, Options{Stall: time.Second, Connect: time.Second})
	for address, want := range map[string]Cause{
		nobody:                  Unreachable,
		server.URL + "/loop":    Lie,
		server.URL + "/file":    Lie,
		server.URL + "/silent":  Stalled,
		server.URL + "/halfway": Stalled,
		server.URL + "/cut":     Cut,
		secure.URL:              Certificate,
		"http://\x7f/":          Lie,
	} {
		err := get(t, c, address)
		if got := CauseOf(err); got != want {
			t.Errorf("%s: cause %q (%v), want %q", address, got, err, want)
		}
	}
	c.http.Transport.(*http.Transport).TLSClientConfig.RootCAs = secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if err := get(t, c, secure.URL); CauseOf(err) != Lie {
		t.Errorf("a redirect from https to http: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(ctx, http.MethodGet, server.URL, nil); CauseOf(err) != Canceled {
		t.Errorf("canceled: %v", err)
	}
	if c.Received() == 0 {
		t.Error("no byte was counted")
	}
}

func TestPost(t *testing.T) {
	release := make(chan struct{})
	var lost atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Header.Get("Kind") == "lost" && !lost.Swap(true) {
			panic(http.ErrAbortHandler) // as a kept connection that has died
		}
		if err != nil || r.ContentLength != int64(len(body)) || len(r.Header.Values("Idempotency-Key")) > 0 || r.UserAgent() != "cheeseboard" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write(append([]byte(r.Header.Get("Kind")+" "), body...))
	})
	mux.HandleFunc("POST /moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/echo", http.StatusPermanentRedirect)
	})
	mux.HandleFunc("POST /silent", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	})
	mux.HandleFunc("POST /halfway", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("some"))
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(release)
	c := client(t, Options{Stall: time.Second, Connect: time.Second})
	post := func(path, kind string) (string, error) {
		header := http.Header{"Kind": {kind}}
		resp, err := c.Post(t.Context(), server.URL+path, header, []byte("a question"))
		if len(header) != 1 {
			t.Errorf("the caller's header was changed: %v", header)
		}
		if err != nil {
			return "", err
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
		return string(body), errors.Join(err, resp.Body.Close())
	}
	for _, ask := range [][2]string{{"/echo", "text"}, {"/echo", "lost"}, {"/moved", "moved"}} {
		if got, err := post(ask[0], ask[1]); err != nil || got != ask[1]+" a question" {
			t.Errorf("%s: %q %v", ask, got, err)
		}
	}
	if resp, err := c.Post(t.Context(), server.URL+"/echo", nil, nil); err != nil {
		t.Error(err)
	} else if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("without header and body: %d %v", resp.StatusCode, err)
	}
	for _, path := range []string{"/silent", "/halfway"} {
		if _, err := post(path, ""); CauseOf(err) != Stalled {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestStatusProblem(t *testing.T) {
	for status, want := range map[int]Cause{404: Gone, 410: Gone, 429: Busy, 503: Busy, 500: Broken, 502: Broken, 403: Refused, 204: Lie, 301: Lie} {
		resp := &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}}
		p := StatusProblem(resp, "http://x.example/")
		if p.Cause != want || p.RetryAfter != 7*time.Second {
			t.Errorf("%d: %s, %s", status, p.Cause, p.RetryAfter)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-5": 0, "x": 0, "99999999999": 0, "999999": maxRetryAfter,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2025 03:04:35 GMT": 0,
	} {
		if value == "99999999999" {
			want = maxRetryAfter // on 64 bits; where an int has 32 it does not parse
			if got := retryAfter(value, now); got != want && got != 0 {
				t.Errorf("%q: %s", value, got)
			}
			continue
		}
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Proxy: "nonsense"}, {CAFile: "/does/not/exist"}, {CAFile: "wire_test.go"}} {
		if _, err := NewClient(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// TestSpend holds that bytes are counted as they are read, that waiting for the
// budget is no stall, and that its refusal ends the body with its own cause.
func TestSpend(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 100_000))
	}))
	defer server.Close()
	const stall = 300 * time.Millisecond
	spent, waited := 0, false
	c := client(t, Options{Stall: stall, Spend: func(ctx context.Context, n int) error {
		spent += n
		if !waited {
			waited = true
			select {
			case <-time.After(2 * stall):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}})
	if err := get(t, c, server.URL); err != nil || spent != 100_000 || !waited {
		t.Errorf("%v, %d bytes spent", err, spent)
	}
	until := time.Now().Add(time.Hour)
	c = client(t, Options{Spend: func(context.Context, int) error { return &budget.Refusal{Reason: "enough", Until: until} }})
	err := get(t, c, server.URL)
	var p *Problem
	if !errors.As(err, &p) || p.Cause != Budget || p.RetryAfter < 50*time.Minute || !p.Permanent() {
		t.Errorf("a refusal of the budget gives %v", err)
	}
}

package wire

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard collects what a client tells of its answers.
type heard struct {
	mu  sync.Mutex
	all []Answer
}

func (h *heard) take(a Answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, a)
}

func (h *heard) last(t *testing.T) Answer {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 {
		t.Fatal("nothing was told")
	}
	return h.all[len(h.all)-1]
}

func TestAnswers(t *testing.T) {
	const thinking = 50 * time.Millisecond
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		timer := time.NewTimer(thinking)
		<-timer.C
		_, _ = io.WriteString(w, "here")
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/mute", func(http.ResponseWriter, *http.Request) { <-release })
	server := httptest.NewServer(mux)
	defer server.Close()
	defer close(release)
	var h heard
	c := client(t, Options{Stall: 300 * time.Millisecond})
	c.Watch(h.take)

	if err := get(t, c, server.URL+"/slow"); err != nil {
		t.Fatal(err)
	}
	if a := h.last(t); !a.Whole || a.First < thinking || "http://"+a.Host != server.URL {
		t.Errorf("of a slow answer it tells %+v", a)
	}
	if err := get(t, c, server.URL+"/cut"); err == nil {
		t.Fatal("a cut was not noticed")
	}
	if a := h.last(t); a.Whole || a.First <= 0 {
		t.Errorf("of a cut answer it tells %+v", a)
	}
	if err := get(t, c, server.URL+"/mute"); err == nil {
		t.Fatal("silence was not noticed")
	}
	if a := h.last(t); a.Whole || a.First != 0 {
		t.Errorf("of no answer it tells %+v", a)
	}
	if len(h.all) != 3 {
		t.Errorf("it tells %d times of 3 answers", len(h.all))
	}
	c.Watch(nil)
	if err := get(t, c, server.URL+"/slow"); err != nil || len(h.all) != 3 {
		t.Errorf("nobody watches any more: %v, %d", err, len(h.all))
	}
}

// TestStreamsEnd closes answers over HTTP/2 when their last byte was read: none
// may count as called off.
func TestStreamsEnd(t *testing.T) {
	var mu sync.Mutex
	calledOff, served := 0, 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "here")
		_ = http.NewResponseController(w).Flush()
		// The mark that ends the stream is sent when this returns.
		timer := time.NewTimer(30 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		mu.Lock()
		defer mu.Unlock()
		served++
		if r.Context().Err() != nil {
			calledOff++
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	c := client(t, Options{CAFile: ca})
	for range 5 {
		resp, err := c.Get(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ProtoMajor != 2 {
			t.Fatalf("it speaks %s", resp.Proto)
		}
		b := new(strings.Builder)
		if _, err := io.CopyN(b, resp.Body, 4); err != nil || b.String() != "here" {
			t.Errorf("%q, %v", b, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if served != 5 || calledOff != 0 {
		t.Errorf("%d of %d answers were called off", calledOff, served)
	}
}

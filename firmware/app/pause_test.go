package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/board/watchdog"
	"cheeseboard/storage"
)

// TestWatchdogPause: during a pause a check counts as done, also one that was under way
// when it began, but not for ever; without one it counts for what it is.
func TestWatchdogPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pause
		wrong := errors.New("wrong")
		tries := 0
		waits := p.spares(func(ctx context.Context) error { tries++; <-ctx.Done(); return ctx.Err() })
		fails := p.spares(func(context.Context) error { return wrong })
		if err := fails(t.Context()); !errors.Is(err, wrong) {
			t.Error("before:", err)
		}
		done := make(chan error, 1)
		begun := time.Now()
		go func() { done <- waits(t.Context()) }()
		synctest.Wait()
		p.begin()
		if err := <-done; err != nil || time.Since(begun) > 0 {
			t.Errorf("under way: %v after %v", err, time.Since(begun))
		}
		time.Sleep(pauseBound - time.Second)
		if err := waits(t.Context()); err != nil || tries != 1 {
			t.Errorf("during the pause: %v, %d tries", err, tries)
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := waits(ctx); !errors.Is(err, context.DeadlineExceeded) || tries != 2 {
			t.Errorf("a pause without an end: %v, %d tries", err, tries)
		}
		p.end()
		if err := fails(t.Context()); !errors.Is(err, wrong) {
			t.Error("after:", err)
		}
		p.begin()
		if err := fails(t.Context()); err != nil {
			t.Error("during the next:", err)
		}
	})
}

// TestWatchdogHouse: while the rooms are closed for a job, what proves that the box is of
// use counts as done, and neither before nor after.
func TestWatchdogHouse(t *testing.T) {
	c := DefaultConfig()
	c.Data, c.Storage.Reserve = t.TempDir(), 0
	a, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proofs := a.proofs(l.Addr())
	if err := l.Close(); err != nil { // nobody answers
		t.Fatal(err)
	}
	try := func(check watchdog.Check) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return check.Try(ctx)
	}
	if err := try(proofs[0]); err == nil {
		t.Error("before: somebody answers")
	}
	err = a.swap(func() error { return nil }, func() (target, error) {
		for _, check := range proofs {
			if err := try(check); err != nil {
				t.Errorf("%s: %v", check.Name, err)
			}
		}
		return target{config: c, options: storage.Options{Mend: true}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := try(proofs[0]); err == nil {
		t.Error("after: somebody answers")
	}
	if err := try(proofs[1]); err != nil {
		t.Error("after:", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestWatchdogAnswers: whatever a box answers, it answers; one that does not come to the
// end of an answer does not.
func TestWatchdogAnswers(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized, http.StatusFound, http.StatusServiceUnavailable} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "so it is") // the client may have gone
		}))
		if err := asksSelf(server.Listener.Addr())(t.Context()); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		server.Close()
	}
	cut := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "so")
		_ = http.NewResponseController(w).Flush()
		<-cut
	}))
	defer server.Close()
	defer close(cut)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := asksSelf(server.Listener.Addr())(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("half an answer: %v", err)
	}
}

// TestWatchdogAddress: the box is asked where it listens, with the zone of an address.
func TestWatchdogAddress(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:80":             "http://127.0.0.1:80/healthz",
		"[::]:80":                "http://127.0.0.1:80/healthz",
		"192.0.2.1:8080":         "http://192.0.2.1:8080/healthz",
		"[2001:db8::1]:80":       "http://[2001:db8::1]:80/healthz",
		"[fe80::1%wlan-none]:80": "http://[fe80::1%25wlan-none]:80/healthz",
	} {
		got := healthURL(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address)))
		if got != want {
			t.Errorf("%s: %s instead of %s", address, got, want)
		}
		if _, err := http.NewRequest(http.MethodGet, got, nil); err != nil {
			t.Error(err)
		}
	}
}

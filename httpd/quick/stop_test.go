package quick_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/httpd/quick"
)

// Shutdown closes who waits, and lets those under way go out, who are with
// net/http as well as those who are not.
func TestShutdown(t *testing.T) {
	s := serve(t, quick.Options{})
	idle, fresh, partial, slow := dial(t, s.quick), dial(t, s.quick), dial(t, s.quick), dial(t, s.quick)
	for _, c := range []*client{idle, partial} {
		for range 2 {
			c.send(get("/page"))
			c.mustAnswer()
		}
	}
	partial.send("GET /pa")
	asked := s.asked.Load()
	slow.send(get("/slow"))
	for s.asked.Load() == asked {
		select {
		case <-t.Context().Done():
			t.Fatal("the request does not arrive")
		case <-time.After(time.Millisecond):
		}
	}
	down := make(chan error, 1)
	go func() { down <- s.server.Shutdown(context.Background()) }()
	for _, c := range []*client{idle, fresh, partial} {
		if got, err := c.answer(http.MethodGet); err == nil {
			t.Errorf("an answer instead of the end: %s", got)
		}
	}
	select {
	case err := <-down:
		t.Fatal("Shutdown did not wait for the request under way", err)
	default:
	}
	close(s.block)
	if got := slow.mustAnswer(); !strings.Contains(got, "/slow") {
		t.Error(got)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.quick); err == nil {
		t.Error("it still listens")
	}
}

// While the gate is shut net/http has the requests, and what was kept is forgotten.
// This one is shut every second time.
type shutGate struct{ entered, left atomic.Int64 }

func (g *shutGate) TryEnter() bool { return g.entered.Add(1)%2 == 0 }
func (g *shutGate) Leave()         { g.left.Add(1) }
func (g *shutGate) Era() uint64    { return 0 }

func TestGate(t *testing.T) {
	g := &shutGate{}
	s := serve(t, quick.Options{Gate: g})
	c := dial(t, s.quick)
	for range 9 {
		c.send(get("/page"))
		c.mustAnswer()
	}
	if asked, left := s.asked.Load(), g.left.Load(); asked != 7 || left != 2 {
		t.Errorf("the handler was asked %d times, and %d requests left the gate", asked, left)
	}
}

// A client that says nothing more in its head is let go, and so is one that says
// nothing at all.
func TestSlowHeads(t *testing.T) {
	s := &served{front: &front{}}
	s.inner = settings(s.front)
	s.inner.ReadHeaderTimeout, s.inner.IdleTimeout = 100*time.Millisecond, 200*time.Millisecond
	server := quick.New(s.inner, quick.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	address := l.Addr().String()
	silent, begun, later, idle, with := dial(t, address), dial(t, address), dial(t, address), dial(t, address), dial(t, address)
	begun.send("GET /page HTTP/1.1\r\n")
	for _, c := range []*client{later, idle} {
		c.send(get("/page"))
		c.mustAnswer()
		c.send(get("/page"))
		c.mustAnswer()
	}
	later.send("G")
	with.send(get("/page?"))
	with.mustAnswer()
	with.send("G")
	for i, c := range []*client{silent, begun, later, idle, with} {
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("client %d: %q, %v instead of the end", i, rest, err)
		}
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != http.ErrServerClosed {
		t.Error(err)
	}
}

// One more connection than there may be takes the place of the one that waits
// longest; where all are busy it is told so.
func TestLimits(t *testing.T) {
	s := serve(t, quick.Options{Most: 4, PerAddress: 3})
	var clients []*client
	for range 3 {
		c := dial(t, s.quick)
		c.send(get("/page"))
		c.mustAnswer()
		clients = append(clients, c)
		s.untilWaiting(len(clients)) // an answer is out before its connection waits
	}
	fourth := dial(t, s.quick)
	fourth.send(get("/page"))
	fourth.mustAnswer()
	if got, err := clients[0].answer(http.MethodGet); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection that waited longest is open: %s, %v", got, err)
	}
	asked := s.asked.Load()
	for i, c := range []*client{clients[1], clients[2], fourth} {
		c.send(get("/slow", fmt.Sprintf("Accept: %d", i)))
	}
	for s.asked.Load() < asked+3 {
		select {
		case <-t.Context().Done():
			t.Fatal("the requests do not arrive")
		case <-time.After(time.Millisecond):
		}
	}
	refused := dial(t, s.quick)
	refused.send(get("/page"))
	if got := refused.mustAnswer(); !strings.Contains(got, "503") || !strings.Contains(got, "Retry-After: 3") {
		t.Error(got)
	}
	close(s.block)
	for _, c := range []*client{clients[1], clients[2], fourth} {
		c.mustAnswer()
	}
}

// untilWaiting returns when so many connections wait for a request.
func (s *served) untilWaiting(n int) {
	for s.server.Waiting() < n {
		runtime.Gosched()
	}
}

// crowdedFront serves a front with room for four connections. idle tells of each that
// begins to wait for a request in net/http.
func crowdedFront(t *testing.T, f *front) (address string, idle <-chan struct{}) {
	t.Helper()
	inner := settings(f)
	waits := make(chan struct{}, 100)
	inner.ConnState = func(_ net.Conn, to http.ConnState) {
		if to == http.StateIdle {
			waits <- struct{}{}
		}
	}
	server := quick.New(inner, quick.Options{Most: 4})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return l.Addr().String(), waits
}

// through is a request after which net/http has the connection for good.
func through(path string) string { return get(path, "Keep-Alive: x") }

// Connections that net/http has for good are closed like others while they wait for a
// request, or for the rest of one, and not while they are answered.
func TestLimitsForNetHTTP(t *testing.T) {
	f := &front{block: make(chan struct{})}
	address, idle := crowdedFront(t, f)
	var waiting, busy []*client
	for range 4 {
		c := dial(t, address)
		c.send(through("/page"))
		c.mustAnswer()
		<-idle
		waiting = append(waiting, c)
	}
	waiting[3].send("POST /page HTTP/1.1\r\nHost: b")
	for i, old := range waiting {
		c := dial(t, address)
		before := f.asked.Load()
		c.send(through("/page") + through("/slow"))
		if got := c.mustAnswer(); !strings.Contains(got, "200 OK") {
			t.Fatalf("client %d instead of one that waits: %s", i, got)
		}
		if got, err := old.answer(http.MethodGet); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %d, which waited longest, is open: %s, %v", i, got, err)
		}
		for f.asked.Load() < before+2 {
			select {
			case <-t.Context().Done():
				t.Fatal("the second request does not arrive")
			case <-time.After(time.Millisecond):
			}
		}
		busy = append(busy, c)
	}
	refused := dial(t, address)
	refused.send(get("/page"))
	if got := refused.mustAnswer(); !strings.Contains(got, "503") {
		t.Error(got)
	}
	close(f.block)
	for _, c := range busy {
		if got := c.mustAnswer(); !strings.Contains(got, "/slow") {
			t.Error(got)
		}
	}
}

// Who sends the first part of a head that is for net/http, and never the rest, is closed
// for others.
func TestLimitsForHeads(t *testing.T) {
	address, idle := crowdedFront(t, &front{})
	begun := dial(t, address)
	if err := begun.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil { // before net/http gives up
		t.Fatal(err)
	}
	begun.send("POST /page HTTP/1.1\r\n")
	for range 4 { // the last of which finds that it has waited longest
		c := dial(t, address)
		c.send(through("/page"))
		if got := c.mustAnswer(); !strings.Contains(got, "200 OK") {
			t.Error(got)
		}
		<-idle
	}
	if got, err := begun.answer(http.MethodGet); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is waited for: %s, %v", got, err)
	}
}

// A second close, and one while nothing is served, do no harm.
func TestCloseUnserved(t *testing.T) {
	server := quick.New(settings(&front{}), quick.Options{})
	for range 2 {
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(l); err != http.ErrServerClosed {
		t.Error(err)
	}
}

package upstreamtest

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink is a connection that takes everything at once.
type sink struct {
	net.Conn
	mu  sync.Mutex
	got bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.Write(p)
}

func (s *sink) Close() error { return nil }

func (s *sink) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.Len()
}

func newLine(rate int64) *line { return &line{rate: rate, conns: map[*conn]struct{}{}} }

func TestLineSharesItsBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(1000)
		began := time.Now()
		var ends [2]time.Duration
		var group sync.WaitGroup
		for i := range ends {
			c := &conn{Conn: new(sink), line: l, closed: make(chan struct{})}
			group.Go(func() {
				if n, err := c.Write(make([]byte, 2000)); n != 2000 || err != nil {
					t.Errorf("wrote %d, %v", n, err)
				}
				ends[i] = time.Since(began)
			})
		}
		group.Wait()
		first, last := min(ends[0], ends[1]), max(ends[0], ends[1])
		if last != 4*time.Second || first < 3900*time.Millisecond {
			t.Errorf("2 times 2000 bytes at 1000 per second ended after %v and %v", first, last)
		}
		began = time.Now()
		l.mu.Lock()
		l.rate = 0
		l.mu.Unlock()
		c := &conn{Conn: new(sink), line: l, closed: make(chan struct{})}
		if _, err := c.Write(make([]byte, 1<<20)); err != nil || time.Since(began) != 0 {
			t.Errorf("without a limit it took %v, %v", time.Since(began), err)
		}
	})
}

func TestLineSwallows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(0)
		l.swallow(true)
		through, closed := new(sink), new(sink)
		a := &conn{Conn: through, line: l, closed: make(chan struct{})}
		b := &conn{Conn: closed, line: l, closed: make(chan struct{})}
		errs := make(chan error, 2)
		go func() { _, err := a.Write([]byte("abc")); errs <- err }()
		go func() { _, err := b.Write([]byte("abc")); errs <- err }()
		synctest.Wait()
		if through.size()+closed.size() != 0 {
			t.Fatal("bytes came through")
		}
		must(t, b.Close())
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed while it waited: %v", err)
		}
		l.swallow(false)
		if err := <-errs; err != nil || through.size() != 3 || closed.size() != 0 {
			t.Errorf("after the end of it: %v, %d and %d bytes", err, through.size(), closed.size())
		}
	})
}

func TestLineThatIsClosedWhileItPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &conn{Conn: new(sink), line: newLine(1), closed: make(chan struct{})}
		done := make(chan error, 1)
		go func() { _, err := c.Write([]byte("abc")); done <- err }()
		synctest.Wait() // the write holds still for the first byte
		must(t, c.Close())
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

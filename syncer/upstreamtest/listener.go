package upstreamtest

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// line is what stands between the server and its clients: its speed, its delay,
// and whether it swallows everything. It knows all connections.
type line struct {
	mu        sync.Mutex
	rate      int64         // bytes per second over all connections; 0 for no limit
	latency   time.Duration // before each answer
	free      time.Time     // when the line has carried what was given to it
	swallowed chan struct{} // not nil while nothing comes through; closed at the end of that
	conns     map[*conn]struct{}
	down      bool // no connection may begin
}

// conn is one accepted connection.
type conn struct {
	net.Conn
	line   *line
	body   atomic.Int64 // bytes of bodies that it has carried
	closed chan struct{}
	once   sync.Once
}

// gate is nil while the line lets bytes through; else it is closed when it does again.
func (l *line) gate() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.swallowed
}

func (l *line) swallow(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case on && l.swallowed == nil:
		l.swallowed = make(chan struct{})
	case !on && l.swallowed != nil:
		close(l.swallowed)
		l.swallowed = nil
	}
}

// delay is how long an answer is held back.
func (l *line) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latency
}

// grant books up to n bytes on the line: how many, and how long they take.
func (l *line) grant(n int) (granted int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate <= 0 {
		return n, 0
	}
	// A twentieth of a second at a time, so that connections share the line.
	n = int(min(int64(n), max(l.rate/20, 1)))
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
	return n, l.free.Sub(now)
}

// add takes a connection in; false if the line is down.
func (l *line) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

// drop closes all connections and lets no other begin until lift.
func (l *line) drop() error {
	l.mu.Lock()
	l.down = true
	var conns []*conn
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	var errs []error
	for _, c := range conns {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (l *line) lift() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// Write sends p at the speed of the line, and not before it lets bytes through.
func (c *conn) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		if gate := c.line.gate(); gate != nil {
			select {
			case <-gate:
			case <-c.closed:
				return done, net.ErrClosed
			}
		}
		n, wait := c.line.grant(len(p) - done)
		if err := c.pause(wait); err != nil {
			return done, err
		}
		written, err := c.Conn.Write(p[done : done+n])
		done += written
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (c *conn) pause(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.closed:
		return net.ErrClosed
	}
}

// Close closes the connection and wakes a Write that waits.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}

// SetLinger sets what Close does with bytes that are not sent: 0 makes it an RST.
func (c *conn) SetLinger(seconds int) error {
	tcp, ok := c.Conn.(interface{ SetLinger(int) error })
	if !ok {
		return errors.New("set linger: not a TCP connection")
	}
	return tcp.SetLinger(seconds)
}

// listener hands out connections that belong to a line.
type listener struct {
	net.Listener
	line *line
}

// Accept waits for a connection; one that comes while the line is down is closed.
func (l listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, line: l.line, closed: make(chan struct{})}
		if l.line.add(c) {
			return c, nil
		}
		_ = raw.Close() // nobody is told anything over it
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf is the connection that a request came over; nil if the handler runs
// under another server.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// Package quick answers again what net/http has answered before. It reads the
// requests of each connection itself; one that it understands to its last byte, and
// to which it has kept an answer that still holds, it answers with those bytes.
// Everything else goes to net/http, on the same connection and in order.
//
// What makes that safe:
//
//   - An answer is kept only when the handler offers it (Keep), and with the means to
//     ask, before each use, whether the same request would be answered so again.
//   - It is kept under everything that a handler may look at: method, path, Host,
//     Accept, Accept-Encoding, If-None-Match. A request with any other field than
//     those and a few that no handler reads goes to net/http.
//   - Status, fields and body are those that net/http has sent; only the date is new.
//   - What is taken for a request is far narrower than the standard (see parse). In
//     doubt a connection is net/http's for good.
//   - net/http gets a request without a body alone, without what follows. So between
//     two requests it holds nothing back, and here is known where one begins.
//
// Deadlines are those of the http.Server: ReadHeaderTimeout for a head that has
// begun, IdleTimeout between requests, WriteTimeout for each MiB that is sent. To
// save a timer with each request, the last two are moved on when a quarter of them
// is over: a client has at least three quarters.
//
// It does no TLS, and so no HTTP/2: connections that are not plain TCP are
// net/http's. It keeps no log: while the log wants every request, net/http has them.
package quick

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Gate counts what is under way, and refuses while that is not wanted. Its methods
// are called for each request and must be quick.
type Gate interface {
	// TryEnter counts a request in; false where it has to wait, which net/http's
	// handler does.
	TryEnter() bool
	// Leave counts it out.
	Leave()
	// Era grows when what stands behind the gate is to be taken away for something
	// else, which happens while nobody is counted in.
	Era() uint64
}

// Options are the settings of a Server; a zero value is the default of each.
type Options struct {
	Gate Gate // nil: nobody counts
	// Log gets failures; while it is enabled for debug, nothing is answered here. nil
	// discards.
	Log *slog.Logger
	// Served is told of each answer that was given again, with the bytes of its body
	// that were sent; nil: nobody is interested. It must be quick.
	Served func(status int, bytes int64)
	// Most is how many connections there may be at once, PerAddress how many from one
	// address, or network (see Host); 0 means 4096 and 3072. One more takes the place of the one that has been
	// waiting longest for a request; where none is, it is answered 503.
	Most, PerAddress int
}

// Server serves listeners as http.Server does.
type Server struct {
	http     *http.Server
	gate     Gate
	log      *slog.Logger
	served   func(status int, bytes int64)
	table    *table
	handed   *handed
	heads    spare[*[maxHead]byte]
	outs     spare[*[]byte]
	stamp    atomic.Pointer[stamp]
	draining atomic.Bool
	forced   atomic.Bool
	register
	work sync.WaitGroup // goroutines of connections, and of those who are refused

	starting  sync.Mutex
	listeners []net.Listener
	loops     sync.WaitGroup // those that accept, and net/http's
	started   bool
}

type connKey struct{}

// New makes a server of one that is set up and does not serve yet; from now on
// server belongs to it.
func New(server *http.Server, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{http: server, gate: o.Gate, log: o.Log, served: o.Served, table: newTable(), handed: newHanded()}
	if s.served == nil {
		s.served = func(int, int64) {}
	}
	s.register.open(o)
	s.heads = newSpare(func() *[maxHead]byte { return new([maxHead]byte) })
	s.outs = newSpare(func() *[]byte { b := make([]byte, 0, atOnce); return &b })
	server.Handler = s.record(server.Handler)
	state, context_ := server.ConnState, server.ConnContext
	server.ConnState = func(c net.Conn, to http.ConnState) {
		follow(c, to)
		if state != nil {
			state(c, to)
		}
	}
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if context_ != nil {
			ctx = context_(ctx, c)
		}
		if _, is := c.(*conn); is {
			ctx = context.WithValue(ctx, connKey{}, c)
		}
		return ctx
	}
	return s
}

// Serve accepts connections until Shutdown or Close, and gives http.ErrServerClosed
// then, or what ended it. It closes l.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }() // Shutdown may have done so
	s.starting.Lock()
	if s.draining.Load() {
		s.starting.Unlock()
		return http.ErrServerClosed
	}
	s.listeners = append(s.listeners, l)
	s.loops.Add(1)
	if !s.started {
		s.started = true
		s.loops.Go(func() { _ = s.http.Serve(s.handed) }) // it ends with the server, and says so
	}
	s.starting.Unlock()
	defer s.loops.Done()
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		var passing interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = 0
			s.accept(c)
		case s.draining.Load():
			return http.ErrServerClosed
		case errors.As(err, &passing) && passing.Temporary(): // no descriptors are left, say
			pause = min(max(5*time.Millisecond, 2*pause), time.Second)
			s.log.Warn("accept a connection", "error", err, "next try in", pause)
			time.Sleep(pause)
		default:
			return err
		}
	}
}

// accept begins to serve a connection.
func (s *Server) accept(nc net.Conn) {
	tcp, is := nc.(*net.TCPConn)
	if !is {
		s.handOver(nc)
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		_ = nc.Close() // it has gone already
		return
	}
	c := &conn{TCPConn: tcp, s: s, raw: raw}
	c.from = Host(tcp.RemoteAddr(), tcp.LocalAddr())
	c.peek = c.fillPooled
	c.since.Store(time.Now().UnixNano())
	if !s.admit(c) {
		s.work.Go(func() { s.refuse(tcp) })
		return
	}
	s.work.Go(c.serve)
}

type address = netip.Addr

// Host gives what all connections of one host have in common, of the addresses of one
// at both ends: an IPv4 address; an IPv6 address of our own network; of another, its
// network (/64), in which a host has as many addresses as it likes. That of our own is
// shared by the whole LAN, which must not wait for one of its hosts.
func Host(remote, local net.Addr) netip.Addr {
	from, at := addressOf(remote), addressOf(local)
	network, err := from.Prefix(64)
	if err != nil || !from.Is6() || from.IsLinkLocalUnicast() || network.Contains(at) {
		return from
	}
	return network.Addr()
}

// addressOf is zero where an address is none of TCP over IP.
func addressOf(a net.Addr) netip.Addr {
	if tcp, is := a.(*net.TCPAddr); is {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// handOver gives a connection to net/http.
func (s *Server) handOver(c net.Conn) {
	select {
	case s.handed.conns <- c:
	case <-s.handed.done:
		_ = c.Close() // nobody is left to serve it
	}
}

// find gives the kept answer to a request, if it holds, with its file held, or the key under which one
// may be kept, and the flight on which it goes to net/http, unless another one has
// gone before. The key is made in scratch: thousands of goroutines have small stacks.
func (s *Server) find(h *head, scratch []byte) (a *answer, key string, own *flight) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		return nil, "", nil
	}
	b := h.key(scratch)
	a, open := s.holds(b)
	if a != nil || !open {
		return a, "", nil
	}
	return s.miss(b)
}

// miss is find where nothing that is kept holds.
func (s *Server) miss(b []byte) (a *answer, key string, own *flight) {
	own, other, wait := s.table.fly(b)
	if own != nil {
		return nil, own.key, own
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-other:
			open := false
			if a, open = s.holds(b); a != nil || !open {
				return a, "", nil
			}
		case <-timer.C:
		}
	}
	return nil, string(b), nil
}

// holds gives the kept answer to a request, if it holds. While the gate is not open
// none is given, and all are forgotten: what they go by is being closed.
func (s *Server) holds(key []byte) (a *answer, open bool) {
	if a = s.table.get(key); a == nil {
		return nil, true
	}
	if s.gate != nil {
		if !s.gate.TryEnter() {
			s.table.clear()
			return nil, false
		}
		defer s.gate.Leave()
		if a.era != s.gate.Era() { // whoever it could ask is gone
			s.table.clear()
			return nil, true
		}
	}
	if !a.still() {
		s.table.drop(key, a)
		return nil, true
	}
	if a.file != nil && !a.file.Hold() {
		s.table.drop(key, a)
		return nil, true
	}
	if a.used != nil {
		a.used()
	}
	return a, true
}

// letGo gives back what find holds.
func (s *Server) letGo(f File) {
	if err := f.Release(); err != nil {
		s.log.Warn("close what was answered from", "error", err)
	}
}

// era is that of the gate.
func (s *Server) era() uint64 {
	if s.gate == nil {
		return 0
	}
	return s.gate.Era()
}

// stamp is the text of a date.
type stamp struct {
	second int64
	text   []byte
}

// date gives the value of the field Date.
func (s *Server) date(now time.Time) []byte {
	d := s.stamp.Load()
	if d == nil || d.second != now.Unix() {
		d = &stamp{now.Unix(), now.UTC().AppendFormat(nil, http.TimeFormat)}
		s.stamp.Store(d)
	}
	return d.text
}

func (s *Server) panicked(fault any) {
	s.log.Error("panic while answering again", "panic", fault, "stack", string(debug.Stack()))
}

// Shutdown stops as http.Server's does: no new connections, those that wait for a
// request are closed, answers under way go out. It returns when all have ended, or
// with ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.stopListening()
	s.nudge()
	if err = errors.Join(err, s.http.Shutdown(ctx)); ctx.Err() != nil {
		return err
	}
	s.loops.Wait()
	select {
	case <-s.quiet():
		s.work.Wait()
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

// Close breaks everything off.
func (s *Server) Close() error {
	s.forced.Store(true)
	err := errors.Join(s.stopListening(), s.http.Close(), s.handed.Close())
	s.loops.Wait()
	s.closeAll()
	s.work.Wait()
	return err
}

func (s *Server) stopListening() error {
	s.starting.Lock()
	defer s.starting.Unlock()
	s.draining.Store(true)
	var err error
	for _, l := range s.listeners {
		err = errors.Join(err, l.Close())
	}
	s.listeners = nil
	return err
}

// handed is the listener from which net/http gets connections.
type handed struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHanded() *handed { return &handed{conns: make(chan net.Conn), done: make(chan struct{})} }

// Accept implements net.Listener.
func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handed) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *handed) Addr() net.Addr { return &net.TCPAddr{} }

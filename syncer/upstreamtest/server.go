package upstreamtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Dialect is what an upstream may lack without lying. The zero value is PyPI.
type Dialect struct {
	HTMLOnly     bool // answers text/html whatever is accepted: a static tree
	Bare         bool // API 1.0: no versions, sizes, upload times, statuses
	NoSerials    bool // no X-PyPI-Last-Serial, _last-serial or SERIAL comment
	NoValidators bool // neither ETag nor Last-Modified, so no 304
	NoMetadata   bool // no FILE.metadata and nothing about it on the pages
	NoRanges     bool // Range is ignored
	NoGzip       bool
	NoFeed       bool // no XML-RPC at /pypi
	RelativeURLs bool // file URLs are relative to the page
}

// Server serves an Index and tells lies about it. It is an http.Handler, and it
// can listen by itself, which the lies about connections need (resets, the
// connection's count of bytes, bandwidth, Kill, Blackhole).
type Server struct {
	Index      *Index
	Dialect    Dialect // set before the first request
	SplitFiles bool    // serve files on a port of their own, as PyPI does on another host; set before Start

	record record
	lies   liar
	line   line

	mu        sync.Mutex
	http      *http.Server
	addresses []string // of the listeners, pages first
	listeners []net.Listener
	hold      []*portHold // keep the ports, also while the server is killed
	closed    bool
	quit      chan struct{}  // closed by Close
	serving   sync.WaitGroup // listeners
	handling  sync.WaitGroup // requests
}

// NewServer makes a server for an index. It does not listen before Start.
func NewServer(index *Index) *Server {
	return &Server{
		Index: index,
		line:  line{conns: make(map[*conn]struct{})},
		quit:  make(chan struct{}),
	}
}

// Start listens on loopback, on ports from the kernel.
func (s *Server) Start() error {
	return s.StartAt("127.0.0.1:0")
}

// StartAt listens on an address; with SplitFiles, files get a port from the kernel.
func (s *Server) StartAt(address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.http != nil {
		return errors.New("start upstream: it was started already")
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("start upstream: %w", err)
	}
	wanted := []string{address}
	if s.SplitFiles {
		wanted = append(wanted, net.JoinHostPort(host, "0"))
	}
	s.http = &http.Server{
		Handler: s, ConnContext: withConn, ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // broken connections are the purpose
	}
	held, err := s.holdPorts(wanted)
	if err != nil {
		return errors.Join(err, s.releasePorts())
	}
	return s.listen(held)
}

// holdPorts keeps the ports for as long as the server lives: between Kill and
// Revive nobody else gets them. s.mu is held.
func (s *Server) holdPorts(wanted []string) ([]string, error) {
	var held []string
	for _, address := range wanted {
		h, err := holdPort(address)
		if err != nil {
			return nil, err
		}
		s.hold = append(s.hold, h)
		at, err := h.address()
		if err != nil {
			return nil, err
		}
		held = append(held, at)
	}
	return held, nil
}

// listen opens the addresses and serves on them; s.mu is held.
func (s *Server) listen(addresses []string) error {
	var opened []net.Listener
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			for _, o := range opened {
				_ = o.Close() // the error that is returned matters more
			}
			return fmt.Errorf("listen for upstream: %w", err)
		}
		opened = append(opened, l)
	}
	s.listeners, s.addresses = opened, nil
	for _, l := range opened {
		s.addresses = append(s.addresses, l.Addr().String())
		server := s.http
		s.serving.Go(func() {
			// It returns when the listener is closed, by Kill or by Close.
			_ = server.Serve(listener{l, &s.line})
		})
	}
	return nil
}

// URL is the base of the server, "http://127.0.0.1:12345"; "" before Start.
func (s *Server) URL() string { return s.base(0) }

// FilesURL is the base of the files' URLs: URL, or another port with SplitFiles.
func (s *Server) FilesURL() string {
	if s.SplitFiles {
		return s.base(1)
	}
	return s.base(0)
}

// IndexURL is what pip takes as --index-url.
func (s *Server) IndexURL() string { return s.URL() + "/simple/" }

// FileURL is the URL of a file; "" if the index has it not.
func (s *Server) FileURL(filename string) string {
	path := s.Index.Path(filename)
	if path == "" {
		return ""
	}
	return s.FilesURL() + escapePath(path)
}

func (s *Server) base(i int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i >= len(s.addresses) {
		return ""
	}
	return "http://" + s.addresses[i]
}

// Tell tells a lie on what the target means: on the first times requests, or,
// with 0, for ever. Only those requests count that the lie can apply to: a lie
// about bodies needs a GET, one about ranges a Range. A lie that is told counts
// even if it changes nothing, as a cut beyond the end of the body.
func (s *Server) Tell(target Target, lie Lie, times int) *Told {
	t := newTold(target, lie, times)
	s.lies.tell(t)
	return t
}

// Truth takes all lies back and releases whoever is stalled.
func (s *Server) Truth() { s.lies.truth() }

// SetBandwidth limits what all connections together carry to clients, in bytes
// per second; 0 for no limit.
func (s *Server) SetBandwidth(bytesPerSecond int64) {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	s.line.rate = bytesPerSecond
}

// SetLatency holds every answer back by d.
func (s *Server) SetLatency(d time.Duration) {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	s.line.latency = d
}

// Blackhole makes the line swallow everything: connections are accepted, and
// nothing comes out of any of them. When it ends, what is still connected goes on.
func (s *Server) Blackhole(on bool) { s.line.swallow(on) }

// Requests are all requests so far, in the order in which they were received.
func (s *Server) Requests() Requests {
	requests, _ := s.record.snapshot()
	return requests
}

// Forget empties the record. Requests that are being answered are not recorded further.
func (s *Server) Forget() { s.record.update(func() { s.record.requests = nil }) }

// Wait returns once the requests are as wanted, or with the context's error.
// wanted is called again at each change of the record.
func (s *Server) Wait(ctx context.Context, wanted func(Requests) bool) error {
	return s.record.wait(ctx, wanted)
}

// Kill closes the listeners and drops all connections: a new one is refused. The
// port stays reserved for Revive.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.listeners) == 0 {
		return errors.New("kill upstream: it is not listening")
	}
	return s.unlisten()
}

// unlisten closes the listeners and drops the connections; s.mu is held.
func (s *Server) unlisten() error {
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.Close())
	}
	s.listeners = nil
	errs = append(errs, s.line.drop())
	s.serving.Wait()
	return errors.Join(errs...)
}

// Revive listens again on the same port after Kill.
func (s *Server) Revive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.http == nil || len(s.listeners) > 0 {
		return errors.New("revive upstream: it was not killed")
	}
	s.line.lift()
	return s.listen(s.addresses)
}

func (s *Server) releasePorts() error {
	var errs []error
	for _, h := range s.hold {
		errs = append(errs, h.Close())
	}
	s.hold = nil
	return errors.Join(errs...)
}

// Close ends the server, wakes everyone who is stalled, and returns when all
// that it started has ended. It may be called again.
func (s *Server) Close() error {
	err := s.shut()
	s.handling.Wait() // without s.mu, which requests need to end
	return err
}

func (s *Server) shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.quit)
	errs := []error{s.unlisten(), s.releasePorts()}
	if s.http != nil {
		errs = append(errs, s.http.Close())
	}
	return errors.Join(errs...)
}

// enter counts a request in; false once the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.handling.Add(1)
	return true
}

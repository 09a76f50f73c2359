// Package wire is how the box speaks HTTP to the outside: one client with the
// proxy, the certificates and the redirect rules of the configuration, a timer
// for silence instead of a limit on the whole, and one vocabulary for what goes
// wrong. Every request of the syncer passes through it.
package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Options.
const (
	DefaultConnect   = 10 * time.Second
	DefaultStall     = 30 * time.Second
	DefaultRedirects = 5
)

const (
	// maxConns is how many connections a host sees of us at most.
	maxConns = 128
	// streamBuffer is how much of one answer may come over HTTP/2 before it is
	// read, and connBuffer how much of all that share a connection: what a way
	// of 600 ms holds at 3 and at 25 MB/s. This much memory it may cost.
	streamBuffer = 2 << 20
	connBuffer   = 16 << 20
)

// Options are the settings of a Client; the zero value is the default of each.
type Options struct {
	Proxy     string        // URL; "": HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment
	CAFile    string        // PEM certificates that are trusted besides the system's
	Connect   time.Duration // to connect, and for the TLS handshake
	Stall     time.Duration // silence, before and within an answer, after which it is given up
	UserAgent string
	// Spend is told how many bytes of a body came in, before more are read. It
	// may wait, to hold the line to a rate, and its error ends the body. nil:
	// nobody counts.
	Spend func(ctx context.Context, n int) error
	// Dial connects; nil: by TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client sends requests. It is safe for concurrent use.
type Client struct {
	http      *http.Client
	anew      *http.Client // each request over a connection of its own
	stall     time.Duration
	userAgent string
	spend     func(context.Context, int) error
	received  atomic.Int64
	watcher   atomic.Pointer[func(Answer)]
}

// NewClient reads the certificates and checks the proxy's address.
func NewClient(o Options) (*Client, error) {
	if o.Connect <= 0 {
		o.Connect = DefaultConnect
	}
	if o.Stall <= 0 {
		o.Stall = DefaultStall
	}
	if o.UserAgent == "" {
		o.UserAgent = "cheeseboard"
	}
	proxy := http.ProxyFromEnvironment
	if o.Proxy != "" {
		u, err := url.Parse(o.Proxy)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("read proxy address %q: want one such as http://proxy.example:3128", o.Proxy)
		}
		proxy = http.ProxyURL(u)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read certificates: %s holds none in PEM form", o.CAFile)
		}
		config.RootCAs = pool
	}
	c := &Client{stall: o.Stall, userAgent: o.UserAgent, spend: o.Spend}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: o.Connect, KeepAlive: 15 * time.Second}).DialContext
	}
	kept := &http.Transport{
		Proxy: proxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &countingConn{Conn: conn, n: &c.received}, nil
		},
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   o.Connect,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{MaxReceiveBufferPerStream: streamBuffer, MaxReceiveBufferPerConnection: connBuffer},
		MaxIdleConnsPerHost:   maxConns, // one that is closed for another has to find the line's speed anew
		MaxConnsPerHost:       maxConns, // however many clients ask for what is not here
		IdleConnTimeout:       60 * time.Second,
		DisableCompression:    true, // what is compressed is unpacked where its size is watched
		ExpectContinueTimeout: time.Second,

		MaxResponseHeaderBytes: 256 << 10,
	}
	own := kept.Clone()
	own.DisableKeepAlives = true
	c.http = &http.Client{Transport: kept, CheckRedirect: checkRedirect}
	c.anew = &http.Client{Transport: own, CheckRedirect: checkRedirect}
	return c, nil
}

type anewKey struct{}

// Anew has each request under a context go over a connection of its own: something
// on the way may end connections that have carried much.
func Anew(ctx context.Context) context.Context { return context.WithValue(ctx, anewKey{}, true) }

// Kept tells whether an answer of Get came over a connection that had served before.
func Kept(resp *http.Response) bool {
	g, ok := resp.Body.(*guard)
	return ok && g.watch.kept.Load()
}

// Received counts the bytes that came over the line so far, headers and TLS
// included.
func (c *Client) Received() int64 { return c.received.Load() }

// CloseIdle closes the connections that nothing uses.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

type countingConn struct {
	net.Conn
	n *atomic.Int64
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

var errRedirect = errors.New("redirect refused")

func checkRedirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	switch {
	case len(via) > DefaultRedirects:
		return fmt.Errorf("%w: more than %d of them", errRedirect, DefaultRedirects)
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return fmt.Errorf("%w: to the scheme %q", errRedirect, req.URL.Scheme)
	case last.Scheme == "https" && req.URL.Scheme == "http":
		return fmt.Errorf("%w: from https to plain http", errRedirect)
	case req.URL.User != nil:
		return fmt.Errorf("%w: its address carries a password", errRedirect)
	}
	return nil
}

// Get sends a GET (or HEAD, as method says) and waits for the header of the
// answer. The body must be closed; silence in it, longer than the client's stall
// time, ends it with a *Problem of cause Stalled. Every error is a *Problem.
func (c *Client) Get(ctx context.Context, method, address string, header http.Header) (*http.Response, error) {
	return c.send(ctx, method, address, header, nil)
}

// Post sends a small body that asks for something and changes nothing there: it
// is sent again where a kept connection turns out to be dead. Answer and errors
// are as for Get.
func (c *Client) Post(ctx context.Context, address string, header http.Header, body []byte) (*http.Response, error) {
	header = header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header["Idempotency-Key"] = nil // tells net/http that it may be repeated; it is not sent
	return c.send(ctx, http.MethodPost, address, header, bytes.NewReader(body))
}

func (c *Client) send(ctx context.Context, method, address string, header http.Header, body io.Reader) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	guard := &guard{cancel: cancel, stall: c.stall, spend: c.spend, tell: c.tell}
	ctx = guard.watch.trace(ctx)
	guard.timer = time.AfterFunc(c.stall, func() { cancel(errStalled) })
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		guard.end()
		return nil, &Problem{Cause: Lie, URL: address, Err: err}
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", c.userAgent)
	guard.host = req.URL.Host
	client := c.http
	if ctx.Value(anewKey{}) != nil {
		client = c.anew
	}
	resp, err := client.Do(req)
	if err != nil {
		problem := classify(ctx, address, err)
		guard.broken = true
		guard.end()
		return nil, problem
	}
	guard.ctx, guard.body, guard.url = ctx, resp.Body, address
	guard.left, guard.stream = resp.ContentLength, resp.ProtoMajor == 2
	guard.touch()
	resp.Body = guard
	return resp, nil
}

var errStalled = errors.New("nothing came for too long")

// guard is a body that notices silence.
type guard struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	body   io.ReadCloser
	url    string
	stall  time.Duration
	spend  func(context.Context, int) error
	tell   func(Answer)
	host   string
	watch  stopwatch
	// Of the reader's goroutine:
	broken bool  // it did not come to its end
	whole  bool  // the end was read
	stream bool  // one of many on its connection
	left   int64 // bytes that are stated and were not read yet

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func (g *guard) touch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		g.timer.Reset(g.stall)
	}
}

// rest stops the timer until the next touch.
func (g *guard) rest() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer.Stop()
}

func (g *guard) end() {
	g.mu.Lock()
	first := !g.ended
	g.ended = true
	g.timer.Stop()
	g.cancel(nil)
	g.mu.Unlock()
	if first && g.host != "" {
		g.tell(Answer{Host: g.host, First: g.watch.took(), Whole: !g.broken})
	}
}

func (g *guard) Read(b []byte) (int, error) {
	n, err := g.body.Read(b)
	g.left -= int64(n)
	g.whole = g.whole || err == io.EOF
	if n > 0 && g.spend != nil {
		// While we hold still ourselves, silence is nobody's fault.
		g.rest()
		if spendErr := g.spend(g.ctx, n); spendErr != nil && err == nil {
			err = spendErr
		}
	}
	if n > 0 {
		g.touch()
	}
	if err != nil && err != io.EOF {
		g.broken = true
		err = classify(g.ctx, g.url, err)
	}
	return n, err
}

// endOfStream is how long the mark that ends a stream may come behind its last byte.
const endOfStream = time.Second

// Close ends the answer. Over HTTP/2 the end of one that was read is taken note
// of: else it would count as called off, and hosts shut out who does that often.
func (g *guard) Close() error {
	if g.stream && g.left == 0 && !g.whole && !g.broken {
		g.mu.Lock()
		if !g.ended {
			g.timer.Reset(endOfStream)
		}
		g.mu.Unlock()
		_, _ = g.body.Read(make([]byte, 1)) // it ends, or the timer ends it
	}
	g.end()
	return g.body.Close()
}

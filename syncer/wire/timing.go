package wire

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// Answer is how one request went, as far as it tells of the line.
type Answer struct {
	Host  string        // that was asked, with its port
	First time.Duration // from the end of the request to the first byte of the answer; 0: none came
	Whole bool          // nothing broke off
}

// Watch has f told of each answer when it has come to its end. f must not wait,
// and may be called concurrently; nil ends it.
func (c *Client) Watch(f func(Answer)) {
	if f == nil {
		c.watcher.Store(nil)
		return
	}
	c.watcher.Store(&f)
}

func (c *Client) tell(a Answer) {
	if f := c.watcher.Load(); f != nil {
		(*f)(a)
	}
}

// stopwatch takes the time to the first byte: not that of connecting, nor that
// of waiting for a connection. It is net/http's goroutines that it is told by.
type stopwatch struct {
	sent  atomic.Int64 // nanoseconds since begun; 0: not yet
	first atomic.Int64
	begun time.Time
	kept  atomic.Bool // the connection had served before
}

// trace has a stopwatch told what becomes of the request under a context.
func (s *stopwatch) trace(ctx context.Context) context.Context {
	s.begun = time.Now()
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(c httptrace.GotConnInfo) { s.kept.Store(c.Reused) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { s.sent.Store(int64(time.Since(s.begun))) },
		GotFirstResponseByte: func() { s.first.Store(int64(time.Since(s.begun))) },
	})
}

// took is the time to the first byte; 0 where none came. One that overtook our own
// end of the request counts as a moment.
func (s *stopwatch) took() time.Duration {
	sent, first := s.sent.Load(), s.first.Load()
	if first == 0 {
		return 0
	}
	return time.Duration(max(first-sent, 1))
}

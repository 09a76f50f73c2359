package quick

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// The states of a connection, as those see them who may close it.
const (
	waiting   int32 = iota // for a request, or with net/http
	answering              // an answer of ours is being written, or net/http has it for good and answers
	leaving                // so it is, and is the last
	closed
)

// conn is a connection of a client. Until a request comes that is not answered
// here, it has a goroutine of its own and holds no buffer while nothing comes; then
// net/http has it, and reads through it. Between two requests it then goes on to
// answer what it can, inside of that Read.
type conn struct {
	*net.TCPConn
	s       *Server
	from    address
	raw     syscall.RawConn
	peek    func(fd uintptr) bool // fillPooled, made once
	visitor *visitor              // set when the connection is admitted

	state   atomic.Int32
	between atomic.Bool  // between two requests, in hot or, where it has the connection for good, in net/http
	since   atomic.Int64 // when the last request came, or was answered, in nanoseconds
	// What the deadlines were set to; 0 where there is none. They are moved on when
	// a good part of them is over, not with each request.
	readUntil, writeUntil atomic.Int64
	flight                atomic.Pointer[flight] // of the request that net/http is given

	// Those below belong to whoever reads.
	first   bool   // nothing was answered yet
	idle    bool   // net/http waits for a request
	through bool   // net/http has it for good
	pre     []byte // what was read and not yet given to net/http
	give    int    // how much of pre is the request that it may have
	asked   string // the key of that request, for whoever keeps the answer
	pooled  *[maxHead]byte
	got     int
	gotErr  error
	turn    bool // to read, of an address that has many connections
	queue   bool // something has come, and a turn is needed to read it
	tries   int  // of the last fill: more than one where it had to wait
	streak  int  // fills in a row that did not
}

// maxStreak is how many requests of one client are answered before others have their
// turn, where the next one is always there already.
const maxStreak = 4

// shortHead is the least room for a head that has not come whole, in bytes.
const shortHead = 256

// serve answers until a request is for net/http, or the connection has ended.
func (c *conn) serve() {
	defer func() {
		if fault := recover(); fault != nil {
			c.s.panicked(fault)
			_ = c.Close() // there is nothing to be saved
		}
	}()
	c.first = true
	c.extendRead(time.Now(), c.s.http.ReadHeaderTimeout)
	buf, n, size, err := c.hot(nil, 0)
	if err != nil {
		_ = c.Close() // the client has gone, or must
		return
	}
	c.first = false
	c.pre, c.give = bytes.Clone(buf[:n]), size
	if size == 0 {
		c.give = n
		c.letThrough()
	}
	c.release()
	c.s.handOver(c)
}

// Read gives net/http one request after the other, but for those that are answered
// here. A request of which more than its head may come is given with all that
// follows, and so is everything after it.
func (c *conn) Read(p []byte) (int, error) {
	switch {
	case c.give > 0:
		n := copy(p, c.pre[:c.give])
		c.pre, c.give = c.pre[n:], c.give-n
		return n, nil
	case c.through && len(c.pre) > 0:
		n := copy(p, c.pre)
		c.pre = c.pre[n:]
		return n, nil
	case c.through:
		return c.TCPConn.Read(p)
	case !c.idle:
		// The request had no body: net/http only wants to know whether the client goes
		// away while it is being answered. The next request is not for it to begin.
		return 0, c.hear()
	}
	n := copy(p, c.pre)
	c.pre = c.pre[n:]
	if len(c.pre) > 0 {
		c.letThrough()
		return n, nil
	}
	_, n, size, err := c.hot(p, n)
	if err != nil {
		return 0, err
	}
	c.idle = false
	if size == 0 {
		c.letThrough()
		return n, nil
	}
	c.pre = bytes.Clone(p[size:n])
	return size, nil
}

// letThrough gives net/http the connection for good. The rest of the request may be
// long in coming: until net/http tells of it, the connection waits.
func (c *conn) letThrough() {
	c.through = true
	c.between.Store(true)
}

// hear returns when the client says something more, or has gone.
func (c *conn) hear() error {
	if len(c.pre) > 0 {
		return nil
	}
	buf, n, err := c.fill()
	if err == nil {
		c.pre = bytes.Clone(buf[:n])
		c.release()
	}
	return err
}

// hot answers what it can. buf holds n bytes that were read already; nil: one is
// taken from the pool when something comes. It returns when what stands in buf is
// for net/http: a plain request of so many bytes, or, with size 0, something else.
func (c *conn) hot(buf []byte, n int) (_ []byte, _, size int, err error) {
	own := buf == nil
	partial := false
	c.between.Store(true)
	defer c.between.Store(false)
	for {
		if n > 0 {
			h, v := parse(buf[:n])
			switch {
			case v == plain:
				a, key, own := c.s.find(&h, buf[n:n])
				if a == nil {
					c.asked = key
					c.flight.Store(own)
					return buf, n, h.size, nil
				}
				if err := c.answer(a); err != nil {
					return nil, 0, 0, err
				}
				c.first, partial = false, false
				n = copy(buf, buf[h.size:n])
				continue
			case v == alone:
				c.asked = ""
				return buf, n, h.size, nil
			case v == other, n == len(buf) && (!own || n == maxHead):
				c.asked = ""
				return buf, n, 0, nil
			case own && (c.pooled != nil || n == len(buf)):
				// The rest may be long in coming.
				grown := make([]byte, min(2*n+shortHead, maxHead))
				copy(grown, buf[:n])
				c.release()
				buf = grown
			}
		}
		now := time.Now()
		switch {
		case n > 0 && !partial && !c.first:
			c.extendRead(now, c.s.http.ReadHeaderTimeout)
			partial = true
		case n == 0 && !c.first:
			c.extendIdle(now)
		}
		if c.s.draining.Load() {
			return nil, 0, 0, io.EOF
		}
		m := 0
		if own && n == 0 {
			c.release()
			buf, m, err = c.fill()
		} else {
			m, err = c.TCPConn.Read(buf[n:])
		}
		if m == 0 && err != nil {
			return nil, 0, 0, err
		}
		n += m
	}
}

// fill waits until something comes, and reads it into a buffer of the pool.
func (c *conn) fill() ([]byte, int, error) {
	c.tries = 0
	for again := true; again; again = c.queue {
		if c.queue {
			c.visitor.take()
			c.turn, c.queue = true, false
		}
		err := c.raw.Read(c.peek)
		c.giveTurn()
		if err != nil {
			c.queue = false
			return nil, 0, err
		}
	}
	switch {
	case c.gotErr != nil:
		return nil, 0, c.gotErr
	case c.got == 0:
		return nil, 0, io.EOF
	}
	if c.tries > 1 {
		c.streak = 0
	} else if c.streak++; c.streak == maxStreak {
		c.streak = 0
		runtime.Gosched()
	}
	return c.pooled[:], c.got, nil
}

// fillPooled reads from a descriptor, if there is something.
func (c *conn) fillPooled(fd uintptr) bool {
	c.tries++
	if c.tries > 1 && !c.turn && c.visitor.crowded() {
		c.queue = true
		return true
	}
	buf := c.s.heads.get()
	for {
		n, err := syscall.Read(int(fd), buf[:])
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 {
			c.s.heads.put(buf)
			c.got, c.gotErr = 0, err
			if err == syscall.EAGAIN {
				c.giveTurn() // it may be long until something comes
				return false
			}
			return true
		}
		c.pooled, c.got, c.gotErr = buf, n, nil
		return true
	}
}

func (c *conn) giveTurn() {
	if c.turn {
		c.turn = false
		c.visitor.give()
	}
}

func (c *conn) release() {
	if c.pooled != nil {
		c.s.heads.put(c.pooled)
		c.pooled = nil
	}
}

// answer writes an answer. Who closes the connection meanwhile has it closed after
// that.
func (c *conn) answer(a *answer) error {
	if a.file != nil {
		defer c.s.letGo(a.file) // find holds it
	}
	if !c.state.CompareAndSwap(waiting, answering) {
		return net.ErrClosed
	}
	sent, err := c.send(a)
	c.s.served(a.status, sent)
	if !c.state.CompareAndSwap(answering, waiting) {
		c.closeNow()
		return net.ErrClosed
	}
	return err
}

// slice is how much must be taken within one patience, in bytes.
const slice = 1 << 20

// atOnce is how much is copied into one buffer rather than sent in two parts.
const atOnce = 16 << 10

// send writes head and body, and tells how much of the body went out.
func (c *conn) send(a *answer) (sent int64, err error) {
	now := time.Now()
	c.since.Store(now.UnixNano())
	out := c.s.outs.get()
	defer c.s.outs.put(out)
	b := append((*out)[:0], a.head...)
	b = append(append(b, c.s.date(now)...), "\r\n\r\n"...)
	*out = b
	patience, head := c.s.http.WriteTimeout, len(b)
	if a.file != nil {
		return c.sendFile(b, a.file)
	}
	body := a.body
	if head+len(body) <= atOnce {
		if time.Duration(c.writeUntil.Load()-now.UnixNano()) < patience*3/4 {
			c.extendWrite(now, patience)
		}
		*out = append(b, body...)
		n, err := c.Write(*out)
		return int64(max(0, n-head)), err
	}
	for first := true; first || len(body) > 0; first = false {
		part := body[:min(len(body), slice)]
		body = body[len(part):]
		c.extendWrite(time.Now(), patience)
		var n int64
		if first {
			parts := net.Buffers{b, part}
			n, err = parts.WriteTo(c.TCPConn)
			n = max(0, n-int64(head))
		} else {
			var written int
			written, err = c.Write(part)
			n = int64(written)
		}
		if sent += n; err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// extendIdle gives the client the time again in which it may say nothing.
func (c *conn) extendIdle(now time.Time) {
	if idle := c.s.http.IdleTimeout; time.Duration(c.readUntil.Load()-now.UnixNano()) < idle*3/4 {
		c.extendRead(now, idle)
	}
}

// extendRead sets a deadline; d 0 sets none.
func (c *conn) extendRead(now time.Time, d time.Duration) {
	if d > 0 {
		_ = c.SetReadDeadline(now.Add(d)) // on a connection that has gone, reading fails
	}
}

func (c *conn) extendWrite(now time.Time, d time.Duration) {
	if d > 0 {
		_ = c.SetWriteDeadline(now.Add(d)) // on a connection that has gone, writing fails
	}
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readUntil.Store(nanoseconds(t))
	return c.TCPConn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeUntil.Store(nanoseconds(t))
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.readUntil.Store(nanoseconds(t))
	c.writeUntil.Store(nanoseconds(t))
	return c.TCPConn.SetDeadline(t)
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

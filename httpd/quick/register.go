package quick

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the number of connections, where Options say nothing.
const (
	defaultMost       = 4096
	defaultPerAddress = 3072
)

// register knows all connections that are open.
type register struct {
	most, perAddress int

	mu    sync.Mutex
	conns map[*conn]struct{}
	from  map[address]*visitor
	empty chan struct{} // closed when none is left; nil: nobody waits for that

	refused atomic.Int32 // are being told so at this moment
}

func (r *register) open(o Options) {
	r.most, r.perAddress = o.Most, o.PerAddress
	if r.most == 0 {
		r.most = defaultMost
	}
	if r.perAddress == 0 {
		r.perAddress = defaultPerAddress
	}
	r.conns, r.from = make(map[*conn]struct{}), make(map[address]*visitor)
}

// admit enters a connection; false where there is no room for it. To make room, one
// that waits for a request is closed, of the same address where that has too many.
func (s *Server) admit(c *conn) bool {
	r := &s.register
	r.mu.Lock()
	if s.draining.Load() {
		r.mu.Unlock()
		return false
	}
	from := r.from[c.from]
	if from == nil {
		from = newVisitor()
	}
	full, crowded := len(r.conns) >= r.most, int(from.conns.Load()) >= r.perAddress
	var out *conn
	if full || crowded {
		out = r.longest(c.from, crowded)
		if out == nil {
			r.mu.Unlock()
			return false
		}
	}
	r.conns[c] = struct{}{}
	r.from[c.from], c.visitor = from, from
	from.conns.Add(1)
	r.mu.Unlock()
	if out != nil {
		_ = out.Close() // it has gone in any case
	}
	return true
}

// looks is how many connections are looked at to find one that may be closed.
const looks = 128

// longest gives the connection that has been waiting longest for a request, or for
// the rest of one, of some that are looked at; nil where none waits. r.mu is held.
func (r *register) longest(from address, same bool) *conn {
	var found *conn
	seen := 0
	for c := range r.conns {
		if same && c.from != from {
			continue
		}
		if seen++; seen > looks {
			break
		}
		if c.between.Load() && c.state.Load() == waiting && (found == nil || c.since.Load() < found.since.Load()) {
			found = c
		}
	}
	return found
}

func (r *register) forget(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, is := r.conns[c]; !is {
		return
	}
	delete(r.conns, c)
	if c.visitor.conns.Add(-1) == 0 {
		delete(r.from, c.from)
	}
	if len(r.conns) == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

// quiet gives a channel that is closed when no connection is left.
func (r *register) quiet() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.empty == nil {
		r.empty = make(chan struct{})
	}
	empty := r.empty
	if len(r.conns) == 0 {
		close(r.empty)
		r.empty = nil
	}
	return empty
}

// all lists the connections that are open.
func (r *register) all() []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*conn, 0, len(r.conns))
	for c := range r.conns {
		list = append(list, c)
	}
	return list
}

// nudge has those go that wait for a request.
func (r *register) nudge() {
	for _, c := range r.all() {
		if c.between.Load() {
			_ = c.TCPConn.SetReadDeadline(time.Unix(1, 0)) // whoever has gone needs none
		}
	}
}

func (r *register) closeAll() {
	for _, c := range r.all() {
		_ = c.Close() // everything is broken off
	}
}

// refusal is what a client gets for whom there is no room.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nCache-Control: no-store\r\nConnection: close\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 47\r\n\r\nToo many connections are open. Come back later."

// maxRefused is how many are told so at once. Others are only closed.
const maxRefused = 256

// refuse says so, and closes. What the client has sent is read first, or closing
// would reset the connection before it has the answer.
func (s *Server) refuse(c *net.TCPConn) {
	defer func() { _ = c.Close() }() // nobody is left to be told
	_ = c.SetDeadline(time.Now().Add(time.Second))
	defer s.refused.Add(-1)
	if s.refused.Add(1) > maxRefused || s.draining.Load() {
		return
	}
	if _, err := c.Write([]byte(refusal)); err != nil {
		return
	}
	_ = c.CloseWrite() // if it fails, the client sees the end a second later
	var b [maxHead]byte
	_, _ = c.Read(b[:]) // whatever it was
}

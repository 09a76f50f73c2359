package httpd

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"cheeseboard/httpd/quick"
)

// Crowd bounds the connections of a server whose listener is its own, as that for
// https: so many at once, and so many from one address, or network (see quick.Host). One more takes the place of
// the one that has been waiting longest for a request; where none waits it is closed,
// since nothing can be said before the handshake.
type Crowd struct {
	net.Listener
	most, perAddress int
	now              func() time.Time

	mu   sync.Mutex
	here map[*guest]bool
	from map[netip.Addr]int
}

// guest is an open connection.
type guest struct {
	net.Conn
	crowd *Crowd
	from  netip.Addr
	once  sync.Once
	idle  time.Time // since when it waits for a request; zero: it does not
}

// NewCrowd bounds the connections that l accepts for server, which does not serve
// yet: it tells of them by its ConnState, which must not be set otherwise. 0: no bound.
func NewCrowd(l net.Listener, server *http.Server, most, perAddress int) *Crowd {
	c := &Crowd{
		Listener: l, most: most, perAddress: perAddress, now: time.Now,
		here: make(map[*guest]bool), from: make(map[netip.Addr]int),
	}
	server.ConnState = c.follow
	return c
}

// Accept implements net.Listener.
func (c *Crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		g := &guest{Conn: conn, crowd: c, from: quick.Host(conn.RemoteAddr(), conn.LocalAddr())}
		if c.admit(g) {
			return g, nil
		}
		_ = conn.Close() // it has heard nothing yet
	}
}

// admit enters a connection; false where there is no room for it.
func (c *Crowd) admit(g *guest) bool {
	c.mu.Lock()
	crowded := c.perAddress > 0 && c.from[g.from] >= c.perAddress
	var out *guest
	if crowded || c.most > 0 && len(c.here) >= c.most {
		for other := range c.here {
			if !other.idle.IsZero() && (!crowded || other.from == g.from) && (out == nil || other.idle.Before(out.idle)) {
				out = other
			}
		}
		if out == nil {
			c.mu.Unlock()
			return false
		}
		c.forget(out)
	}
	c.here[g] = true
	c.from[g.from]++
	c.mu.Unlock()
	if out != nil {
		_ = out.Close() // it has gone in any case
	}
	return true
}

// forget is for who holds c.mu.
func (c *Crowd) forget(g *guest) {
	if !c.here[g] {
		return
	}
	delete(c.here, g)
	if c.from[g.from]--; c.from[g.from] == 0 {
		delete(c.from, g.from)
	}
}

// follow notes which connections wait for a request.
func (c *Crowd) follow(conn net.Conn, state http.ConnState) {
	if t, is := conn.(interface{ NetConn() net.Conn }); is { // TLS
		conn = t.NetConn()
	}
	g, is := conn.(*guest)
	if !is {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.idle = (time.Time{}); state == http.StateIdle {
		g.idle = c.now()
	}
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.once.Do(func() {
		g.crowd.mu.Lock()
		defer g.crowd.mu.Unlock()
		g.crowd.forget(g)
	})
	return g.Conn.Close()
}

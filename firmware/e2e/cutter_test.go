package e2e

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// ending is how a cutter breaks a connection.
type ending bool

const (
	// reset drops what is under way, as when somebody trips over the cable.
	reset ending = true
	// hangUp lets the client have all that was sent until then, as a proxy that gives up.
	hangUp ending = false
)

// cutter is a bad cable between clients and a box: connections break in the middle
// of what the box sends.
type cutter struct {
	url   string
	how   ending
	after int64        // bytes from the box on one connection, then it breaks
	left  atomic.Int64 // so many connections break; negative: all
	broke atomic.Int64 // so many did
}

// cut puts a cutter in front of a box, which breaks the first times connections
// that carry more than after bytes.
func cut(t *testing.T, b *box, how ending, after, times int64) *cutter {
	t.Helper()
	target, err := url.Parse(b.url)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := &cutter{url: "http://" + l.Addr().String(), how: how, after: after}
	c.left.Store(times)
	var mu sync.Mutex
	open := make(map[net.Conn]bool)
	var working sync.WaitGroup
	keep := func(conn net.Conn) { mu.Lock(); defer mu.Unlock(); open[conn] = true }
	drop := func(conn net.Conn) { mu.Lock(); defer mu.Unlock(); delete(open, conn); _ = conn.Close() }
	working.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			keep(client)
			working.Go(func() {
				defer drop(client)
				server, err := net.Dial("tcp", target.Host)
				if err != nil {
					return // the client sees it
				}
				keep(server)
				defer drop(server)
				c.carry(client.(*net.TCPConn), server)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // it was open until now
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		working.Wait()
	})
	return c
}

// carry passes bytes on in both directions until one side ends, or it breaks.
func (c *cutter) carry(client *net.TCPConn, server net.Conn) {
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(server, client) // whatever ended it
		_ = server.Close()
	})
	defer up.Wait()
	defer func() { _ = client.Close() }() // ends the other direction
	n, err := io.CopyN(client, server, c.after)
	if n < c.after || err != nil {
		return
	}
	var one [1]byte // there is more
	if n, err := server.Read(one[:]); n == 0 || err != nil {
		return
	}
	if c.left.Add(-1) < 0 {
		c.left.Add(1)
		_, _ = client.Write(one[:])
		_, _ = io.Copy(client, server)
		return
	}
	c.broke.Add(1)
	if c.how == reset {
		_ = client.SetLinger(0) // it is open until now
	}
}

func (c *cutter) index() string { return c.url + "/simple/" }

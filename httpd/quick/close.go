package quick

import (
	"net"
	"net/http"
	"time"
)

// Close closes the connection, after the answer that is being written.
func (c *conn) Close() error {
	for {
		switch state := c.state.Load(); {
		case state == closed:
			return net.ErrClosed
		case state == waiting || c.s.forced.Load():
			if c.state.CompareAndSwap(state, closed) {
				return c.end()
			}
		case c.state.CompareAndSwap(state, leaving):
			return nil
		}
	}
}

// closeNow closes it where that was put off.
func (c *conn) closeNow() {
	if c.state.Swap(closed) != closed {
		_ = c.end() // the answer is out; nobody is left to be told
	}
}

func (c *conn) end() error {
	err := c.TCPConn.Close()
	c.s.table.land(c.flight.Swap(nil))
	c.s.forget(c)
	return err
}

// follow notes what net/http says of the connection. While it answers on one that it has
// for good, who closes that has it closed after the answer, as with ours.
func follow(nc net.Conn, state http.ConnState) {
	c, is := nc.(*conn)
	if !is {
		return
	}
	if state == http.StateIdle {
		c.idle = true
		c.since.Store(time.Now().UnixNano())
	}
	if !c.through || state == http.StateNew {
		return
	}
	if state == http.StateActive {
		c.state.CompareAndSwap(waiting, answering) // on one that was closed, net/http fails
	} else if !c.state.CompareAndSwap(answering, waiting) && c.state.Load() == leaving {
		c.closeNow()
	}
	c.between.Store(state == http.StateIdle)
}

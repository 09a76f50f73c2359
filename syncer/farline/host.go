package farline

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"time"
)

// Host is one end of a line: a network namespace with one address. Its methods
// may be called concurrently.
type Host struct {
	address netip.Addr
	device  io.ReadWriteCloser // gives and takes whole packets
	jobs    chan func()        // for the thread that is in the namespace
	quit    chan struct{}      // closed: that thread ends
	reading sync.WaitGroup
	ended   chan struct{} // closed when the thread is gone
}

var errClosed = errors.New("the line was closed")

// Address is the host's.
func (h *Host) Address() netip.Addr { return h.address }

// Do runs f in the host's namespace and returns its error. Sockets that f opens
// belong to the host for good, if f opens them itself: what it starts as
// goroutines runs elsewhere.
func (h *Host) Do(f func() error) error {
	var err error
	done := make(chan struct{})
	select {
	case h.jobs <- func() { defer close(done); err = f() }:
		<-done
		return err
	case <-h.ended:
		return errClosed
	}
}

// Listen opens a TCP listener on a port of the host's; 0: one from the kernel.
func (h *Host) Listen(port uint16) (l net.Listener, err error) {
	err = h.Do(func() error {
		l, err = net.Listen("tcp4", netip.AddrPortFrom(h.address, port).String())
		return err
	})
	return l, err
}

// Dial connects from the host to an address and port.
func (h *Host) Dial(address string) (c net.Conn, err error) {
	err = h.Do(func() error {
		c, err = net.Dial("tcp4", address)
		return err
	})
	return c, err
}

// Start starts a program in the host's namespace.
func (h *Host) Start(c *exec.Cmd) error { return h.Do(c.Start) }

// give hands a packet to the host's kernel. What it will not have is lost, as
// packets are.
func (h *Host) give(packet []byte) { _, _ = h.device.Write(packet) }

// read gives what the host sends to the pipe, until the device is closed.
func (h *Host) read(to *pipe) {
	// One byte more than a packet, so that none is cut short unseen.
	buffer := make([]byte, mtu+1)
	for {
		n, err := h.device.Read(buffer)
		if err != nil {
			return
		}
		if n > 0 && n <= mtu && buffer[0]>>4 == 4 {
			to.take(append(make([]byte, 0, n), buffer[:n]...), time.Now())
		}
	}
}

package hardship

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// mode is what a line does with connections.
type mode int

const (
	open_   mode = iota // it carries them
	refused             // nobody listens
	swallow             // it takes everything and gives nothing; what was there goes on afterwards
	portal              // it answers every request itself, with a page to log in
)

// line is what stands between a box and its upstream. It counts what it carries
// (tap_test.go), and fails in the ways for which toxiproxy has no toxic.
type line struct {
	testing.TB
	host string // an address of its own, so that nobody takes its port while it does not listen
	port string
	tap  tap

	mu       sync.Mutex
	mode     mode
	changed  chan struct{} // closed at a change of mode
	onward   string        // where connections go
	listener net.Listener  // nil while it refuses
	conns    map[*crossing]struct{}
	closed   bool
	work     sync.WaitGroup
}

// lines counts the lines of a run.
var lines atomic.Uint32

// lay makes a line to an address, and closes it with the test.
func lay(t testing.TB, onward string) *line {
	t.Helper()
	n := lines.Add(1)
	l := &line{
		TB: t, host: fmt.Sprintf("127.77.%d.%d", n>>8&0xff, n&0xff), onward: onward,
		changed: make(chan struct{}), conns: make(map[*crossing]struct{}),
	}
	must(t, l.listen())
	t.Cleanup(l.close)
	return l
}

func (l *line) address() string { return net.JoinHostPort(l.host, l.port) }

// listen begins to take connections; l.mu is held, or nobody knows l yet.
func (l *line) listen() error {
	port := l.port
	if port == "" {
		port = "0"
	}
	// A child that is just being started still has the listener that was closed.
	var listener net.Listener
	err := error(syscall.EADDRINUSE)
	for n := 0; n < 100 && errors.Is(err, syscall.EADDRINUSE); n++ {
		if n > 0 {
			<-time.After(10 * time.Millisecond)
		}
		listener, err = net.Listen("tcp4", net.JoinHostPort(l.host, port))
	}
	if err != nil {
		return err
	}
	l.listener = listener
	if l.port == "" { // it stays what it is from then on
		_, l.port, _ = net.SplitHostPort(listener.Addr().String())
	}
	l.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.take(conn.(*net.TCPConn))
		}
	})
	return nil
}

// become changes the mode. Connections that are there are left alone, unless it
// is one in which there are none.
func (l *line) become(m mode) {
	l.mu.Lock()
	was := l.mode
	l.mode = m
	close(l.changed)
	l.changed = make(chan struct{})
	var err error
	if m == refused && l.listener != nil {
		err = l.listener.Close()
		l.listener = nil
	} else if m != refused && l.listener == nil && !l.closed {
		err = l.listen()
	}
	l.mu.Unlock()
	check(l, err)
	if m == refused || (m == portal) != (was == portal) {
		l.drop(false)
	}
}

// lead sends connections that come from now on to another address.
func (l *line) lead(onward string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onward = onward
}

// drop ends all connections, by RST or by FIN.
func (l *line) drop(reset bool) {
	for _, c := range l.all() {
		if reset {
			c.ended("reset")
		} else {
			c.ended("cut")
		}
		c.end(reset)
	}
}

// freeze makes all connections half open: they stay, and nothing comes out of
// them any more. New ones work.
func (l *line) freeze() {
	for _, c := range l.all() {
		c.frozen.Store(true)
	}
}

func (l *line) all() []*crossing {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*crossing
	for c := range l.conns {
		all = append(all, c)
	}
	return all
}

func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.become(refused)
	l.work.Wait()
}

// state tells the mode, and what is closed when it changes.
func (l *line) state() (mode, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mode, l.changed
}

// crossing is one connection over the line.
type crossing struct {
	line   *line
	box    *net.TCPConn
	frozen atomic.Bool
	over   chan struct{}
	once   sync.Once

	asked, told stream // what was carried, for the tap
	cause       atomic.Pointer[string]
}

// ended notes what ended the connection first.
func (c *crossing) ended(cause string) { c.cause.CompareAndSwap(nil, &cause) }

func (c *crossing) end(reset bool) {
	c.once.Do(func() {
		close(c.over)
		if reset {
			_ = c.box.SetLinger(0) // if it is gone already, there is nothing to reset
		}
		_ = c.box.Close()
	})
}

// take carries a connection that has come.
func (l *line) take(conn *net.TCPConn) {
	c := &crossing{line: l, box: conn, over: make(chan struct{})}
	c.asked.more.L, c.told.more.L = &c.asked.mu, &c.told.mu
	l.mu.Lock()
	m, onward, closed := l.mode, l.onward, l.closed
	l.conns[c] = struct{}{}
	if closed || m == refused {
		delete(l.conns, c)
		l.mu.Unlock()
		c.end(true)
		return
	}
	l.work.Go(func() {
		defer func() {
			l.mu.Lock()
			delete(l.conns, c)
			l.mu.Unlock()
		}()
		if m == portal {
			c.welcome()
			return
		}
		c.carry(onward)
	})
	l.mu.Unlock()
}

// carry connects the two ends until one of them goes.
func (c *crossing) carry(onward string) {
	if !c.passes() {
		return
	}
	far, err := net.DialTimeout("tcp", onward, 10*time.Second)
	if err != nil {
		c.end(false)
		return
	}
	_ = c.box.SetWriteBuffer(32 << 10) // what is in buffers is lost with the connection
	var pumps, reading sync.WaitGroup
	reading.Go(func() { c.line.tap.follow(c) })
	reading.Go(func() {
		<-c.over
		_ = far.Close() // with the end at the box
	})
	pumps.Go(func() { c.pump(far, c.box, &c.asked, "box") })
	pumps.Go(func() { c.pump(c.box, far, &c.told, "cut") })
	pumps.Wait()
	c.asked.close()
	c.told.close()
	reading.Wait()
}

// passes waits until the line lets bytes through; false if the connection has
// ended before.
func (c *crossing) passes() bool {
	for {
		m, changed := c.line.state()
		frozen := c.frozen.Load()
		if m != swallow && !frozen {
			return true
		}
		select {
		case <-changed:
		case <-c.over:
			return false
		}
	}
}

// pump carries bytes one way; cause is whose doing its end is.
func (c *crossing) pump(to io.Writer, from io.Reader, copied *stream, cause string) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if !c.passes() {
			break
		}
		if n > 0 {
			written, werr := to.Write(buffer[:n])
			copied.write(buffer[:written])
			if werr != nil {
				c.ended("box")
				break
			}
		}
		if err != nil {
			if errors.Is(err, syscall.ECONNRESET) && cause == "cut" {
				cause = "reset"
			}
			c.ended(cause)
			break
		}
	}
	c.end(cause == "reset")
}

// welcome is a captive portal: it leads every request to its page.
func (c *crossing) welcome() {
	defer c.end(false)
	const page = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><form action=\"/login\"></form></body></html>"
	read := make([]byte, 4<<10)
	for {
		n, err := c.box.Read(read)
		if err != nil {
			return
		}
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
		if request := string(read[:n]); !strings.Contains(request, " /login ") {
			answer = "HTTP/1.1 302 Found\r\nLocation: http://" + c.line.address() + "/login \r\nContent-Length: 0\r\n\r\n"
			if strings.HasPrefix(request, "GET /packages/") { // some replace what was asked for
				answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
			}
		}
		if strings.HasPrefix(string(read[:n]), "HEAD ") {
			answer, _, _ = strings.Cut(answer, "<!DOCTYPE")
		}
		if _, err := io.WriteString(c.box, answer); err != nil {
			return
		}
	}
}

package httpd_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"cheeseboard/httpd"
)

// TestCrowd fills a server for https with connections that wait: each further one
// takes the place of the oldest. Where all are busy, or in a handshake, the new one is
// closed; when they have gone there is room again.
func TestCrowd(t *testing.T) {
	const most = 3
	busy, release := make(chan struct{}, most), make(chan struct{})
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpd.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			busy <- struct{}{}
			<-release
		}
	}), nil, httpd.Limits{})
	server.EnableHTTP2 = false
	server.StartTLS() // for its certificate
	crowded := httpd.NewServer(server.Config.Handler, nil, httpd.Limits{})
	crowded.TLSConfig = server.TLS.Clone()
	crowded.TLSConfig.NextProtos = []string{"http/1.1"}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	crowd := httpd.NewCrowd(plain, crowded, 100, most)
	served := make(chan error, 1)
	go func() { served <- crowded.ServeTLS(crowd, "", "") }()
	t.Cleanup(func() {
		server.Close()
		if err := crowded.Close(); err != nil || !errors.Is(<-served, http.ErrServerClosed) {
			t.Errorf("close: %v", err)
		}
	})
	trust := server.Client().Transport.(*http.Transport).TLSClientConfig
	// enter waits for room: a connection waits for a request a moment after its answer
	// has been read.
	enter := func() net.Conn {
		for {
			conn, err := (&tls.Dialer{Config: trust}).DialContext(t.Context(), "tcp", plain.Addr().String())
			if err == nil {
				t.Cleanup(func() { _ = conn.Close() }) // it may be closed already
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				return conn
			}
			if t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	}
	answered := func(conn net.Conn) bool {
		head := make([]byte, 12)
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: box\r\n\r\n")
		if err == nil {
			_, err = io.ReadFull(conn, head)
		}
		return err == nil && string(head) == "HTTP/1.1 200"
	}
	var conns, alive []net.Conn
	for range 2 * most {
		conn := enter()
		if !answered(conn) {
			t.Fatal("a connection that came in gets no answer")
		}
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		// Behind the head of the first answer stand its fields.
		if _, err := io.WriteString(conn, "GET /busy HTTP/1.1\r\nHost: box\r\n\r\n"); err != nil {
			continue
		}
		select {
		case <-busy:
			alive = append(alive, conn)
		case <-gone(conn):
		}
	}
	if len(alive) != most {
		t.Fatalf("%d of %d connections live, want %d", len(alive), len(conns), most)
	}
	if conn, err := (&tls.Dialer{Config: trust}).DialContext(t.Context(), "tcp", plain.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("one more came in while all were busy")
	}
	close(release)
	for _, conn := range alive {
		_ = conn.Close()
	}
	if !answered(enter()) {
		t.Error("there is no room although all have gone")
	}
}

// gone is closed when a connection is.
func gone(conn net.Conn) <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, conn) // whatever ends it
		close(closed)
	}()
	return closed
}

// comers is a listener to which connections come from addresses that are named.
type comers struct {
	net.Listener
	from []string
}

type comer struct {
	net.Conn
	from string
}

func (c *comer) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.from), 1))
}
func (c *comer) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP("2001:db8:0:9::1"), Port: 80}
}
func (c *comer) Close() error { return nil }

func (l *comers) Accept() (net.Conn, error) {
	if len(l.from) == 0 {
		return nil, net.ErrClosed
	}
	c := &comer{from: l.from[0]}
	l.from = l.from[1:]
	return c, nil
}

// TestCrowdOfNetwork: the addresses of one IPv6 network are one client, but not of
// our own.
func TestCrowdOfNetwork(t *testing.T) {
	l := &comers{from: []string{"2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.2", "2001:db8:0:9::2", "2001:db8:0:9::3"}}
	crowd := httpd.NewCrowd(l, httpd.NewServer(nil, nil, httpd.Limits{}), 100, 1)
	var admitted []string
	for {
		c, err := crowd.Accept()
		if err != nil {
			break
		}
		admitted = append(admitted, c.RemoteAddr().String())
	}
	want := []string{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", "192.0.2.1:1", "192.0.2.2:1", "[2001:db8:0:9::2]:1", "[2001:db8:0:9::3]:1"}
	if !slices.Equal(admitted, want) {
		t.Errorf("%q are admitted instead of %q", admitted, want)
	}
}

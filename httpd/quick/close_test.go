package quick

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"
)

// A connection that is chosen to be closed while a request arrives for net/http, which
// has it for good, is closed after the answer; and so it is where that was the last.
func TestCloseWhileAnswered(t *testing.T) {
	for _, last := range []http.ConnState{http.StateIdle, http.StateClosed} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s := New(&http.Server{}, Options{})
		c := &conn{TCPConn: nc.(*net.TCPConn), s: s}
		if !s.admit(c) {
			t.Fatal("not admitted")
		}
		c.letThrough()
		follow(c, http.StateNew)
		if !c.between.Load() {
			t.Error("it does not wait for the rest of a request")
		}
		follow(c, http.StateActive)
		if c.between.Load() {
			t.Error("it waits while it is answered")
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.Write([]byte("answer")); err != nil {
			t.Error(err)
		}
		follow(c, last)
		if err := client.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(client); string(got) != "answer" || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v: %q, %v", last, got, err)
		}
		if n := len(s.all()); n != 0 {
			t.Errorf("%v: %d connections are left", last, n)
		}
		if err := errors.Join(client.Close(), l.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestHost: addresses of one IPv6 network are one client, but not of our own.
func TestHost(t *testing.T) {
	local := &net.TCPAddr{IP: net.ParseIP("2001:db8:0:9::1"), Port: 80}
	host := func(text string) netip.Addr {
		return Host(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(text), 1)), local)
	}
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"2001:db8::1", "2001:db8::ffff:1:2:3", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"2001:db8:0:9::2", "2001:db8:0:9::3", false}, // our own network
		{"fe80::1%eth0", "fe80::2%eth0", false},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
	} {
		if same := host(c.one) == host(c.other); same != c.same {
			t.Errorf("%s and %s are one host: %v", c.one, c.other, same)
		}
	}
	if a := Host(&net.UnixAddr{Name: "x"}, nil); a.IsValid() {
		t.Errorf("a socket of no network has the address %s", a)
	}
}

package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// TestLimits sets the limits for clients narrower than they are, and runs into each
// of them; and others wider, and runs into none.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, "private.names=acme-*", "tls.address=127.0.0.1:0", "limits.connections=6", "limits.connections-per-address=4",
		"limits.header-size=64KiB", "limits.header-timeout=1s", "limits.idle-timeout=2s", "limits.upload-timeout=1s")
	token := strings.TrimSpace(s.succeed("token", "add", "tester").stdout)
	b := s.serve()
	secure, _ := b.secureURL()

	for scheme, enter := range map[string]func() (net.Conn, error){
		"http": func() (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(b.url, "http://")) },
		"https": func() (net.Conn, error) {
			return tls.Dial("tcp", strings.TrimPrefix(secure, "https://"), &tls.Config{InsecureSkipVerify: true}) // who it is does not matter here
		},
	} {
		var conns []net.Conn
		for len(conns) < 7 {
			conn, err := enter()
			if err != nil {
				continue // the last one is not known to wait yet
			}
			defer func() { _ = conn.Close() }() // it may be closed already
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			if status, err := exchangeOn(conn, "GET /simple/curd/ HTTP/1.1\r\nHost: box\r\n\r\n"); status == http.StatusOK {
				conns = append(conns, conn)
			} else if status != http.StatusServiceUnavailable && err == nil {
				t.Fatalf("%s: status %d", scheme, status)
			}
		}
		closed := 0
		for _, conn := range conns {
			if _, err := exchangeOn(conn, "GET /simple/curd/ HTTP/1.1\r\nHost: box\r\n\r\n"); err != nil {
				closed++
			}
		}
		if closed < 3 { // the others may have waited for too long
			t.Errorf("%s: %d of 7 connections of one address were closed, want at least 3", scheme, closed)
		}
	}

	raw := func(head string) (status int, err error) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		must(t, err)
		defer func() { _ = conn.Close() }() // all that matters was read
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		return exchangeOn(conn, head)
	}
	long := func(n int) string {
		return "GET /simple/curd/ HTTP/1.1\r\nHost: box\r\nCookie: " + strings.Repeat("c", n) + "\r\n\r\n"
	}
	if status, err := raw(long(40_000)); status != http.StatusOK {
		t.Errorf("a head of 40 KB: status %d (%v)", status, err)
	}
	if status, err := raw(long(100_000)); status == http.StatusOK || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a head of 100 KB: status %d (%v)", status, err)
	}
	if status, err := raw("GET /simple/curd/ HTTP/1.1\r\nHo"); status == http.StatusOK || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half a head: status %d (%v)", status, err)
	}
	w := upstreamtest.Wheel{Name: "acme-tools", Version: "1.0"}
	content, err := w.Build()
	must(t, err)
	head, _ := formOf(token, w, content)
	if status, err := raw(head); status != http.StatusBadRequest {
		t.Errorf("half an upload: status %d (%v)", status, err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	must(t, err)
	defer func() { _ = conn.Close() }() // the box has done so
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := exchangeOn(conn, "GET /simple/curd/ HTTP/1.1\r\nHost: box\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("a connection that waits for its next request: %v", err)
	}
	b.quit()

	for setting, want := range map[string]string{
		"limits.connections=3": "from 4 to 65536", "limits.connections-per-address=70000": "from 4 to 65536",
		"limits.header-size=1KiB": "header-size", "limits.header-timeout=0s": "header-timeout", "limits.idle-timeout=2h": "idle-timeout",
		"limits.send-timeout=1s": "send-timeout", "limits.upload-timeout=11m": "upload-timeout",
	} {
		if o := s.run("config", "--set", setting); o.status == 0 || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: status %d: %s", setting, o.status, o.stderr)
		}
	}
}

// exchangeOn says something on a connection, and gives the status of the answer, which
// it reads to its end.
func exchangeOn(conn net.Conn, say string) (status int, err error) {
	if _, err := fmt.Fprint(conn, say); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

package hardship

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// names answers for the resolver of this process: it knows the lines that have
// a name, and can forget them for a while.
var names = &nameServer{known: make(map[string]netip.Addr)}

type nameServer struct {
	mu    sync.Mutex
	known map[string]netip.Addr // "line.test." → its address; the zero address while it does not resolve
}

func (s *nameServer) set(name, host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	address, err := netip.ParseAddr(host)
	if err != nil {
		address = netip.Addr{}
	}
	s.known[name+"."] = address
}

// resolver asks s in place of the servers of this machine.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go s.serve(far) // until the resolver closes its end
		return near, nil
	}}
}

// serve answers what comes as over TCP: each message behind its length.
func (s *nameServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }() // its peer has closed it
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, int(length[0])<<8|int(length[1]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		answer, err := s.answer(query)
		if err != nil {
			return
		}
		if _, err := conn.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...)); err != nil {
			return
		}
	}
}

func (s *nameServer) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("read question: %w", err)
	}
	s.mu.Lock()
	address := s.known[m.Questions[0].Name.String()]
	s.mu.Unlock()
	m.Response, m.RecursionAvailable = true, true
	m.Additionals = nil
	switch {
	case !address.Is4():
		m.RCode = dnsmessage.RCodeNameError
	case m.Questions[0].Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.AResource{A: address.As4()},
		}}
	}
	return m.Pack()
}

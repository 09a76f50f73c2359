package upstreamtest

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// portHold keeps a port without listening: a connection to it is refused, and
// the kernel gives it to nobody else.
type portHold struct{ fd int }

// holdPort binds an address; port 0 means one from the kernel. A listener can use
// the port while it is held, and leave it and come back.
func holdPort(address string) (*portHold, error) {
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("hold port: %w", err)
	}
	if tcp.IP == nil {
		tcp.IP = net.IPv6unspecified // no host: every address, as net.Listen has it
	}
	family := syscall.AF_INET
	var to syscall.Sockaddr
	if v4 := tcp.IP.To4(); v4 != nil {
		to = &syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(v4)}
	} else {
		family = syscall.AF_INET6
		to = &syscall.SockaddrInet6{Port: tcp.Port, Addr: [16]byte(tcp.IP.To16())}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("hold port %s: %w", address, err)
	}
	h := &portHold{fd}
	// With SO_REUSEADDR on both, a listener can stand on the port beside the hold.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		_ = h.Close() // the error that is returned matters more
		return nil, fmt.Errorf("hold port %s: %w", address, err)
	}
	if err := syscall.Bind(fd, to); err != nil {
		_ = h.Close() // the error that is returned matters more
		return nil, fmt.Errorf("hold port %s: %w", address, err)
	}
	return h, nil
}

// address is what the hold is bound to.
func (h *portHold) address() (string, error) {
	at, err := syscall.Getsockname(h.fd)
	if err != nil {
		return "", fmt.Errorf("look at held port: %w", err)
	}
	switch a := at.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String(), nil
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String(), nil
	}
	return "", fmt.Errorf("look at held port: %T is no address of TCP", at)
}

// Close gives the port free.
func (h *portHold) Close() error { return syscall.Close(h.fd) }

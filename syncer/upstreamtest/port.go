package upstreamtest

import (
	"fmt"
	"net"
	"syscall"
)

// portHold keeps a port without listening: a connection to it is refused, and
// the kernel gives it to nobody else.
type portHold struct{ fd int }

// holdPort binds an address that a listener has just left.
func holdPort(address string) (*portHold, error) {
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("hold port: %w", err)
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
	// With SO_REUSEADDR on both, Revive can listen while the hold still stands.
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

// Close gives the port free.
func (h *portHold) Close() error { return syscall.Close(h.fd) }

package mdns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// largest is the largest message (RFC 6762, section 17).
const largest = 9000

// hops of a message that stays on its link (section 11).
const hops = 255

var (
	group4 = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: port}
	group6 = &net.UDPAddr{IP: net.ParseIP("ff02::fb"), Port: port}
)

// sockets are those of both families; nil is one that this machine does not have.
type sockets struct {
	v4     *ipv4.PacketConn
	v6     *ipv6.PacketConn
	joined map[linkKey]bool
}

// openSockets shares the port with other responders of this machine.
func openSockets(ctx context.Context) (*sockets, error) {
	s := &sockets{joined: make(map[linkKey]bool)}
	// Only what comes from groups that this socket is in, on the links where it is.
	c4, err4 := listen(ctx, "udp4", "0.0.0.0", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL)
	if err4 == nil {
		s.v4 = ipv4.NewPacketConn(c4)
		err4 = errors.Join(s.v4.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true),
			s.v4.SetMulticastTTL(hops), s.v4.SetTTL(hops), s.v4.SetMulticastLoopback(true))
	}
	c6, err6 := listen(ctx, "udp6", "::", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL)
	if err6 == nil {
		s.v6 = ipv6.NewPacketConn(c6)
		err6 = errors.Join(s.v6.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true),
			s.v6.SetMulticastHopLimit(hops), s.v6.SetHopLimit(hops), s.v6.SetMulticastLoopback(true))
	}
	if err4 != nil && err6 != nil {
		return nil, errors.Join(fmt.Errorf("listen for questions on names: %w", err4), s.Close())
	}
	return s, nil
}

func listen(ctx context.Context, network, host string, level, multicastAll int) (net.PacketConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			_ = unix.SetsockoptInt(int(fd), level, multicastAll, 0) // older kernels do not know it for IPv6
		})
		return errors.Join(control, err)
	}}
	return config.ListenPacket(ctx, network, net.JoinHostPort(host, fmt.Sprint(port)))
}

// Close lets them go.
func (s *sockets) Close() error {
	var err error
	if s.v4 != nil {
		err = s.v4.Close()
	}
	if s.v6 != nil {
		err = errors.Join(err, s.v6.Close())
	}
	return err
}

// join has the sockets hear what is said on links, and gives those where they do.
func (s *sockets) join(links []Link) (heard []Link, err error) {
	now := make(map[linkKey]bool)
	for _, l := range links {
		if l.IPv6 && s.v6 == nil || !l.IPv6 && s.v4 == nil {
			continue
		}
		key := l.key()
		var failed error
		if !s.joined[key] {
			on := &net.Interface{Index: l.Index}
			if l.IPv6 {
				failed = s.v6.JoinGroup(on, group6)
			} else {
				failed = s.v4.JoinGroup(on, group4)
			}
		}
		// An interface that was away for a moment has kept its place.
		if failed != nil && !errors.Is(failed, unix.EADDRINUSE) {
			err = errors.Join(err, fmt.Errorf("listen on interface %d: %w", l.Index, failed))
			continue
		}
		now[key] = true
		heard = append(heard, l)
	}
	for key := range s.joined {
		if !now[key] {
			on := &net.Interface{Index: key.index}
			if key.v6 {
				_ = s.v6.LeaveGroup(on, group6) // it has gone
			} else {
				_ = s.v4.LeaveGroup(on, group4)
			}
		}
	}
	s.joined = now
	return heard, err
}

// send sends one message. A link that is going away takes none.
func (s *sockets) send(o outgoing) error {
	var to net.Addr
	if o.to.IsValid() {
		to = net.UDPAddrFromAddrPort(o.to)
	}
	if o.link.v6 {
		if to == nil {
			to = group6
		}
		_, err := s.v6.WriteTo(o.data, &ipv6.ControlMessage{IfIndex: o.link.index}, to)
		return err
	}
	if to == nil {
		to = group4
	}
	_, err := s.v4.WriteTo(o.data, &ipv4.ControlMessage{IfIndex: o.link.index}, to)
	return err
}

// read hands on what comes, until the sockets are closed. What nobody takes in time is
// dropped: it comes again.
func (s *sockets) read(v6 bool, messages chan<- incoming) error {
	data := make([]byte, largest)
	for {
		in := incoming{link: linkKey{v6: v6}}
		var n int
		var from net.Addr
		var to net.IP
		var err error
		if v6 {
			var c *ipv6.ControlMessage
			if n, c, from, err = s.v6.ReadFrom(data); c != nil {
				in.link.index, to = c.IfIndex, c.Dst
			}
		} else {
			var c *ipv4.ControlMessage
			if n, c, from, err = s.v4.ReadFrom(data); c != nil {
				in.link.index, to = c.IfIndex, c.Dst
			}
		}
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("listen for questions on names: %w", err)
		}
		udp, ok := from.(*net.UDPAddr)
		if !ok || to == nil {
			continue
		}
		in.from, in.multicast, in.data = udp.AddrPort(), to.IsMulticast(), append([]byte(nil), data[:n]...)
		in.from = netip.AddrPortFrom(in.from.Addr().Unmap(), in.from.Port())
		select {
		case messages <- in:
		default:
		}
	}
}

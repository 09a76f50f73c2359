package farline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// defaultRoute sends everything through a device to a gateway (rtnetlink(7)).
func defaultRoute(device string, gateway netip.Addr) (err error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Close(socket)) }()

	route := []byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
	route = attribute(route, unix.RTA_GATEWAY, gateway.AsSlice())
	route = attribute(route, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(link.Index)))

	message := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(route)))
	message = binary.NativeEndian.AppendUint16(message, unix.RTM_NEWROUTE)
	message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	message = binary.NativeEndian.AppendUint32(message, 1) // number of the message
	message = binary.NativeEndian.AppendUint32(message, 0) // from us
	if err := unix.Sendto(socket, append(message, route...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask for a route: %w", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(socket, answer, 0)
	if err != nil {
		return fmt.Errorf("read about a route: %w", err)
	}
	// Behind the header stands the number of the error, negative; 0: none.
	if n < unix.NLMSG_HDRLEN+4 {
		return fmt.Errorf("set a route: the answer has %d bytes", n)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); code != 0 {
		return fmt.Errorf("set a route: %w", unix.Errno(-code))
	}
	return nil
}

// attribute appends one attribute of netlink; values have a multiple of 4 bytes.
func attribute(to []byte, kind uint16, value []byte) []byte {
	to = binary.NativeEndian.AppendUint16(to, uint16(unix.SizeofRtAttr+len(value)))
	to = binary.NativeEndian.AppendUint16(to, kind)
	return append(to, value...)
}

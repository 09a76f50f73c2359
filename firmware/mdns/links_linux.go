package mdns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostLinks is how many interfaces are spoken to: the kernel lets a socket be in twenty
// groups.
const mostLinks = 16

// readLinks gives the interfaces that are up, have addresses, and reach more than one
// other machine.
func readLinks() ([]Link, error) {
	of, err := readAddresses()
	if err != nil {
		return nil, err
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var out []Link
	const wanted, unwanted = net.FlagUp | net.FlagRunning | net.FlagMulticast, net.FlagLoopback | net.FlagPointToPoint
	count := 0
	for _, i := range interfaces {
		if i.Flags&wanted != wanted || i.Flags&unwanted != 0 || len(of[i.Index]) == 0 || count == mostLinks {
			continue
		}
		count++
		has := map[bool]bool{}
		for _, p := range of[i.Index] {
			has[p.Addr().Is6()] = true
		}
		for _, v6 := range []bool{false, true} {
			if has[v6] {
				out = append(out, Link{Index: i.Index, IPv6: v6, Addresses: of[i.Index]})
			}
		}
	}
	return out, nil
}

// readAddresses gives the addresses of each interface that can be used: not those that
// the kernel still tries, has found to be another's, will soon drop, or has made up for
// a while.
func readAddresses() (map[int][]netip.Prefix, error) {
	raw, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", os.NewSyscallError("netlink", err))
	}
	messages, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	out := make(map[int][]netip.Prefix)
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
			continue
		}
		bits, flags, index := int(m.Data[1]), uint32(m.Data[2]), int(binary.NativeEndian.Uint32(m.Data[4:]))
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return nil, fmt.Errorf("list the addresses: %w", err)
		}
		var a netip.Addr
		for _, attribute := range attributes {
			switch attribute.Attr.Type {
			case unix.IFA_LOCAL: // of a line to one other machine this one is ours
				a, _ = netip.AddrFromSlice(attribute.Value)
			case unix.IFA_ADDRESS:
				if !a.IsValid() {
					a, _ = netip.AddrFromSlice(attribute.Value)
				}
			case unix.IFA_FLAGS:
				if len(attribute.Value) == 4 {
					flags = binary.NativeEndian.Uint32(attribute.Value)
				}
			}
		}
		const passing = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED
		const madeUp = unix.IFA_F_TEMPORARY // of IPv6; of IPv4 the same bit says: a further address
		if a.IsValid() && flags&passing == 0 && !(a.Is6() && flags&madeUp != 0) {
			out[index] = append(out[index], netip.PrefixFrom(a, bits))
		}
	}
	return out, nil
}

// watchLinks sends whenever interfaces or addresses may have changed, until ctx ends.
func watchLinks(ctx context.Context, changed chan<- struct{}) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("watch the interfaces: %w", os.NewSyscallError("socket", err))
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return errors.Join(fmt.Errorf("watch the interfaces: %w", os.NewSyscallError("bind", err)), socket.Close())
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(closed); _ = socket.Close() })
	defer func() {
		if stop() {
			_ = socket.Close()
		} else {
			<-closed
		}
	}()
	message := make([]byte, 1<<16)
	for {
		select {
		case changed <- struct{}{}: // the first time for what came before
		default: // it is known already
		}
		// What it says does not matter: the kernel is asked. ENOBUFS says that more has
		// changed than there was room for.
		if _, err := socket.Read(message); err != nil && !errors.Is(err, unix.ENOBUFS) {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch the interfaces: %w", err)
		}
	}
}

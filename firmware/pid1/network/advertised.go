package network

import (
	"context"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// advertised is which servers for names routers have told of, and until when.
type advertised map[netip.Addr]time.Time

// servers lists those that still hold.
func (a advertised) servers() []netip.Addr {
	out := slices.SortedFunc(maps.Keys(a), netip.Addr.Compare)
	return slices.DeleteFunc(out, func(s netip.Addr) bool { return !a[s].After(time.Now()) })
}

// The places in struct nduseroptmsg (linux/rtnetlink.h), and in the option for servers
// (RFC 8106, 5.1).
const (
	userOptionHead = 16
	optionRDNSS    = 25
	groupUserOpts  = 20 // RTNLGRP_ND_USEROPT
)

// parseUserOption reads servers for names from what the kernel passes on of an
// advertisement: on which interface, whom, and for how long.
func parseUserOption(b []byte) (index int, servers []netip.Addr, lifetime time.Duration, ok bool) {
	if len(b) < userOptionHead || b[0] != unix.AF_INET6 {
		return 0, nil, 0, false
	}
	size := int(binary.NativeEndian.Uint16(b[2:]))
	index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	options := b[userOptionHead:]
	options = options[:min(size, len(options))]
	for len(options) >= 8 {
		length := int(options[1]) * 8
		if length == 0 || length > len(options) {
			return 0, nil, 0, false
		}
		if options[0] == optionRDNSS {
			lifetime = time.Duration(binary.BigEndian.Uint32(options[4:])) * time.Second
			for at := 8; at+16 <= length && len(servers) < mostOf; at += 16 {
				a := netip.AddrFrom16([16]byte(options[at : at+16]))
				if !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && !a.Is4In6() {
					servers = append(servers, a)
				}
			}
			ok = true
		}
		options = options[length:]
	}
	return index, servers, lifetime, ok
}

// followAdvertisements takes what routers say of servers for names, until ctx ends.
func (m *Manager) followAdvertisements(ctx context.Context) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, groupUserOpts)
	if err != nil {
		m.o.Log.Warn("what routers say of names is not heard", "reason", err)
		return
	}
	stop := context.AfterFunc(ctx, socket.Close)
	defer stop()
	for {
		messages, _, err := socket.Receive()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			m.o.Log.Debug("what routers say of names was missed", "reason", err)
			wait(ctx, time.Second)
			continue
		}
		for _, message := range messages {
			if message.Header.Type != unix.RTM_NEWNDUSEROPT {
				continue
			}
			if index, servers, lifetime, ok := parseUserOption(message.Data); ok {
				m.advertise(index, servers, lifetime)
			}
		}
	}
}

// advertise takes what a router has said.
func (m *Manager) advertise(index int, servers []netip.Addr, lifetime time.Duration) {
	m.mu.Lock()
	known := m.v6DNS[index]
	if known == nil {
		known = make(advertised)
		m.v6DNS[index] = known
	}
	// Those that hold no more make room: a router whose network is renumbered each night
	// tells of others each day.
	maps.DeleteFunc(known, func(_ netip.Addr, until time.Time) bool { return !until.After(time.Now()) })
	for _, s := range servers {
		if lifetime == 0 {
			delete(known, s)
		} else if len(known) < mostOf || !known[s].IsZero() {
			known[s] = time.Now().Add(lifetime)
		}
	}
	m.mu.Unlock()
	if err := m.write(); err != nil {
		m.o.Log.Warn("what the network says of names could not be written", "reason", err)
	}
}

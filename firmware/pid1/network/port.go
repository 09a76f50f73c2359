package network

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// port is an interface that something can be plugged into.
type port struct {
	m      *Manager
	link   netlink.Link
	name   string
	metric int // of its routes: what is smaller goes first
	log    *slog.Logger
	leaser *leaser

	// Of the Manager's Run only:
	stop context.CancelFunc // nil: nothing is done here
	done chan struct{}

	// Under the Manager's lock:
	static []netip.Prefix
	terms  Terms // what DHCP has told; zero: nothing

	claim struct {
		sync.Mutex
		stop context.CancelFunc // nil: no address is claimed
		done chan struct{}
	}
}

// metricOf orders interfaces: those of the board before those that hang on USB, and
// cables before radio.
func metricOf(name string, index int) int {
	base := 1000
	switch {
	case strings.HasPrefix(name, "wl"):
		base = 3000
	case strings.HasPrefix(name, "usb"), strings.HasPrefix(name, "ww"):
		base = 2000
	}
	return base + index
}

func (m *Manager) newPort(link netlink.Link) *port {
	a := link.Attrs()
	p := &port{m: m, link: link, name: a.Name, metric: metricOf(a.Name, a.Index), log: m.o.Log.With("interface", a.Name)}
	p.leaser = &leaser{
		asker: &wire{name: a.Name, wait: firstWait, host: func() string { return m.o.Hostname }},
		log:   p.log, take: p.take, drop: p.drop, alone: func() {}, heard: func() {},
	}
	return p
}

// leaveDeadRoutes has the kernel take no way over this interface while that has no cable:
// its addresses stay, and another may be in the same network.
func (p *port) leaveDeadRoutes() {
	for _, family := range []string{"ipv4", "ipv6"} {
		path := filepath.Join("/proc/sys/net", family, "conf", p.name, "ignore_routes_with_linkdown")
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			p.log.Debug("routes over an interface without a cable cannot be left", "reason", err)
		}
	}
}

// start works with the interface until end.
func (p *port) start(ctx context.Context, work *sync.WaitGroup) {
	ctx, p.stop = context.WithCancel(ctx)
	p.done = make(chan struct{})
	done := p.done
	work.Go(func() { defer close(done); p.run(ctx) })
}

// end stops what start has begun, and waits for it.
func (p *port) end() {
	p.stop()
	<-p.done
	p.stop = nil
}

func (p *port) run(ctx context.Context) {
	static := p.m.static(p.name, p.link.Attrs().Index)
	p.m.mu.Lock()
	p.static = static
	p.m.mu.Unlock()
	v4 := false
	for _, prefix := range static {
		v4 = v4 || prefix.Addr().Is4()
		if err := p.setStatic(prefix); err != nil {
			p.log.Error("an address of the settings could not be set", "address", prefix, "reason", err)
		}
	}
	if v4 {
		<-ctx.Done()
		return
	}
	p.leaser.alone = func() { p.startClaim(ctx) }
	p.leaser.heard = p.endClaim
	p.leaser.run(ctx)
	p.endClaim()
}

// setStatic gives the interface an address of the settings, and the way out.
func (p *port) setStatic(prefix netip.Prefix) error {
	if err := p.setAddress(prefix, 0); err != nil {
		return err
	}
	for _, via := range p.m.o.Gateways {
		if via.Is4() == prefix.Addr().Is4() {
			return p.setRoute(Route{To: netip.PrefixFrom(unspecified(via), 0), Via: via})
		}
	}
	return nil
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// setAddress gives the interface an address, for so many seconds; 0: for ever.
func (p *port) setAddress(prefix netip.Prefix, seconds int) error {
	a := &netlink.Addr{IPNet: ipNet(prefix), ValidLft: seconds, PreferedLft: seconds}
	if linkLocal.Contains(prefix.Addr()) {
		a.Scope = unix.RT_SCOPE_LINK
	}
	if prefix.Addr().Is4() && prefix.Bits() < 31 {
		a.Broadcast = broadcast(prefix)
	}
	return netlink.AddrReplace(p.link, a)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func broadcast(p netip.Prefix) net.IP {
	ip := net.IP(p.Addr().AsSlice())
	mask := net.CIDRMask(p.Bits(), 32)
	for i := range ip {
		ip[i] |= ^mask[i]
	}
	return ip
}

func (p *port) setRoute(r Route) error {
	route := &netlink.Route{LinkIndex: p.link.Attrs().Index, Dst: ipNet(r.To), Priority: p.metric}
	if r.Via.IsValid() {
		// A router need not be in the network of the address (clouds, /32).
		route.Gw, route.Flags = r.Via.AsSlice(), int(netlink.FLAG_ONLINK)
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	return netlink.RouteReplace(route)
}

// take has the interface go by what DHCP says.
func (p *port) take(t Terms) error {
	p.m.mu.Lock()
	old := p.terms
	p.m.mu.Unlock()
	if old.Prefix.IsValid() && old.Prefix != t.Prefix {
		p.drop()
	}
	if err := p.setAddress(t.Prefix, int(t.Expires.Seconds())); err != nil {
		return err
	}
	for _, r := range old.Routes {
		if !containsRoute(t.Routes, r) {
			p.deleteRoute(r)
		}
	}
	var errs []error
	for _, r := range t.Routes {
		errs = append(errs, p.setRoute(r))
	}
	if err := errors.Join(errs...); err != nil {
		p.log.Warn("a route that DHCP names cannot be set", "reason", err)
	}
	if old.Prefix != t.Prefix {
		p.log.Info("DHCP has given an address", "address", t.Prefix, "by", t.Server, "for", t.Expires)
	}
	p.m.mu.Lock()
	p.terms = t
	p.m.mu.Unlock()
	p.m.survey()
	return nil
}

func containsRoute(all []Route, r Route) bool {
	for _, x := range all {
		if x == r {
			return true
		}
	}
	return false
}

func (p *port) deleteRoute(r Route) {
	// Those of an address that is gone are gone with it.
	_ = netlink.RouteDel(&netlink.Route{LinkIndex: p.link.Attrs().Index, Dst: ipNet(r.To), Priority: p.metric})
}

// drop forgets what DHCP has said.
func (p *port) drop() {
	p.m.mu.Lock()
	old := p.terms
	p.terms = Terms{}
	p.m.mu.Unlock()
	if !old.Prefix.IsValid() {
		return
	}
	for _, r := range old.Routes {
		p.deleteRoute(r)
	}
	p.removeAddress(old.Prefix)
	p.m.survey()
}

func (p *port) removeAddress(prefix netip.Prefix) {
	err := netlink.AddrDel(p.link, &netlink.Addr{IPNet: ipNet(prefix)})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
		p.log.Warn("an address could not be removed", "address", prefix, "reason", err)
	}
}

// startClaim has the interface get a link-local address beside asking by DHCP.
func (p *port) startClaim(ctx context.Context) {
	p.claim.Lock()
	defer p.claim.Unlock()
	if p.claim.stop != nil || ctx.Err() != nil {
		return
	}
	e, err := openEther(p.name)
	if err != nil {
		p.log.Warn("no link-local address", "reason", err)
		return
	}
	ctx, p.claim.stop = context.WithCancel(ctx)
	p.claim.done = make(chan struct{})
	var taken netip.Prefix
	c := claimer{
		ether: e, mac: p.link.Attrs().HardwareAddr, log: p.log,
		take: func(prefix netip.Prefix) error {
			taken = prefix
			err := p.setAddress(prefix, 0)
			p.m.survey()
			return err
		},
		drop: func() { p.removeAddress(taken); p.m.survey() },
	}
	done := p.claim.done
	go func() {
		defer close(done)
		c.run(ctx)
		if err := e.Close(); err != nil {
			p.log.Debug("the socket for ARP could not be closed", "reason", err)
		}
	}()
}

// endClaim takes the link-local address away, and waits until it is gone.
func (p *port) endClaim() {
	p.claim.Lock()
	defer p.claim.Unlock()
	if p.claim.stop == nil {
		return
	}
	p.claim.stop()
	<-p.claim.done
	p.claim.stop = nil
}

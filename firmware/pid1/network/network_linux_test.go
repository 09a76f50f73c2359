package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cheeseboard/board/clock"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
)

// managed is a Manager at work, and what it has told.
type managed struct {
	*Manager
	t    *testing.T
	root string
	told chan struct{} // holds one
	stop func()
}

func manage(t *testing.T, s Settings) *managed {
	t.Helper()
	g := &managed{t: t, root: t.TempDir(), told: make(chan struct{}, 1)}
	if s.Hostname == "" {
		s.Hostname = "cheeseboard"
	}
	g.Manager = New(Options{Settings: s, Root: g.root, Changed: func(State) {
		select {
		case g.told <- struct{}{}:
		default:
		}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()
	stopped := false
	g.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(g.stop)
	return g
}

// until waits until the state is so.
func (g *managed) until(what string, is func(State) bool) State {
	g.t.Helper()
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	for {
		if s := g.State(); is(s) {
			return s
		}
		select {
		case <-g.told:
		case <-patience.C:
			g.t.Fatalf("%s: within a minute it is only %+v", what, g.State())
		}
	}
}

func has(addresses ...Address) func(State) bool {
	return func(s State) bool { return slices.Equal(s.Addresses, addresses) }
}

func (g *managed) file(name string) string {
	raw, err := os.ReadFile(filepath.Join(g.root, name))
	if err != nil {
		g.t.Error(err)
	}
	return string(raw)
}

var leasedAddress = Address{"eth0", netip.MustParseAddr("10.9.0.5"), FromDHCP}

// TestDHCP: a cable, a server: address, route, names, time, and the name of this machine.
func TestDHCP(t *testing.T) {
	l := newLAN(t, "eth0")
	l.answers(give("10.9.0.5", dhcpv4.WithDNS(net.IPv4(10, 9, 0, 3)), dhcpv4.WithOption(dhcpv4.OptNTPServers(net.IPv4(10, 9, 0, 4))),
		dhcpv4.WithOption(dhcpv4.OptHostName("kitchen")), dhcpv4.WithOption(dhcpv4.OptDomainName("school.example"))))
	l.serve()
	g := manage(t, Settings{TakeName: true})
	s := g.until("an address", func(s State) bool { return has(leasedAddress)(s) && s.Routed && s.Hostname == "kitchen" })
	t.Logf("%+v", s)
	if got, want := g.file("etc/resolv.conf"), "# written by init\nnameserver 10.9.0.3\nsearch school.example\noptions timeout:2 attempts:2\n"; got != want {
		t.Errorf("resolv.conf is %q", got)
	}
	if got := g.file("etc/hosts"); !strings.Contains(got, "127.0.1.1 kitchen\n") || g.file("etc/hostname") != "kitchen\n" {
		t.Errorf("hosts is %q", got)
	}
	// The way in which the program finds them.
	if got := clock.LeaseServers(g.root); !slices.Equal(got, []string{"10.9.0.4"}) {
		t.Errorf("time servers: %q", got)
	}
	expect(t, "asked", l.asked(), []string{"DISCOVER", "REQUEST 10.9.0.5"})
	l.mu.Lock()
	for _, m := range l.heard {
		if m.HostName() != "cheeseboard" {
			t.Errorf("the server hears the name %q", m.HostName())
		}
	}
	l.mu.Unlock()
}

// TestOtherNetwork: the cable is put into another network, whose server says no: the old
// address goes, and the new one comes. In the same network the address is confirmed.
func TestOtherNetwork(t *testing.T) {
	l := newLAN(t, "eth0")
	l.answers(give("10.9.0.5"))
	l.serve()
	g := manage(t, Settings{})
	g.until("an address", has(leasedAddress))
	l.cable(false)
	l.cable(true)
	patience := time.After(time.Minute)
	for !slices.Contains(l.asked()[2:], "REQUEST 10.9.0.5") {
		select {
		case <-patience:
			t.Fatalf("it was not confirmed: %q", l.asked())
		case <-time.After(20 * time.Millisecond):
		}
	}
	g.until("the same address", has(leasedAddress))
	l.cable(false)
	l.answers(give("10.9.0.77"))
	l.cable(true)
	g.until("another address", has(Address{"eth0", netip.MustParseAddr("10.9.0.77"), FromDHCP}))
	if asked := l.asked(); asked[len(asked)-1] != "REQUEST 10.9.0.77" {
		t.Errorf("asked %q", asked)
	}
}

// TestRenewOverWire asks the server that gave an address, by unicast, and then any.
func TestRenewOverWire(t *testing.T) {
	l := newLAN(t, "eth0")
	l.answers(give("10.9.0.5"))
	l.serve()
	g := manage(t, Settings{})
	g.until("an address", has(leasedAddress))
	g.stop() // the address stays
	w := &wire{name: "eth0", wait: 10 * time.Second, host: func() string { return "x" }}
	last := ack(t, "10.9.0.5", time.Hour, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 9, 0, 1))))
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	last.OpCode, last.ClientHWAddr = dhcpv4.OpcodeBootReply, link.Attrs().HardwareAddr
	for _, all := range []bool{false, true} {
		got, err := w.Renew(t.Context(), last, all)
		if err != nil {
			t.Fatalf("all %t: %v", all, err)
		}
		if !got.YourIPAddr.Equal(net.IPv4(10, 9, 0, 5)) {
			t.Errorf("all %t: %s", all, got.Summary())
		}
	}
	expect(t, "asked", l.asked()[2:], []string{"REQUEST at 10.9.0.5", "REQUEST at 10.9.0.5"})
	l.answers(func(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		return give("10.9.0.5", dhcpv4.WithMessageType(dhcpv4.MessageTypeNak))(m)
	})
	if _, err := w.Renew(t.Context(), last, false); !refused(err) {
		t.Errorf("a server says no: %v", err)
	}
}

// TestStatic: addresses of the settings, on the interface that has a cable, and nobody is
// asked.
func TestStatic(t *testing.T) {
	l := newLAN(t, "eth0")
	l.answers(give("10.9.0.5"))
	l.serve()
	g := manage(t, Settings{
		Static:   []Static{{"", netip.MustParsePrefix("10.9.0.8/24")}, {"eth7", netip.MustParsePrefix("10.7.0.8/24")}},
		Gateways: addrs("10.9.0.1"), DNS: addrs("9.9.9.9"),
	})
	g.until("an address", func(s State) bool {
		return has(Address{"eth0", netip.MustParseAddr("10.9.0.8"), FromStatic})(s) && s.Routed
	})
	if got := g.file("etc/resolv.conf"); !strings.Contains(got, "nameserver 9.9.9.9\n") {
		t.Errorf("resolv.conf is %q", got)
	}
	if asked := l.asked(); len(asked) > 0 {
		t.Errorf("asked %q", asked)
	}
}

// TestTwo: two networks, one of which has no server: the other one works all the same.
func TestTwo(t *testing.T) {
	newLAN(t, "eth1")
	l := newLAN(t, "eth0")
	l.answers(give("10.9.0.5"))
	l.serve()
	g := manage(t, Settings{})
	g.until("an address", has(leasedAddress))
}

// TestPulledCable: of two interfaces in one network the other one is used when the first
// has no cable any more, though that keeps its address.
func TestPulledCable(t *testing.T) {
	first, second := newLAN(t, "eth0"), newLAN(t, "eth1")
	g := manage(t, Settings{Static: []Static{
		{Interface: "eth0", Prefix: netip.MustParsePrefix("10.9.0.5/24")}, {Interface: "eth1", Prefix: netip.MustParsePrefix("10.9.0.6/24")},
	}})
	g.until("both addresses", func(s State) bool { return len(s.Addresses) == 2 })
	way := func() int {
		routes, err := netlink.RouteGet(net.IPv4(10, 9, 0, 1))
		if err != nil || len(routes) == 0 {
			t.Fatalf("there is no way: %v", err)
		}
		return routes[0].LinkIndex
	}
	index := func(name string) int {
		link, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return link.Attrs().Index
	}
	// Whichever way it is: that cable is pulled, and the other one is left.
	pulled, left := first, index("eth1")
	if way() == left {
		pulled, left = second, index("eth0")
	}
	pulled.do(func() error {
		link, err := netlink.LinkByName(pulled.name)
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(link)
	})
	patience := time.After(time.Minute)
	for way() != left { // the kernel looks at the cable a moment later
		select {
		case <-patience:
			t.Fatal("what goes to the network goes over the interface without a cable")
		case <-time.After(20 * time.Millisecond):
		}
	}
	if s := g.State(); len(s.Addresses) != 2 {
		t.Errorf("%+v", s)
	}
}

// TestAlone: where nobody answers the interface takes a link-local address; when a server
// comes, that goes.
func TestAlone(t *testing.T) {
	if os.Getenv("CHEESEBOARD_TEST_LONG") == "" {
		t.Skip("only with CHEESEBOARD_TEST_LONG=1: it takes half a minute; the guest test of a network without a server does the same")
	}
	l := newLAN(t, "eth0")
	g := manage(t, Settings{})
	s := g.until("a link-local address", func(s State) bool { return len(s.Addresses) == 1 })
	if a := s.Addresses[0]; a.From != FromLinkLocal || !linkLocal.Contains(a.Addr) {
		t.Errorf("%+v", s)
	}
	l.answers(give("10.9.0.5"))
	l.serve()
	g.until("an address", has(leasedAddress))
}

// TestEther: what is sent is heard on the other end as it was meant.
func TestEther(t *testing.T) {
	l := newLAN(t, "eth0")
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	near, err := openEther("eth0")
	if err != nil {
		t.Fatal(err)
	}
	var far *ether
	l.do(func() (err error) { far, err = openEther(l.name); return err })
	sent := ARP{Request: true, MAC: link.Attrs().HardwareAddr, Sender: netip.IPv4Unspecified(), Target: netip.MustParseAddr("169.254.3.4")}
	if err := near.Send(sent); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-far.Heard():
		if got.Request != sent.Request || got.MAC.String() != sent.MAC.String() || got.Sender != sent.Sender || got.Target != sent.Target {
			t.Errorf("%+v, sent was %+v", got, sent)
		}
	case <-time.After(time.Minute):
		t.Error("nothing was heard")
	}
	if err := near.Close(); err != nil {
		t.Error(err)
	}
	if err := far.Close(); err != nil {
		t.Error(err)
	}
}

// TestRouterNames: what a router says of servers for names (RFC 8106) is taken.
func TestRouterNames(t *testing.T) {
	l := newLAN(t, "eth0")
	g := manage(t, Settings{})
	var conn *icmp.PacketConn
	l.do(func() (err error) {
		conn, err = icmp.ListenPacket("ip6:ipv6-icmp", "::")
		return err
	})
	defer func() { _ = conn.Close() }()
	p := conn.IPv6PacketConn()
	link := func() (i *net.Interface) {
		l.do(func() (err error) { i, err = net.InterfaceByName(l.name); return err })
		return i
	}()
	options := []byte{25, 3, 0, 0, 0, 0, 1, 0} // RDNSS, 24 bytes, 256 s
	server := netip.MustParseAddr("fd00:9::53").As16()
	prefix := netip.MustParseAddr("fd00:9::").As16()
	advertisement := append([]byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}, append(options, server[:]...)...)
	advertisement = append(advertisement, append([]byte{3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0}, prefix[:]...)...)
	message, err := (&icmp.Message{Type: ipv6.ICMPTypeRouterAdvertisement, Body: &icmp.RawBody{Data: advertisement}}).Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	patience := time.After(time.Minute)
	for {
		// It may be too early: both ends look first whether their addresses are free.
		l.do(func() error {
			_, _ = p.WriteTo(message, &ipv6.ControlMessage{HopLimit: 255, IfIndex: link.Index}, &net.IPAddr{IP: net.ParseIP("ff02::1"), Zone: l.name})
			return nil
		})
		s := g.State()
		names, _ := os.ReadFile(filepath.Join(g.root, "etc/resolv.conf")) // it need not be there yet
		if strings.Contains(string(names), "nameserver fd00:9::53\n") && s.Routed && len(s.Addresses) == 1 && s.Addresses[0].From == FromRouter {
			return
		}
		select {
		case <-patience:
			t.Fatalf("resolv.conf is %q, the state %+v", names, s)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

package network

import (
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestReadTerms(t *testing.T) {
	full := ack(t, "10.0.0.5", 2*time.Hour,
		dhcpv4.WithRouter(net.IPv4(10, 0, 0, 1), net.IPv4(10, 0, 0, 2)),
		dhcpv4.WithDNS(net.IPv4(10, 0, 0, 3), net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 3), net.IPv4(224, 0, 0, 1)),
		dhcpv4.WithOption(dhcpv4.OptNTPServers(net.IPv4(10, 0, 0, 4))),
		dhcpv4.WithOption(dhcpv4.OptHostName("Kitchen.school.example")),
		dhcpv4.WithOption(dhcpv4.OptDomainName("school.example")),
		dhcpv4.WithOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{"school.example", "lab.school.example", "no\nsense"}})),
	)
	got, err := ReadTerms(full)
	want := Terms{
		Prefix: netip.MustParsePrefix("10.0.0.5/24"), Server: netip.MustParseAddr("10.0.0.1"),
		Routes: []Route{{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.0.0.1")}},
		DNS:    addrs("10.0.0.3"), NTP: addrs("10.0.0.4"), Search: []string{"school.example", "lab.school.example"}, Name: "kitchen",
		Renew: time.Hour, Rebind: 105 * time.Minute, Expires: 2 * time.Hour,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// TestRoutes: classless routes count instead of the router (RFC 3442), those on the link
// have no gateway.
func TestRoutes(t *testing.T) {
	m := ack(t, "10.0.0.5", time.Hour, dhcpv4.WithRouter(net.IPv4(10, 0, 0, 1)), dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(192, 168, 9, 0), Mask: net.CIDRMask(24, 32)}, Router: net.IPv4(0, 0, 0, 0)},
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(0, 0, 0, 0), Mask: net.CIDRMask(0, 32)}, Router: net.IPv4(10, 0, 0, 9)},
	)))
	got, err := ReadTerms(m)
	want := []Route{{To: netip.MustParsePrefix("192.168.9.0/24")}, {netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("10.0.0.9")}}
	if err != nil || !reflect.DeepEqual(got.Routes, want) {
		t.Errorf("%+v, %v", got.Routes, err)
	}
}

// TestStrangeTerms: what cannot be is refused, or brought within bounds.
func TestStrangeTerms(t *testing.T) {
	for _, address := range []string{"0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255"} {
		if got, err := ReadTerms(ack(t, address, time.Hour)); err == nil {
			t.Errorf("%s is taken: %+v", address, got)
		}
	}
	for _, c := range []struct {
		lease, renew, rebind time.Duration
		want                 [3]time.Duration
	}{
		{time.Second, 0, 0, [3]time.Duration{30 * time.Second, 52500 * time.Millisecond, time.Minute}},
		{1 << 31 * time.Second, 0, 0, [3]time.Duration{mostLease / 2, mostLease * 7 / 8, mostLease}},
		{time.Hour, 10 * time.Minute, 20 * time.Minute, [3]time.Duration{10 * time.Minute, 20 * time.Minute, time.Hour}},
		{time.Hour, 50 * time.Minute, 40 * time.Minute, [3]time.Duration{30 * time.Minute, 52*time.Minute + 30*time.Second, time.Hour}},
		{time.Hour, 10 * time.Minute, 2 * time.Hour, [3]time.Duration{30 * time.Minute, 52*time.Minute + 30*time.Second, time.Hour}},
	} {
		var more []dhcpv4.Modifier
		if c.renew > 0 {
			more = append(more, dhcpv4.WithOption(dhcpv4.Option{Code: dhcpv4.OptionRenewTimeValue, Value: dhcpv4.Duration(c.renew)}),
				dhcpv4.WithOption(dhcpv4.Option{Code: dhcpv4.OptionRebindingTimeValue, Value: dhcpv4.Duration(c.rebind)}))
		}
		got, err := ReadTerms(ack(t, "10.0.0.5", c.lease, more...))
		if err != nil || [3]time.Duration{got.Renew, got.Rebind, got.Expires} != c.want {
			t.Errorf("%s, %s, %s: %s, %s, %s (%v)", c.lease, c.renew, c.rebind, got.Renew, got.Rebind, got.Expires, err)
		}
	}
	odd := ack(t, "10.0.0.5", time.Hour, dhcpv4.WithNetmask(net.IPv4Mask(255, 0, 255, 0)))
	if got, err := ReadTerms(odd); err != nil || got.Prefix.Bits() != 24 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever a server sends is refused, or gives an address and times that can be.
func FuzzReadTerms(f *testing.F) {
	seed, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 5)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(10, 0, 0, 1)),
		dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(1, 2, 3, 0), Mask: net.CIDRMask(24, 32)}, Router: net.IPv4(10, 0, 0, 1)})))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		got, err := ReadTerms(m)
		if err != nil {
			return
		}
		if !usable(got.Prefix.Addr()) || got.Renew <= 0 || got.Rebind <= got.Renew || got.Expires <= got.Rebind || got.Expires > mostLease {
			t.Errorf("%+v", got)
		}
		for _, name := range append(got.Search, got.Name) {
			if name != "" && !validName(name) {
				t.Errorf("the name %q", name)
			}
		}
	})
}

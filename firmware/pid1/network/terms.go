package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Terms are what DHCP has told an interface, checked.
type Terms struct {
	Prefix  netip.Prefix // the address, and how long the network's part is
	Server  netip.Addr   // who gave it
	Routes  []Route
	DNS     []netip.Addr
	NTP     []netip.Addr
	Search  []string // domains in which names are looked for
	Name    string   // what this machine is called; "": not said
	Renew   time.Duration
	Rebind  time.Duration
	Expires time.Duration // since it was given
}

// Route is a way to a network.
type Route struct {
	To  netip.Prefix
	Via netip.Addr // not valid: on the link itself
}

// The bounds of what is taken from a server.
const (
	leastLease = time.Minute
	mostLease  = 30 * 24 * time.Hour
	mostOf     = 8 // addresses, routes and domains, each
)

// ReadTerms checks an ACK, and reads what this machine goes by. Nothing from the network
// decides an address or a time without a check.
func ReadTerms(ack *dhcpv4.DHCPv4) (Terms, error) {
	var t Terms
	address, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || !usable(address) {
		return t, fmt.Errorf("DHCP offers the address %s, which no machine can have", ack.YourIPAddr)
	}
	ones, bits := ack.SubnetMask().Size()
	if bits != 32 || ones == 0 || ones > 32 {
		ones = 24 // what is not said, or no mask, is what is usual
	}
	t.Prefix = netip.PrefixFrom(address, ones)
	if server, ok := netip.AddrFromSlice(ack.ServerIdentifier().To4()); ok && usable(server) {
		t.Server = server
	}
	t.Routes = routes(ack)
	t.DNS, t.NTP = addresses(ack.DNS()), addresses(ack.NTPServers())
	t.Search = domains(ack)
	if name, _, _ := strings.Cut(ack.HostName(), "."); validLabel(name) {
		t.Name = strings.ToLower(name)
	}
	t.Expires = min(max(ack.IPAddressLeaseTime(time.Hour), leastLease), mostLease)
	// RFC 2131, 4.4.5
	t.Renew = ack.IPAddressRenewalTime(t.Expires / 2)
	t.Rebind = ack.IPAddressRebindingTime(t.Expires * 7 / 8)
	if t.Renew <= 0 || t.Rebind <= t.Renew || t.Rebind >= t.Expires {
		t.Renew, t.Rebind = t.Expires/2, t.Expires*7/8
	}
	return t, nil
}

// routes reads the classless routes (RFC 3442), or else the router.
func routes(ack *dhcpv4.DHCPv4) (out []Route) {
	for _, r := range ack.ClasslessStaticRoute() {
		if r == nil || r.Dest == nil || len(out) == mostOf {
			continue
		}
		to, ok := netip.AddrFromSlice(r.Dest.IP.To4())
		ones, bits := r.Dest.Mask.Size()
		via, has := netip.AddrFromSlice(r.Router.To4())
		if !ok || bits != 32 || !has {
			continue
		}
		route := Route{To: netip.PrefixFrom(to, ones).Masked()}
		if usable(via) {
			route.Via = via
		} else if !via.IsUnspecified() {
			continue
		}
		out = append(out, route)
	}
	if out != nil {
		return out // then the router does not count
	}
	for _, via := range addresses(ack.Router()) {
		return []Route{{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: via}}
	}
	return nil
}

func addresses(ips []net.IP) (out []netip.Addr) {
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && usable(a) && !slices.Contains(out, a) && len(out) < mostOf {
			out = append(out, a)
		}
	}
	return out
}

// usable tells whether a machine on the network can have this address of IPv4.
func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && a.As4()[0] != 0 && a.As4()[0] < 224
}

func domains(ack *dhcpv4.DHCPv4) (out []string) {
	names := []string{ack.DomainName()}
	if labels := ack.DomainSearch(); labels != nil {
		names = append(names, labels.Labels...)
	}
	for _, name := range names {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if validName(name) && !slices.Contains(out, name) && len(out) < mostOf {
			out = append(out, name)
		}
	}
	return out
}

// validName tells whether a name can be asked for, and stand in a file of lines.
func validName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

// validLabel tells whether s is one part of a host name (RFC 1123).
func validLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

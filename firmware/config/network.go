package config

import (
	"net/netip"
	"strings"
)

// Network is the [network] table: what the init of the image sets. Where the machine has
// another system, that one does, and the table means nothing.
type Network struct {
	Hostname     string   // one label, lower-case
	HostnameFrom NameFrom // who says what the machine is called
	Addresses    []string // as ParseInterfaceAddress reads them; empty: DHCP
	Gateways     []string // IP addresses, at most one of each family
	NameServers  []string // IP addresses; empty: those that the network tells
}

// NameFrom says who names the machine.
type NameFrom string

// The values of a NameFrom.
const (
	NameFromFile NameFrom = "file"
	NameFromDHCP NameFrom = "dhcp" // where DHCP says a name, that counts
)

// ParseInterfaceAddress reads "192.168.1.5/24", for the first interface that has a cable,
// or "eth1 192.168.1.5/24". name is "" where none is said.
func ParseInterfaceAddress(s string) (name string, prefix netip.Prefix, err error) {
	address := s
	if before, after, ok := strings.Cut(strings.TrimSpace(s), " "); ok {
		name, address = before, strings.TrimSpace(after)
	}
	prefix, err = netip.ParsePrefix(address)
	return name, prefix, err
}

func networkKeys(c *Network) []key {
	return []key{
		{"network.hostname",
			"What this box is called on the network: NAME.local, and the name that DHCP is told. Lower-case letters, digits and hyphens.",
			`"kitchen"`, text(&c.Hostname, checkLabel)},
		{"network.hostname-from",
			`Who says that: "file", this file, or "dhcp", the network, where it says a name.`,
			`"dhcp"`, choice(&c.HostnameFrom, func(v NameFrom) string { return string(v) }, NameFromFile, NameFromDHCP)},
		{"network.addresses",
			`Addresses with the length of their network, each for the first interface that has a cable, or for the one that is named before it, as in "eth1 10.0.0.5/8". An interface that has one of IPv4 does not ask for another. Empty: DHCP, and a link-local address (169.254.x.y) where nobody answers.`,
			`["192.168.1.5/24"]`, list{&c.Addresses, checkInterfaceAddress, false, "\n, ", 8}},
		{"network.gateways",
			"Routers on the way out, for the addresses above: at most one of IPv4 and one of IPv6.",
			`["192.168.1.1"]`, list{&c.Gateways, checkAddress, false, ", ", 2}},
		{"network.name-servers",
			"Servers that are asked for names (DNS). Empty: those that the network tells.",
			`["192.168.1.1", "9.9.9.9"]`, list{&c.NameServers, checkAddress, false, ", ", 3}},
	}
}

func checkLabel(s string) string {
	const want = `a name of lower-case letters, digits and hyphens such as "cheeseboard"`
	ok := s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && s != "localhost" &&
		!strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
	if !ok {
		return want
	}
	return ""
}

func checkInterfaceAddress(s string) string {
	const want = `an address with the length of its network such as "192.168.1.5/24" or "eth1 10.0.0.5/8"`
	name, prefix, err := ParseInterfaceAddress(s)
	if err != nil || checkInterface(name) != "" || !machineAddress(prefix.Addr()) || prefix.Bits() == 0 {
		return want
	}
	return ""
}

func checkAddress(s string) string {
	if a, err := netip.ParseAddr(s); err != nil || !machineAddress(a) {
		return `an address such as "192.168.1.1"`
	}
	return ""
}

// machineAddress tells whether a machine on a network can have this address.
func machineAddress(a netip.Addr) bool {
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is4In6() || a.Zone() != "" {
		return false
	}
	return !a.Is4() || a.As4()[0] != 0 && a.As4()[0] < 224
}

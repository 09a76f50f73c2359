package link

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// arphrdPPP is the hardware type of a dialled line (linux/if_arp.h).
const arphrdPPP = "512"

// LookCarrier tells whether a network interface has a peer, as /sys below root
// shows it. The loopback, bridges and other interfaces without hardware do not
// count, unless there are no others: a container has nothing else, and then
// their silence tells nothing.
func LookCarrier(root string) Observation {
	o := Observation{About: Carrier, Probe: true}
	dir := filepath.Join(root, "sys/class/net")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return o
	}
	hardware, sockets := false, false
	virtual := CannotTell
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.Name() == "lo" || exists(path, "bridge") {
			continue
		}
		k := peer(path)
		if !exists(path, "device") && read(path, "type") != arphrdPPP {
			if k == Yes {
				virtual = Yes
			}
			continue
		}
		hardware = true
		sockets = sockets || !exists(path, "wireless") && !exists(path, "phy80211")
		switch {
		case k == Yes:
			return Observation{About: Carrier, Probe: true, Known: Yes}
		case k == No && o.Known == CannotTell:
			o.Known = No
		}
	}
	if !hardware {
		o.Known = virtual
	}
	o.Wireless = o.Known == No && !sockets
	return o
}

// peer judges one interface. An interface that is switched off refuses to tell
// its carrier.
func peer(path string) Known {
	switch read(path, "carrier") {
	case "1":
		return Yes
	case "0":
		return No
	}
	switch read(path, "operstate") {
	case "up":
		return Yes
	case "down", "lowerlayerdown", "notpresent", "dormant":
		return No
	}
	return CannotTell
}

func exists(path, name string) bool {
	_, err := os.Stat(filepath.Join(path, name))
	return err == nil
}

func read(path, name string) string {
	b, err := os.ReadFile(filepath.Join(path, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// Flags of a route (linux/route.h).
const (
	routeUp     = 0x1
	routeReject = 0x200
)

// LookRoute tells whether a route leads to host, as /proc/net below root shows it.
// A host that is an address counts as reached by the route of its own network. For
// a name of the local network, where there are routes but no gateway, it cannot
// tell.
func LookRoute(root, host string) Observation {
	o := Observation{About: Route, Probe: true}
	four, err4 := os.ReadFile(filepath.Join(root, "proc/net/route"))
	six, err6 := os.ReadFile(filepath.Join(root, "proc/net/ipv6_route"))
	if err4 != nil && err6 != nil {
		return o
	}
	routes := append(routes4(four), routes6(six)...)
	address, err := netip.ParseAddr(host)
	for _, r := range routes {
		// Two halves, or the part of IPv6 that is in use, serve as a default too.
		if r.Bits() <= 3 && (err != nil || r.Addr().Is4() == address.Unmap().Is4()) {
			return Observation{About: Route, Probe: true, Known: Yes}
		}
		if err == nil && r.Contains(address.Unmap()) {
			return Observation{About: Route, Probe: true, Known: Yes}
		}
	}
	if len(routes) == 0 || err == nil || !localName(host) {
		o.Known = No
	}
	return o
}

// localName tells whether a name is likely to be one of the local network.
func localName(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if !strings.Contains(host, ".") {
		return true
	}
	for _, suffix := range [...]string{".local", ".lan", ".home", ".internal", ".intranet", ".corp", ".home.arpa", ".test"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// routes4 reads /proc/net/route: numbers in hexadecimal, addresses in the order
// of bytes of a little-endian machine, as all that we run on are.
func routes4(table []byte) []netip.Prefix {
	var out []netip.Prefix
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 8 || f[0] == "lo" {
			continue
		}
		destination, errD := strconv.ParseUint(f[1], 16, 32)
		flags, errF := strconv.ParseUint(f[3], 16, 32)
		mask, errM := strconv.ParseUint(f[7], 16, 32)
		if errD != nil || errF != nil || errM != nil || flags&routeUp == 0 || flags&routeReject != 0 {
			continue
		}
		var a [4]byte
		binary.LittleEndian.PutUint32(a[:], uint32(destination))
		bits := 0
		for ; mask != 0; mask &= mask - 1 {
			bits++
		}
		out = append(out, netip.PrefixFrom(netip.AddrFrom4(a), bits))
	}
	return out
}

// routes6 reads /proc/net/ipv6_route. The local addresses and multicast have
// entries of their own there, which lead nowhere.
func routes6(table []byte) []netip.Prefix {
	var out []netip.Prefix
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[9] == "lo" {
			continue
		}
		destination, errD := hex.DecodeString(f[0])
		bits, errB := strconv.ParseUint(f[1], 16, 8)
		flags, errF := strconv.ParseUint(f[8], 16, 32)
		if errD != nil || errB != nil || errF != nil || len(destination) != 16 || bits > 128 || flags&routeUp == 0 || flags&routeReject != 0 {
			continue
		}
		a := netip.AddrFrom16([16]byte(destination))
		if a.IsLinkLocalUnicast() || a.IsMulticast() || bits == 128 {
			continue
		}
		out = append(out, netip.PrefixFrom(a, int(bits)))
	}
	return out
}

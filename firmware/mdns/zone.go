package mdns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

const (
	// ttlHost is the life of what depends on a host's name or addresses, ttlOther that of
	// the rest, ttlLegacy at most that of what those are told who do not know of
	// multicast, in seconds (RFC 6762, sections 10 and 6.7).
	ttlHost, ttlOther, ttlLegacy = 120, 4500, 10

	// flush is the bit of a class that says: forget what else you knew (section 10.2).
	// Of a question it says that the answer may come alone (section 5.4).
	flush = 1 << 15

	// mostAddresses of one family that a link is told.
	mostAddresses = 8
)

// browse is where all services are found (RFC 6763, section 9).
const browse = "_services._dns-sd._udp.local."

// record is one that a link is told. One that is unique is of a name that nobody else
// may have.
type record struct {
	dns.RR
	unique bool
	key    string // tells records apart
}

func newRecord(rr dns.RR, unique bool) record { return record{rr, unique, rr.String()} }

// names are those of the box.
type names struct{ host, instance, service string }

func (o Options) names(label string) names {
	service := o.Service + ".local."
	return names{host: label + ".local.", instance: label + "." + service, service: service}
}

// owns tells whether a name is one that nobody else may have.
func (n names) owns(name string) bool {
	return strings.EqualFold(name, n.host) || strings.EqualFold(name, n.instance)
}

func header(name string, kind uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// addressRecord says where a name is.
func addressRecord(name string, a netip.Addr) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA, ttlHost), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA, ttlHost), AAAA: a.AsSlice()}
}

// zone makes what a link is told of a box that has these addresses there.
func (o Options) zone(n names, addresses []netip.Addr) []record {
	var zone []record
	count := map[bool]int{}
	for _, a := range addresses {
		if count[a.Is4()]++; count[a.Is4()] <= mostAddresses {
			zone = append(zone, newRecord(addressRecord(n.host, a), true))
		}
	}
	text := o.Text
	if len(text) == 0 {
		text = []string{""} // as RFC 6763, section 6.1, has it
	}
	return append(zone,
		newRecord(&dns.SRV{Hdr: header(n.instance, dns.TypeSRV, ttlHost), Port: o.Port, Target: n.host}, true),
		newRecord(&dns.TXT{Hdr: header(n.instance, dns.TypeTXT, ttlOther), Txt: text}, true),
		newRecord(&dns.PTR{Hdr: header(n.service, dns.TypePTR, ttlOther), Ptr: n.instance}, false),
		newRecord(&dns.PTR{Hdr: header(browse, dns.TypePTR, ttlOther), Ptr: n.service}, false),
	)
}

// nothing says which types a name of ours has, and so that it has no other (section 6.1).
func nothing(zone []record, name string) record {
	nsec := &dns.NSEC{Hdr: header(name, dns.TypeNSEC, ttlOther), NextDomain: name}
	for _, r := range zone {
		h := r.Header()
		if !strings.EqualFold(h.Name, name) {
			continue
		}
		nsec.Hdr.Ttl = min(nsec.Hdr.Ttl, h.Ttl)
		if !slices.Contains(nsec.TypeBitMap, h.Rrtype) {
			nsec.TypeBitMap = append(nsec.TypeBitMap, h.Rrtype)
		}
	}
	slices.Sort(nsec.TypeBitMap)
	return newRecord(nsec, true)
}

// sameZone tells whether two zones say the same.
func sameZone(a, b []record) bool {
	return slices.EqualFunc(a, b, func(x, y record) bool { return x.key == y.key })
}

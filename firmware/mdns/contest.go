package mdns

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// contest settles who may go on of two who ask for the same name at once: whose records
// are later in order (RFC 6762, section 8.2). The other one asks again in a second, and
// hears then whose the name is.
func (e *engine) contest(now time.Time, l *link, m *dns.Msg) {
	if len(m.Ns) == 0 || l.step == 0 {
		return
	}
	for _, name := range []string{e.names.host, e.names.instance} {
		var mine, theirs []dns.RR
		for _, r := range l.zone {
			if r.Header().Name == name {
				mine = append(mine, r.RR)
			}
		}
		for _, rr := range m.Ns[:min(len(m.Ns), mostRecords)] {
			if strings.EqualFold(rr.Header().Name, name) {
				theirs = append(theirs, rr)
			}
		}
		if len(theirs) > 0 && compare(mine, theirs) < 0 {
			e.o.Log.Debug("another machine asks for the name at the same time, and goes first", "name", name)
			e.probe(l, now.Add(deferFor))
			return
		}
	}
}

// compare orders two lists of records by class, type and content (section 8.2.1).
func compare(a, b []dns.RR) int {
	return slices.CompareFunc(ordered(a), ordered(b), bytes.Compare)
}

// ordered gives what records are ordered by, in that order.
func ordered(records []dns.RR) (out [][]byte) {
	for _, rr := range records {
		h := rr.Header()
		class := h.Class &^ flush
		key := []byte{byte(class >> 8), byte(class), byte(h.Rrtype >> 8), byte(h.Rrtype)}
		out = append(out, append(key, content(rr)...))
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}

// content is that of a record as it is sent, without any name made shorter.
func content(rr dns.RR) []byte {
	rr = dns.Copy(rr)
	rr.Header().Name = "."
	const before = 1 + 2 + 2 + 4 + 2 // name, type, class, life, length
	data := make([]byte, dns.Len(rr)+before)
	n, err := dns.PackRR(rr, data, 0, nil, false)
	if err != nil || n < before {
		return nil
	}
	return data[before:n]
}

// hear looks through what others say for our names.
func (e *engine) hear(now time.Time, l *link, m *dns.Msg) {
	records := slices.Concat(m.Answer, m.Ns, m.Extra)
	for _, rr := range records[:min(len(records), mostRecords)] {
		h := rr.Header()
		if !e.names.owns(h.Name) || h.Ttl == 0 || h.Class&^flush != dns.ClassINET || e.saysTheSame(now, rr) {
			continue
		}
		switch h.Rrtype {
		case dns.TypeNSEC, dns.TypeOPT:
			continue
		}
		if l.phase == probing {
			e.giveUp(now)
			return
		}
		switch h.Rrtype {
		case dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeTXT:
			e.doubt(now, l)
			return
		}
	}
}

// saysTheSame tells whether a record is what we say too, on whatever link: it may have
// been carried over from another.
func (e *engine) saysTheSame(now time.Time, rr dns.RR) bool {
	var a netip.Addr
	switch rr := rr.(type) {
	case *dns.A:
		a, _ = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		a, _ = netip.AddrFromSlice(rr.AAAA)
	default:
		for _, l := range e.links {
			if slices.ContainsFunc(l.zone, func(r record) bool { return same(r.RR, rr) }) {
				return true
			}
		}
		return false
	}
	return e.wereOurs(now, a.Unmap()) && strings.EqualFold(rr.Header().Name, e.names.host)
}

// doubt asks again whose a name is that was ours, and that another has used (section 9).
func (e *engine) doubt(now time.Time, l *link) {
	e.conflicts = slices.DeleteFunc(e.conflicts, func(t time.Time) bool { return now.Sub(t) > conflictsWithin })
	wait := e.random(probeEvery)
	if len(e.conflicts) >= manyConflicts {
		wait = conflictsRest
	} else {
		e.conflicts = append(e.conflicts, now)
	}
	e.o.Log.Warn("another machine uses the name of this box; it is asked again whose it is", "name", e.names.host)
	e.probe(l, now.Add(wait))
}

// giveUp takes another name, for good. Where there is none left the box is silent.
func (e *engine) giveUp(now time.Time) {
	old := e.label
	e.sayGone(now)
	if e.stage == stages {
		e.o.Log.Error("every name that this box can take belongs to another machine; it is to be reached by its address", "name", old)
		e.silent = true
		clear(e.links)
		return
	}
	e.stage++
	e.label = e.longer(e.stage)
	e.names, e.took = e.o.names(e.label), e.label
	e.o.Log.Warn("the name belongs to another machine; this box takes another, and keeps it", "name", old, "taken", e.label)
	for _, l := range e.links {
		l.zone = e.o.zone(e.names, addresses(l.Link))
		e.probe(l, now.Add(e.random(probeEvery)))
	}
}

// sayGone takes the old name back on links where it was ours.
func (e *engine) sayGone(now time.Time) {
	for _, l := range e.links {
		if l.phase != probing {
			e.say(now, l, l.zone, 0)
		}
	}
}

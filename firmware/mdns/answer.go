package mdns

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	port = 5353
	// Of a message only so much is looked at.
	mostQuestions, mostRecords = 32, 256
	// mostPending answers wait on a link.
	mostPending = 32
	// Messages that are heard on a link, and answers to one alone: so many at once, and
	// then in a second.
	heardBurst, heardRate     = 300, 150
	repliedBurst, repliedRate = 60, 30
	// Answers that others may give too wait a moment, and longer where the question says
	// that more of it comes (RFC 6762, sections 6 and 7.2).
	waitLeast, waitSpan = 20 * time.Millisecond, 100 * time.Millisecond
	moreLeast, moreSpan = 400 * time.Millisecond, 100 * time.Millisecond
)

// incoming is a message that was heard.
type incoming struct {
	link      linkKey
	from      netip.AddrPort
	multicast bool // it was sent to all
	data      []byte
}

// receive takes a message.
func (e *engine) receive(now time.Time, in incoming) {
	l := e.links[in.link]
	if l == nil || !l.heard.take(now, heardBurst, heardRate) {
		return
	}
	in.from = netip.AddrPortFrom(in.from.Addr().Unmap().WithZone(""), in.from.Port())
	near := l.near(in.from.Addr())
	if !near && !in.multicast {
		return // from beyond the link (section 11)
	}
	var m dns.Msg
	if m.Unpack(in.data) != nil || m.Opcode != dns.OpcodeQuery || m.Rcode != dns.RcodeSuccess {
		return
	}
	own := e.wereOurs(now, in.from.Addr())
	switch {
	case m.Response && (own || in.from.Port() != port):
		// Our own, or none of Multicast DNS.
	case m.Response:
		e.hear(now, l, &m)
	case own && len(m.Ns) > 0:
		// Our own probe, perhaps from another link of ours.
	default:
		e.asked(now, l, in, &m, near)
	}
}

// near tells whether an address is on the link itself.
func (l *link) near(a netip.Addr) bool {
	return a.IsLinkLocalUnicast() || slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
}

// asked answers a question.
func (e *engine) asked(now time.Time, l *link, in incoming, m *dns.Msg, near bool) {
	known := m.Answer[:min(len(m.Answer), mostRecords)]
	if len(m.Question) == 0 { // the rest of what somebody knows (section 7.2)
		for i := range l.pending {
			if p := &l.pending[i]; p.from == in.from {
				p.records = unknown(p.records, known)
			}
		}
		return
	}
	if l.phase == probing {
		e.contest(now, l, m)
		return
	}
	legacy := in.from.Port() != port
	var all, alone []record
	for _, q := range m.Question[:min(len(m.Question), mostQuestions)] {
		for _, r := range unknown(e.match(l, q), known) {
			// Who asks to be answered alone is, unless all should hear it again (section 5.4).
			lately := now.Sub(l.last[r.key]) < time.Duration(r.Header().Ttl)*time.Second/4
			if legacy || !in.multicast || q.Qclass&flush != 0 && lately {
				alone = add(alone, r)
			} else {
				all = add(all, r)
			}
		}
	}
	if len(alone) > 0 && near && l.replied.take(now, repliedBurst, repliedRate) {
		e.reply(l, in.from, m, alone, legacy)
	}
	if len(all) == 0 {
		return
	}
	shared := slices.ContainsFunc(all, func(r record) bool { return !r.unique })
	switch {
	case len(m.Ns) > 0: // somebody is about to take our name
		e.answerAll(now, l, all, probeEvery)
	case !shared && !m.Truncated:
		e.answerAll(now, l, all, time.Second)
	case len(l.pending) < mostPending:
		wait := waitLeast + e.random(waitSpan)
		if m.Truncated {
			wait = moreLeast + e.random(moreSpan)
		}
		l.pending = append(l.pending, pending{now.Add(wait), in.from, all})
	}
}

// match gives what there is to say to a question.
func (e *engine) match(l *link, q dns.Question) (out []record) {
	if class := q.Qclass &^ flush; class != dns.ClassINET && class != dns.ClassANY {
		return nil
	}
	for _, r := range l.zone {
		if strings.EqualFold(r.Header().Name, q.Name) && (q.Qtype == dns.TypeANY || q.Qtype == r.Header().Rrtype) {
			out = append(out, r)
		}
	}
	if len(out) == 0 && e.names.owns(q.Name) {
		name := e.names.host
		if strings.EqualFold(q.Name, e.names.instance) {
			name = e.names.instance
		}
		out = append(out, nothing(l.zone, name))
	}
	return out
}

// unknown leaves out what somebody knows, for half its life at least (section 7.1).
func unknown(records []record, known []dns.RR) []record {
	return slices.DeleteFunc(slices.Clone(records), func(r record) bool {
		return slices.ContainsFunc(known, func(k dns.RR) bool {
			return k.Header().Ttl >= r.Header().Ttl/2 && same(r.RR, k)
		})
	})
}

// same tells whether two records say the same, whatever their lives.
func same(a, b dns.RR) bool {
	if a.Header().Rrtype != b.Header().Rrtype || b.Header().Class&^flush != dns.ClassINET {
		return false
	}
	b = dns.Copy(b)
	b.Header().Class = a.Header().Class
	return dns.IsDuplicate(a, b)
}

func add(records []record, r record) []record {
	if slices.ContainsFunc(records, func(have record) bool { return have.key == r.key }) {
		return records
	}
	return append(records, r)
}

// answerAll tells all on a link what was asked for, but what they were told within a
// time.
func (e *engine) answerAll(now time.Time, l *link, records []record, within time.Duration) {
	var fresh []record
	for _, r := range records {
		if last, said := l.last[r.key]; !said || now.Sub(last) >= within {
			fresh = append(fresh, r)
		}
	}
	if len(fresh) == 0 {
		return
	}
	m := response()
	e.fill(l, m, fresh, true)
	for _, r := range fresh {
		l.last[r.key] = now
	}
	e.send(l, netip.AddrPort{}, m)
}

// reply tells one alone.
func (e *engine) reply(l *link, to netip.AddrPort, question *dns.Msg, records []record, legacy bool) {
	m := response()
	e.fill(l, m, records, !legacy)
	if legacy { // as a server that knows no multicast would (section 6.7)
		m.Id, m.Question = question.Id, question.Question[:min(len(question.Question), mostQuestions)]
		for _, rr := range slices.Concat(m.Answer, m.Extra) {
			rr.Header().Ttl = min(rr.Header().Ttl, ttlLegacy)
		}
	}
	e.send(l, to, m)
}

// fill puts records into a message, and beside them what will be asked for next.
func (e *engine) fill(l *link, m *dns.Msg, records []record, flushing bool) {
	var extra []record
	also := func(name string) {
		kinds := 0
		for _, r := range l.zone {
			if h := r.Header(); h.Name == name {
				extra = add(extra, r)
				kinds++
			}
		}
		if kinds > 0 {
			extra = add(extra, nothing(l.zone, name))
		}
	}
	for _, r := range records {
		m.Answer = append(m.Answer, shown(r, flushing))
		switch rr := r.RR.(type) {
		case *dns.PTR:
			if rr.Ptr == e.names.instance {
				also(e.names.instance)
				also(e.names.host)
			}
		case *dns.SRV, *dns.A, *dns.AAAA:
			also(e.names.host)
		}
	}
	for _, r := range extra {
		if !slices.ContainsFunc(records, func(have record) bool { return have.key == r.key }) {
			m.Extra = append(m.Extra, shown(r, flushing))
		}
	}
}

// shown is a record as it is sent.
func shown(r record, flushing bool) dns.RR {
	rr := dns.Copy(r.RR)
	if r.unique && flushing {
		rr.Header().Class |= flush
	}
	return rr
}

func response() *dns.Msg {
	return &dns.Msg{Compress: true, MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}}
}

package mdns

import (
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	probes        = 3 // and the time between them (RFC 6762, section 8.1)
	probeEvery    = 250 * time.Millisecond
	announcements = 3 // the first at once, then after 1 s and 2 s (section 8.3)
	// deferFor is how long one waits who has lost a contest (section 8.2).
	deferFor = time.Second
	// After so many conflicts within a time nothing is said for another (section 8.1).
	manyConflicts, conflictsWithin, conflictsRest = 15, 10 * time.Second, 5 * time.Second
	// stages is how often a name may be given up for a longer one, all told.
	stages = 3
	// formerFor is how long an address counts as ours after it has gone: others may still
	// say it for us.
	formerFor, mostFormer = 5 * time.Minute, 256
)

// Link is an interface, spoken to by one family of addresses.
type Link struct {
	Index int
	IPv6  bool
	// Addresses are those of the interface, of both families, with the networks that they
	// are in.
	Addresses []netip.Prefix
}

type linkKey struct {
	index int
	v6    bool
}

func (l Link) key() linkKey { return linkKey{l.Index, l.IPv6} }

// phase is how far a link is in the life of our names there.
type phase uint8

const (
	probing    phase = iota // it is asked whose they are
	announcing              // they are ours, and said
	settled
)

// link is what the engine knows of one.
type link struct {
	Link
	zone    []record
	phase   phase
	step    int
	due     time.Time            // of the next step; zero: there is none
	last    map[string]time.Time // when a record was last said to all
	pending []pending
	heard   bucket // messages
	replied bucket // answers to one alone
}

// pending is an answer that waits.
type pending struct {
	due     time.Time
	from    netip.AddrPort // who asked
	records []record
}

// bucket lets a number through at once, and then as many in a second.
type bucket struct {
	spent float64
	at    time.Time
}

func (b *bucket) take(now time.Time, burst, rate float64) bool {
	b.spent = max(0, b.spent-rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.spent+1 > burst {
		return false
	}
	b.spent++
	return true
}

// outgoing is a message to be sent: to one, or where to is not valid, to all.
type outgoing struct {
	link linkKey
	to   netip.AddrPort
	data []byte
}

// engine decides. It knows no sockets and no clock, and is for one goroutine.
type engine struct {
	o      Options
	random func(below time.Duration) time.Duration
	names  names
	label  string
	stage  int // how often a name was given up
	silent bool

	links     map[linkKey]*link
	former    map[netip.Addr]time.Time // addresses that were ours, and until when they count
	conflicts []time.Time
	out       []outgoing
	took      string // a label that is to be kept; "" for none
}

func newEngine(o Options, random func(time.Duration) time.Duration) *engine {
	e := &engine{o: o, random: random, links: make(map[linkKey]*link), former: make(map[netip.Addr]time.Time), label: o.Name}
	for n := 1; n <= stages; n++ {
		if o.Kept != "" && o.Kept == e.longer(n) {
			e.stage, e.label = n, o.Kept
		}
	}
	e.names = o.names(e.label)
	return e
}

// longer is the label after a name was given up n times.
func (e *engine) longer(n int) string {
	id := e.o.ID[:min(4*n, len(e.o.ID))]
	return e.o.Name[:min(len(e.o.Name), maxWanted)] + "-" + id
}

// known is the name under which the box is known on a link at least; "" where it is on
// none.
func (e *engine) known() string {
	for _, l := range e.links {
		if l.phase != probing {
			return e.label + ".local"
		}
	}
	return ""
}

// setLinks takes what the machine has now.
func (e *engine) setLinks(now time.Time, links []Link) {
	if e.silent {
		return
	}
	for key, l := range e.links {
		if !slices.ContainsFunc(links, func(n Link) bool { return n.key() == key }) {
			e.leave(now, l.Addresses)
			delete(e.links, key)
		}
	}
	for _, n := range links {
		zone := e.o.zone(e.names, addresses(n))
		l := e.links[n.key()]
		if l == nil {
			l = &link{Link: n, zone: zone}
			e.links[n.key()] = l
			e.probe(l, now.Add(e.random(probeEvery)))
			continue
		}
		e.leave(now, l.Addresses)
		old := l.zone
		l.Link, l.zone = n, zone
		if sameZone(old, zone) {
			continue
		}
		if l.phase == probing {
			e.probe(l, now.Add(e.random(probeEvery)))
			continue
		}
		// The name is ours: only what changed has to be said (RFC 6762, section 8.4).
		gone := slices.DeleteFunc(slices.Clone(old), func(r record) bool {
			return slices.ContainsFunc(zone, func(n record) bool { return n.key == r.key })
		})
		e.say(now, l, gone, 0)
		e.announce(l, now)
	}
	for a := range e.former {
		if e.ours(a) {
			delete(e.former, a)
		}
	}
}

// leave remembers addresses that may have gone.
func (e *engine) leave(now time.Time, gone []netip.Prefix) {
	for a, until := range e.former {
		if until.Before(now) {
			delete(e.former, a)
		}
	}
	for _, p := range gone {
		if len(e.former) < mostFormer {
			e.former[p.Addr()] = now.Add(formerFor)
		}
	}
}

// ours tells whether an address is one of this machine.
func (e *engine) ours(a netip.Addr) bool {
	for _, l := range e.links {
		if slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return true
		}
	}
	return false
}

// wereOurs is ours, for addresses that have gone lately too.
func (e *engine) wereOurs(now time.Time, a netip.Addr) bool {
	return e.ours(a) || now.Before(e.former[a])
}

// addresses are those of a link that others are told: those that hold on the link alone
// only where there are no others, for many programs lose sight of the link.
func addresses(l Link) []netip.Addr {
	var wide, local []netip.Addr
	for _, p := range l.Addresses {
		if a := p.Addr(); a.IsLinkLocalUnicast() {
			local = append(local, a)
		} else {
			wide = append(wide, a)
		}
	}
	if len(wide) == 0 {
		wide = local
	}
	slices.SortFunc(wide, netip.Addr.Compare)
	return slices.Compact(wide)
}

func (e *engine) probe(l *link, at time.Time) {
	l.phase, l.step, l.due, l.pending = probing, 0, at, nil
	l.last = make(map[string]time.Time)
}

func (e *engine) announce(l *link, at time.Time) {
	l.phase, l.step, l.due = announcing, 0, at
	l.last = make(map[string]time.Time)
}

// next is when tick has something to do; zero: never.
func (e *engine) next() (at time.Time) {
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, l := range e.links {
		earlier(l.due)
		for _, p := range l.pending {
			earlier(p.due)
		}
	}
	return at
}

// tick does what is due.
func (e *engine) tick(now time.Time) {
	for _, l := range e.links {
		if !l.due.IsZero() && !l.due.After(now) {
			e.advance(now, l)
		}
		var still []pending
		for _, p := range l.pending {
			if p.due.After(now) {
				still = append(still, p)
				continue
			}
			e.answerAll(now, l, p.records, time.Second)
		}
		l.pending = still
	}
}

// advance takes the next step of probing or announcing.
func (e *engine) advance(now time.Time, l *link) {
	switch {
	case l.phase == probing && l.step < probes:
		e.sendProbe(l, l.step == 0)
		l.step, l.due = l.step+1, now.Add(probeEvery)
		return
	case l.phase == probing:
		e.announce(l, now)
	}
	e.say(now, l, l.zone, 1)
	l.step++
	l.due = now.Add(time.Second << (l.step - 1))
	if l.step == announcements {
		l.phase, l.due = settled, time.Time{}
	}
}

// sendProbe asks whose our names are, and says what we would say of them.
func (e *engine) sendProbe(l *link, alone bool) {
	class := uint16(dns.ClassINET)
	if alone { // the first may be answered to us alone; later ones not, for another program may have the port
		class |= flush
	}
	m := &dns.Msg{Compress: true, Question: []dns.Question{
		{Name: e.names.host, Qtype: dns.TypeANY, Qclass: class}, {Name: e.names.instance, Qtype: dns.TypeANY, Qclass: class},
	}}
	for _, r := range l.zone {
		if r.unique {
			m.Ns = append(m.Ns, r.RR)
		}
	}
	e.send(l, netip.AddrPort{}, m)
}

// say tells all on a link, unasked. A life of 0 takes records back.
func (e *engine) say(now time.Time, l *link, records []record, life uint32) {
	if len(records) == 0 {
		return
	}
	m := response()
	for _, r := range records {
		rr := shown(r, life > 0) // what is taken back leaves alone what others say
		rr.Header().Ttl *= min(life, 1)
		m.Answer = append(m.Answer, rr)
		l.last[r.key] = now
	}
	e.send(l, netip.AddrPort{}, m)
}

// goodbye takes back what was said, for good.
func (e *engine) goodbye(now time.Time) {
	for _, l := range e.links {
		if l.phase != probing {
			e.say(now, l, l.zone, 0)
		}
	}
	clear(e.links)
}

func (e *engine) send(l *link, to netip.AddrPort, m *dns.Msg) {
	data, err := m.Pack()
	if err != nil {
		e.o.Log.Error("a message on the name of this box cannot be written", "reason", err) // a bug
		return
	}
	e.out = append(e.out, outgoing{l.key(), to, data})
}

// drain gives what is to be sent.
func (e *engine) drain() []outgoing {
	out := e.out
	e.out = nil
	return out
}

package mdns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// bench is an engine on one link, with a clock of its own and packets by hand.
type bench struct {
	*engine
	t   *testing.T
	now time.Time
}

const host, instance, service = "cheeseboard.local.", "cheeseboard._http._tcp.local.", "_http._tcp.local."

var (
	peer   = netip.MustParseAddrPort("192.168.1.9:5353")
	asker  = netip.MustParseAddrPort("192.168.1.9:40000")
	on     = linkKey{2, false}
	lan    = Link{Index: 2, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.5/24")}}
	wanted = Options{
		Name: "cheeseboard", ID: "1f3a5b7c9d0e1f2a", Service: "_http._tcp", Port: 80, Text: []string{"path=/"}, Log: New(Options{}).o.Log,
	}
)

func newBench(t *testing.T, o Options, links ...Link) *bench {
	b := &bench{t: t, now: time.Unix(1_800_000_000, 0), engine: newEngine(o, func(time.Duration) time.Duration { return 10 * time.Millisecond })}
	b.setLinks(b.now, links)
	return b
}

// run lets time pass, and gives the messages that were sent, with the moments.
func (b *bench) run(d time.Duration) (sent []*dns.Msg, at []time.Duration) {
	b.t.Helper()
	begun, end := b.now, b.now.Add(d)
	for {
		b.tick(b.now)
		for _, o := range b.drain() {
			m := new(dns.Msg)
			if err := m.Unpack(o.data); err != nil {
				b.t.Fatalf("it sends what cannot be read: %v", err)
			}
			sent, at = append(sent, m), append(at, b.now.Sub(begun))
		}
		next := b.next()
		if next.IsZero() || next.After(end) {
			b.now = end
			return sent, at
		}
		if next.After(b.now) {
			b.now = next
		}
	}
}

// settled is a bench whose name is known.
func settledBench(t *testing.T, links ...Link) *bench {
	t.Helper()
	if links == nil {
		links = []Link{lan}
	}
	b := newBench(t, wanted, links...)
	b.run(time.Minute)
	if b.known() != "cheeseboard.local" {
		t.Fatalf("it is known as %q", b.known())
	}
	return b
}

func (b *bench) hearMessage(from netip.AddrPort, m *dns.Msg) {
	b.t.Helper()
	data, err := m.Pack()
	if err != nil {
		b.t.Fatal(err)
	}
	b.receive(b.now, incoming{link: on, from: from, multicast: true, data: data})
}

func question(name string, kind, class uint16) *dns.Msg {
	return &dns.Msg{Question: []dns.Question{{Name: name, Qtype: kind, Qclass: class}}}
}

func parse(t *testing.T, lines ...string) (out []dns.RR) {
	t.Helper()
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rr)
	}
	return out
}

// types are those of records, with a ! where others are to be flushed.
func types(records []dns.RR) string {
	var out []string
	for _, rr := range records {
		s := dns.TypeToString[rr.Header().Rrtype]
		if rr.Header().Class&flush != 0 {
			s += "!"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestLife: three probes a quarter of a second apart, three announcements, silence, and
// a goodbye.
func TestLife(t *testing.T) {
	b := newBench(t, wanted, lan)
	sent, at := b.run(time.Minute)
	want := []time.Duration{10, 260, 510, 760, 1760, 3760}
	if len(sent) != len(want) {
		t.Fatalf("%d messages at %v", len(sent), at)
	}
	for i, m := range sent {
		if at[i] != want[i]*time.Millisecond {
			t.Errorf("message %d at %v, want %v", i, at[i], want[i]*time.Millisecond)
		}
		if i < 3 {
			if m.Response || len(m.Question) != 2 || m.Question[0].Qtype != dns.TypeANY || (m.Question[0].Qclass&flush != 0) != (i == 0) || types(m.Ns) != "A SRV TXT" {
				t.Errorf("probe %d: %v", i, m)
			}
		} else if !m.Response || !m.Authoritative || m.Id != 0 || types(m.Answer) != "A! PTR PTR SRV! TXT!" || len(m.Question) != 0 {
			t.Errorf("announcement %d: %v", i, m)
		}
	}
	b.goodbye(b.now)
	sent, _ = b.run(time.Minute)
	if len(sent) != 1 || len(sent[0].Answer) != 5 {
		t.Fatalf("goodbye: %v", sent)
	}
	for _, rr := range sent[0].Answer {
		if rr.Header().Ttl != 0 {
			t.Errorf("goodbye: %v", rr)
		}
	}
}

// TestQuestions: what is answered, by which means, and what is said beside it.
func TestQuestions(t *testing.T) {
	both := Link{Index: 2, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.5/24"), netip.MustParsePrefix("2001:db8::5/64"), netip.MustParsePrefix("fe80::5/64")}}
	for _, c := range []struct {
		about        string
		link         Link
		name         string
		kind, class  uint16
		answer, also string
	}{
		{"address", lan, host, dns.TypeA, 1, "A!", "NSEC!"},
		{"another case", lan, "CheeseBoard.LOCAL.", dns.TypeA, 1, "A!", "NSEC!"},
		{"no such address", lan, host, dns.TypeAAAA, 1, "NSEC!", ""},
		{"no such type", lan, host, dns.TypeMX, 1, "NSEC!", ""},
		{"both families", both, host, dns.TypeA, 1, "A!", "AAAA! NSEC!"},
		{"anything", both, host, dns.TypeANY, 1, "A! AAAA!", "NSEC!"},
		{"any class", lan, host, dns.TypeA, dns.ClassANY, "A!", "NSEC!"},
		{"service", lan, service, dns.TypePTR, 1, "PTR", "A! NSEC! NSEC! SRV! TXT!"},
		{"all services", lan, browse, dns.TypePTR, 1, "PTR", ""},
		{"instance", lan, instance, dns.TypeSRV, 1, "SRV!", "A! NSEC!"},
		{"text", lan, instance, dns.TypeTXT, 1, "TXT!", ""},
		{"another name", lan, "camembert.local.", dns.TypeA, 1, "", ""},
		{"another type of the service", lan, service, dns.TypeA, 1, "", ""},
		{"another class", lan, host, dns.TypeA, dns.ClassCHAOS, "", ""},
	} {
		t.Run(c.about, func(t *testing.T) {
			b := settledBench(t, c.link)
			b.hearMessage(peer, question(c.name, c.kind, c.class))
			sent, at := b.run(time.Second)
			if c.answer == "" {
				if len(sent) > 0 {
					t.Fatalf("it says %v", sent)
				}
				return
			}
			if len(sent) != 1 || types(sent[0].Answer) != c.answer || types(sent[0].Extra) != c.also || len(sent[0].Question) > 0 {
				t.Fatalf("it says %v, want %s and %s", sent, c.answer, c.also)
			}
			if shared := c.answer == "PTR"; shared != (at[0] >= waitLeast) || at[0] > waitLeast+waitSpan {
				t.Errorf("it answers after %v", at[0])
			}
		})
	}
}

// TestNSEC names the types that there are.
func TestNSEC(t *testing.T) {
	b := settledBench(t)
	b.hearMessage(peer, question(instance, dns.TypeA, 1))
	sent, _ := b.run(time.Second)
	nsec, ok := sent[0].Answer[0].(*dns.NSEC)
	if !ok || nsec.NextDomain != instance || !slices.Equal(nsec.TypeBitMap, []uint16{dns.TypeTXT, dns.TypeSRV}) || nsec.Hdr.Ttl != ttlHost {
		t.Errorf("got %v", sent[0].Answer[0])
	}
}

// TestKnownAnswers are not said again, unless they are about to end.
func TestKnownAnswers(t *testing.T) {
	for line, want := range map[string]int{
		"_http._tcp.local. 4500 IN PTR cheeseboard._http._tcp.local.": 0,
		"_http._tcp.local. 2250 IN PTR cheeseboard._http._tcp.local.": 0,
		"_http._tcp.local. 2000 IN PTR cheeseboard._http._tcp.local.": 1,
		"_http._tcp.local. 4500 IN PTR camembert._http._tcp.local.":   1,
	} {
		b := settledBench(t)
		m := question(service, dns.TypePTR, 1)
		m.Answer = parse(t, line)
		b.hearMessage(peer, m)
		if sent, _ := b.run(time.Second); len(sent) != want {
			t.Errorf("who knows %s hears %v", line, sent)
		}
	}
	// What somebody knows may come in another message.
	b := settledBench(t)
	m := question(service, dns.TypePTR, 1)
	m.Truncated = true
	b.hearMessage(peer, m)
	if sent, _ := b.run(300 * time.Millisecond); len(sent) > 0 {
		t.Errorf("it does not wait: %v", sent)
	}
	b.hearMessage(peer, &dns.Msg{Answer: parse(t, "_http._tcp.local. 4500 IN PTR cheeseboard._http._tcp.local.")})
	if sent, _ := b.run(time.Second); len(sent) > 0 {
		t.Errorf("who said so later hears %v", sent)
	}
}

// TestAlone: who asks from another port is answered alone, as by a plain server; who asks
// to be is, if all have heard it lately.
func TestAlone(t *testing.T) {
	b := settledBench(t)
	m := question(host, dns.TypeA, 1)
	m.Id = 4711
	b.hearMessage(asker, m)
	out := b.drain()
	if len(out) != 1 || out[0].to != asker {
		t.Fatalf("got %v", out)
	}
	var reply dns.Msg
	if err := reply.Unpack(out[0].data); err != nil || reply.Id != 4711 || len(reply.Question) != 1 || types(reply.Answer) != "A" || reply.Answer[0].Header().Ttl != ttlLegacy {
		t.Errorf("got %v, %v", &reply, err)
	}

	b.now = b.now.Add(time.Hour) // nobody has heard it lately
	b.hearMessage(peer, question(host, dns.TypeA, 1|flush))
	if out := b.drain(); len(out) != 1 || out[0].to.IsValid() {
		t.Errorf("not to all: %v", out)
	}
	b.now = b.now.Add(2 * time.Second)
	b.hearMessage(peer, question(host, dns.TypeA, 1|flush))
	if out := b.drain(); len(out) != 1 || out[0].to != peer {
		t.Errorf("not alone: %v", out)
	}

	far := netip.MustParseAddrPort("203.0.113.7:40000")
	b.hearMessage(far, m)
	data, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	b.receive(b.now, incoming{link: on, from: far, data: data})
	if out := b.drain(); len(out) > 0 {
		t.Errorf("somebody beyond the link is answered: %v", out)
	}
}

// TestRates: what was said to all is not said again within a second, and nobody gets more
// than a bounded number of answers.
func TestRates(t *testing.T) {
	b := settledBench(t)
	all, alone := 0, 0
	for range 10_000 {
		b.hearMessage(peer, question(host, dns.TypeA, 1))
		b.hearMessage(asker, question(host, dns.TypeA, 1))
		b.hearMessage(peer, question(service, dns.TypePTR, 1))
		b.tick(b.now)
		for _, o := range b.drain() {
			if o.to.IsValid() {
				alone++
			} else {
				all++
			}
		}
		b.now = b.now.Add(200 * time.Microsecond)
	}
	// Two seconds, two records.
	if all < 2 || all > 6 || alone < repliedBurst || alone > repliedBurst+3*repliedRate {
		t.Errorf("%d answers to all, %d to one alone", all, alone)
	}
	if n := len(b.links[on].pending); n > mostPending {
		t.Errorf("%d answers wait", n)
	}
}

// TestChange: other addresses are said at once, and those that have gone are taken back.
func TestChange(t *testing.T) {
	b := settledBench(t)
	b.setLinks(b.now, []Link{{Index: 2, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.6/24")}}})
	sent, at := b.run(time.Minute)
	if len(sent) != 4 || at[1] != 0 || types(sent[0].Answer) != "A" || sent[0].Answer[0].Header().Ttl != 0 || !strings.Contains(sent[1].String(), "192.168.1.6") {
		t.Errorf("at %v it says %v", at, sent)
	}
	b.setLinks(b.now, []Link{{Index: 2, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.6/24")}}})
	if sent, _ := b.run(time.Minute); len(sent) > 0 {
		t.Errorf("nothing has changed, and it says %v", sent)
	}
	b.setLinks(b.now, nil)
	if b.known() != "" {
		t.Error("it is known where there is no link")
	}
	b.setLinks(b.now, []Link{lan})
	if sent, _ := b.run(time.Second / 2); len(sent) == 0 || sent[0].Response {
		t.Errorf("on a link that comes back it does not ask first: %v", sent)
	}
}

// TestLocalAddresses are told only where there are no others.
func TestLocalAddresses(t *testing.T) {
	local4, local6, wide := netip.MustParsePrefix("169.254.3.4/16"), netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("10.0.0.1/8")
	if got := addresses(Link{Addresses: []netip.Prefix{local4, local6}}); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if got := addresses(Link{Addresses: []netip.Prefix{local6, wide, local4, wide}}); len(got) != 1 || got[0] != wide.Addr() {
		t.Errorf("got %v", got)
	}
}

// TestLabel: a host name becomes what every resolver takes.
func TestLabel(t *testing.T) {
	long := strings.Repeat("x", 80)
	for host, want := range map[string]string{
		"kitchen": "kitchen", "Kitchen.example.org": "kitchen", "class_room 2": "class-room-2", "käse": "kse", "localhost": "", "-": "", "": "", long: long[:maxWanted],
	} {
		if got := Label(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

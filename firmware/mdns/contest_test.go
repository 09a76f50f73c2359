package mdns

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func answer(t *testing.T, lines ...string) *dns.Msg {
	t.Helper()
	m := response()
	m.Answer = parse(t, lines...)
	return m
}

// TestTakenName: a name that another has is given up for a longer one, once, and no
// further than to silence.
func TestTakenName(t *testing.T) {
	b := newBench(t, wanted, lan)
	b.run(300 * time.Millisecond)
	b.hearMessage(peer, answer(t, "CHEESEBOARD.local. 120 IN A 192.168.1.9"))
	if b.took != "cheeseboard-1f3a" || b.known() != "" {
		t.Fatalf("it took %q and is known as %q", b.took, b.known())
	}
	sent, _ := b.run(time.Minute)
	if b.known() != "cheeseboard-1f3a.local" || len(sent) != 6 || sent[0].Response {
		t.Errorf("known as %q after %v", b.known(), sent)
	}
	// What the other says under the old name is no matter any more.
	b.hearMessage(peer, answer(t, "cheeseboard.local. 120 IN A 192.168.1.9"))
	if sent, _ := b.run(time.Minute); len(sent) > 0 || b.known() != "cheeseboard-1f3a.local" {
		t.Errorf("it says %v", sent)
	}

	o := wanted
	o.Kept = "cheeseboard-1f3a"
	b = newBench(t, o, lan)
	if b.run(time.Minute); b.known() != "cheeseboard-1f3a.local" || b.took != "" {
		t.Errorf("another start: known as %q", b.known())
	}
	for _, name := range []string{"cheeseboard-1f3a", "cheeseboard-1f3a5b7c", "cheeseboard-1f3a5b7c9d0e"} {
		b.setLinks(b.now, nil)
		b.setLinks(b.now, []Link{lan})
		b.run(300 * time.Millisecond)
		b.hearMessage(peer, answer(t, name+"._http._tcp.local. 120 IN SRV 0 0 80 other.local."))
		b.run(time.Minute)
	}
	if !b.silent || b.known() != "" {
		t.Errorf("known as %q", b.known())
	}
	b.setLinks(b.now, []Link{lan})
	b.hearMessage(peer, question(host, dns.TypeA, 1))
	if sent, _ := b.run(time.Hour); len(sent) > 0 {
		t.Errorf("who has no name says %v", sent)
	}
}

// TestKeptOfAnother: what was kept for another name or identity does not count.
func TestKeptOfAnother(t *testing.T) {
	for _, kept := range []string{"camembert-1f3a", "cheeseboard-2", "cheeseboard-ffff"} {
		o := wanted
		o.Kept = kept
		b := newBench(t, o, lan)
		if b.run(time.Minute); b.known() != "cheeseboard.local" {
			t.Errorf("kept %s: known as %q", kept, b.known())
		}
	}
}

// TestNoConflict: what is ours, was ours, is gone, or says the same, is none.
func TestNoConflict(t *testing.T) {
	for about, m := range map[string]*dns.Msg{
		"the same":          answer(t, "cheeseboard.local. 120 IN A 192.168.1.5"),
		"goodbye":           answer(t, "cheeseboard.local. 0 IN A 192.168.1.9"),
		"another name":      answer(t, "camembert.local. 120 IN A 192.168.1.9"),
		"shared":            answer(t, "_http._tcp.local. 4500 IN PTR camembert._http._tcp.local."),
		"the other link":    answer(t, "cheeseboard.local. 120 IN A 10.0.0.5"),
		"the old address":   answer(t, "cheeseboard.local. 120 IN A 192.168.1.4"),
		"a question":        question(host, dns.TypeA, 1),
		"no types":          answer(t, "cheeseboard.local. 120 IN NSEC cheeseboard.local. A"),
		"the same instance": answer(t, "cheeseboard._http._tcp.local. 120 IN SRV 0 0 80 cheeseboard.local."),
	} {
		other := Link{Index: 3, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/8")}}
		b := newBench(t, wanted, Link{Index: 2, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.4/24")}})
		b.setLinks(b.now, []Link{lan, other})
		for range 2 { // while it asks, and when it is settled
			b.run(300 * time.Millisecond)
			b.hearMessage(peer, m)
			b.run(time.Minute)
		}
		if b.known() != "cheeseboard.local" || b.took != "" || len(b.conflicts) > 0 {
			t.Errorf("%s: known as %q, %d conflicts", about, b.known(), len(b.conflicts))
		}
	}
	// Our own messages come back, also from another link of ours; and none from a port
	// that is not that of Multicast DNS.
	for _, from := range []string{"192.168.1.5:5353", "192.168.1.9:5354"} {
		b := settledBench(t)
		b.hearMessage(netip.MustParseAddrPort(from), answer(t, "cheeseboard.local. 120 IN A 192.168.1.77"))
		if len(b.conflicts) > 0 {
			t.Errorf("from %s it is a conflict", from)
		}
	}
}

// TestDoubt: another that uses a name of ours has it asked for again; who answers has it.
func TestDoubt(t *testing.T) {
	b := settledBench(t)
	b.hearMessage(peer, answer(t, "cheeseboard.local. 120 IN A 192.168.1.9"))
	if b.known() != "" {
		t.Error("it is still sure")
	}
	if sent, _ := b.run(time.Minute); len(sent) != 6 || sent[0].Response || b.known() != "cheeseboard.local" {
		t.Errorf("nobody answers, and it says %v", sent)
	}
	// For ever, and it stays bounded.
	messages := 0
	for range 1000 {
		b.hearMessage(peer, answer(t, "cheeseboard.local. 120 IN A 192.168.1.9"))
		sent, _ := b.run(770 * time.Millisecond)
		messages += len(sent)
		if b.took != "" {
			return // it gave way
		}
	}
	if messages > 1000*4 {
		t.Errorf("%d messages", messages)
	}
}

// TestContest: of two who ask at once the later records go on, and the other asks again.
func TestContest(t *testing.T) {
	for _, c := range []struct {
		about string
		ns    []string
		first bool // we go on
	}{
		{"lower address", []string{"cheeseboard.local. 120 IN A 192.168.1.4"}, true},
		{"higher address", []string{"cheeseboard.local. 120 IN A 192.168.1.6"}, false},
		{"the same", []string{"cheeseboard.local. 120 IN A 192.168.1.5"}, true},
		{"more", []string{"cheeseboard.local. 120 IN A 192.168.1.5", "cheeseboard.local. 120 IN AAAA 2001:db8::1"}, false},
		{"another type first", []string{"cheeseboard.local. 120 IN A 10.0.0.1", "cheeseboard.local. 120 IN AAAA 2001:db8::1"}, true},
		{"another name", []string{"camembert.local. 120 IN A 192.168.1.200"}, true},
		{"instance", []string{"cheeseboard._http._tcp.local. 120 IN SRV 0 0 8080 a.local.", "cheeseboard._http._tcp.local. 120 IN TXT \"z\""}, true},
	} {
		b := newBench(t, wanted, lan)
		b.run(300 * time.Millisecond) // two probes are out
		m := question(host, dns.TypeANY, 1)
		m.Ns = parse(t, c.ns...)
		b.hearMessage(peer, m)
		sent, at := b.run(time.Second + 50*time.Millisecond)
		if c.first != (at[0] < 300*time.Millisecond) {
			t.Errorf("%s: it goes on after %v with %v", c.about, at[0], sent[0])
		}
		if b.run(time.Minute); b.known() != "cheeseboard.local" {
			t.Errorf("%s: known as %q", c.about, b.known())
		}
	}
}

// TestDefend: who asks for a name of ours hears at once whose it is, also right after it
// was said.
func TestDefend(t *testing.T) {
	b := settledBench(t)
	for range 3 {
		m := question(host, dns.TypeANY, 1)
		m.Ns = parse(t, "cheeseboard.local. 120 IN A 192.168.1.99")
		b.hearMessage(peer, m)
		if out := b.drain(); len(out) != 1 {
			t.Fatalf("got %v", out)
		}
		b.now = b.now.Add(probeEvery)
	}
}

// TestOrder is that of RFC 6762, section 8.2: the example, and rdata without short names.
func TestOrder(t *testing.T) {
	lower, higher := parse(t, "MyPrinter.local. 1 IN A 169.254.99.200"), parse(t, "MyPrinter.local. 2 IN A 169.254.200.50")
	if compare(lower, higher) >= 0 || compare(higher, lower) <= 0 || compare(lower, lower) != 0 {
		t.Error("the example of the RFC is not kept to")
	}
	if got := content(parse(t, "a.local. 120 IN SRV 0 0 80 a.local.")[0]); !strings.HasSuffix(string(got), "\x01a\x05local\x00") || len(got) != 6+9 {
		t.Errorf("got %q", got)
	}
}

// Whatever is heard, the box stays itself: it is called by one of its names, says a
// bounded number of things, each of which can be read, and goes on.
func FuzzReceive(f *testing.F) {
	for _, m := range []*dns.Msg{
		question(host, dns.TypeA, 1|flush), question(service, dns.TypePTR, 1), question("\\000.local.", dns.TypeANY, 255),
		{Question: question(host, dns.TypeANY, 1).Question, Ns: []dns.RR{&dns.A{Hdr: header(host, dns.TypeA, 120), A: []byte{1, 2, 3, 4}}}},
		{MsgHdr: dns.MsgHdr{Response: true}, Answer: []dns.RR{&dns.SRV{Hdr: header(instance, dns.TypeSRV, 120), Target: host}}},
		{MsgHdr: dns.MsgHdr{Response: true}, Answer: []dns.RR{&dns.AAAA{Hdr: header(host, dns.TypeAAAA, 1), AAAA: make([]byte, 16)}}},
	} {
		data, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint16(5353), true)
		f.Add(data, uint16(1024), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, from uint16, multicast bool) {
		if len(data) > 9000 {
			return
		}
		for _, wait := range []time.Duration{300 * time.Millisecond, time.Minute} {
			b := newBench(t, wanted, lan)
			b.run(wait)
			b.receive(b.now, incoming{link: on, from: netip.AddrPortFrom(peer.Addr(), from), multicast: multicast, data: data})
			if out := b.drain(); len(out) > 3 {
				t.Fatalf("%d messages at once", len(out))
			} else {
				for _, o := range out {
					if len(o.data) > len(data)+2000 {
						t.Fatalf("%d bytes for %d", len(o.data), len(data))
					}
					if err := new(dns.Msg).Unpack(o.data); err != nil {
						t.Fatalf("it says what cannot be read: %v", err)
					}
				}
			}
			if sent, _ := b.run(time.Minute); len(sent) > 10 {
				t.Fatalf("%d messages in a minute", len(sent))
			}
			if name := b.known(); name != "cheeseboard.local" && name != "cheeseboard-1f3a.local" {
				t.Fatalf("it is called %q", name)
			}
		}
	})
}

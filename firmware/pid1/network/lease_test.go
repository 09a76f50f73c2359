package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// ack makes what a server answers: an address for so long.
func ack(t *testing.T, address string, lease time.Duration, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithYourIP(net.ParseIP(address)),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithServerIP(net.IPv4(10, 0, 0, 1)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(lease)),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// fakeAsker answers as a script says; what is asked is noted with its time.
type fakeAsker struct {
	began time.Time
	reply func(what string, age time.Duration) (*dhcpv4.DHCPv4, error)

	mu    sync.Mutex
	asked []string
}

func (f *fakeAsker) do(what string) (*dhcpv4.DHCPv4, error) {
	age := time.Since(f.began).Round(time.Second)
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf("%s %s", what, age))
	f.mu.Unlock()
	return f.reply(what, age)
}

func (f *fakeAsker) Ask(context.Context) (*dhcpv4.DHCPv4, error) { return f.do("ask") }
func (f *fakeAsker) Confirm(context.Context, *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	return f.do("confirm")
}
func (f *fakeAsker) Renew(_ context.Context, _ *dhcpv4.DHCPv4, all bool) (*dhcpv4.DHCPv4, error) {
	if all {
		return f.do("rebind")
	}
	return f.do("renew")
}

// leased is a leaser under test, and what it has done to its interface.
type leased struct {
	*leaser
	mu    sync.Mutex
	did   []string
	began time.Time
}

func (l *leased) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.did = append(l.did, fmt.Sprintf("%s %s", what, time.Since(l.began).Round(time.Second)))
}

func newLeased(reply func(what string, age time.Duration) (*dhcpv4.DHCPv4, error)) (*leased, *fakeAsker) {
	f := &fakeAsker{began: time.Now(), reply: reply}
	l := &leased{began: f.began}
	l.leaser = &leaser{
		asker: f, log: slog.New(slog.DiscardHandler),
		take:  func(t Terms) error { l.note("take " + t.Prefix.String()); return nil },
		drop:  func() { l.note("drop") },
		alone: func() { l.note("alone") },
		heard: func() { l.note("heard") },
	}
	return l, f
}

// expect compares, and says what was.
func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

var errNobody = errors.New("no matching response packet received")

// TestRenew: an address is renewed at half of its time, for ever.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := newLeased(func(string, time.Duration) (*dhcpv4.DHCPv4, error) { return ack(t, "10.0.0.5", time.Hour), nil })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Minute)
		defer cancel()
		l.run(ctx)
		expect(t, "asked", f.asked, []string{"ask 0s", "renew 30m0s", "renew 1h0m0s", "renew 1h30m0s"})
		expect(t, "did", l.did, []string{"take 10.0.0.5/24 0s", "heard 0s", "take 10.0.0.5/24 30m0s", "take 10.0.0.5/24 1h0m0s", "take 10.0.0.5/24 1h30m0s"})
	})
}

// TestServerGone: the server is asked again and again, then any; at the end of its time
// the address is given up, and a new one is asked for.
func TestServerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := newLeased(func(what string, age time.Duration) (*dhcpv4.DHCPv4, error) {
			if age == 0 || age > 70*time.Minute && what == "ask" {
				return ack(t, "10.0.0.5", time.Hour), nil
			}
			return nil, errNobody
		})
		ctx, cancel := context.WithTimeout(t.Context(), 72*time.Minute)
		defer cancel()
		l.run(ctx)
		want := []string{
			"ask 0s", "renew 30m0s", "renew 41m15s", "renew 46m53s", "renew 49m41s", "renew 51m6s", "renew 51m48s", "renew 52m9s",
		}
		if len(f.asked) < len(want) {
			t.Fatalf("asked only %q", f.asked)
		}
		expect(t, "asked", f.asked[:len(want)], want)
		if i := slices.IndexFunc(f.asked, func(s string) bool { return s == "rebind 52m30s" }); i < 0 {
			t.Errorf("at 7/8 of the time not all are asked: %q", f.asked)
		}
		if !slices.Contains(l.did, "drop 1h0m0s") || !slices.Contains(l.did, "alone 1h0m0s") {
			t.Errorf("did %q", l.did)
		}
		if last := l.did[len(l.did)-2]; last[:4] != "take" {
			t.Errorf("when the server is back: %q", l.did)
		}
	})
}

// TestRefusedRenewal: who is told no gives the address up at once, and asks for another.
func TestRefusedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := newLeased(func(what string, age time.Duration) (*dhcpv4.DHCPv4, error) {
			switch {
			case what == "renew" && age == 30*time.Minute:
				return nil, fmt.Errorf("x: %w", &nclient4.ErrNak{Nak: ack(t, "0.0.0.0", 0)})
			case age >= 30*time.Minute:
				return ack(t, "10.0.0.9", time.Hour), nil
			}
			return ack(t, "10.0.0.5", time.Hour), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 31*time.Minute)
		defer cancel()
		l.run(ctx)
		expect(t, "asked", f.asked, []string{"ask 0s", "renew 30m0s", "ask 30m0s"})
		expect(t, "did", l.did, []string{"take 10.0.0.5/24 0s", "heard 0s", "drop 30m0s", "take 10.0.0.9/24 30m0s", "heard 30m0s"})
	})
}

// TestCable: after the cable was out the old address is confirmed. In another network it
// is dropped first where the server says no, and else when another one comes.
func TestCable(t *testing.T) {
	nak := fmt.Errorf("confirm: %w", &nclient4.ErrNak{})
	for name, confirm := range map[string]error{"the same": nil, "another": errNobody, "another, which says so": nak} {
		synctest.Test(t, func(t *testing.T) {
			l, f := newLeased(func(what string, age time.Duration) (*dhcpv4.DHCPv4, error) {
				switch {
				case what == "confirm" && confirm != nil:
					return nil, confirm
				case age > 0 && confirm != nil:
					return ack(t, "192.168.7.7", time.Hour), nil
				}
				return ack(t, "10.0.0.5", time.Hour), nil
			})
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				l.run(ctx)
				cancel()
			}
			asked, did := []string{"ask 0s", "confirm 1m0s"}, []string{"take 10.0.0.5/24 0s", "heard 0s"}
			switch confirm {
			case nil:
				did = append(did, "take 10.0.0.5/24 1m0s")
			case nak:
				did = append(did, "drop 1m0s")
				fallthrough
			default:
				asked, did = append(asked, "ask 1m0s"), append(did, "take 192.168.7.7/24 1m0s")
			}
			expect(t, name+": asked", f.asked, asked)
			expect(t, name+": did", l.did, append(did, "heard 1m0s"))
		})
	}
}

// TestCableAndServer: the cable was out, and nobody answers, as when a whole cabinet
// starts anew: the address stays as long as it was given for, and no longer.
func TestCableAndServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLeased(func(_ string, age time.Duration) (*dhcpv4.DHCPv4, error) {
			if age > 0 {
				return nil, errNobody
			}
			return ack(t, "10.0.0.5", time.Hour), nil
		})
		for _, d := range []time.Duration{time.Minute, 58 * time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			l.run(ctx)
			cancel()
		}
		if slices.ContainsFunc(l.did, func(s string) bool { return s[:4] == "drop" }) {
			t.Errorf("an address that was given for an hour is dropped: %q", l.did)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		l.run(ctx)
		if n := len(slices.DeleteFunc(l.did, func(s string) bool { return s[:4] != "drop" })); n != 1 {
			t.Errorf("after its time it was dropped %d times: %q", n, l.did)
		}
	})
}

// TestNobody: who gets no answer says so at once, and goes on asking.
func TestNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := newLeased(func(string, time.Duration) (*dhcpv4.DHCPv4, error) { return nil, errNobody })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		l.run(ctx)
		if n := len(f.asked); n < 15 || n > 25 {
			t.Errorf("asked %d times in 10 minutes: %q", n, f.asked)
		}
		if l.did[0] != "alone 0s" || slices.ContainsFunc(l.did, func(s string) bool { return s[:5] != "alone" }) {
			t.Errorf("did %q", l.did)
		}
	})
}

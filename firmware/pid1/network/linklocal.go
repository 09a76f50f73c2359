package network

import (
	"context"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// ARP is an ARP message (RFC 826) as far as it matters here.
type ARP struct {
	Request bool
	MAC     net.HardwareAddr // of the sender
	Sender  netip.Addr       // unspecified in a probe
	Target  netip.Addr
}

// Ether sends and hears ARP messages on an interface.
type Ether interface {
	Send(ARP) error
	Heard() <-chan ARP // is closed when nothing more can be heard
}

// The times of RFC 3927, section 9.
const (
	probeWait    = time.Second
	probes       = 3
	probeMin     = time.Second
	probeMax     = 2 * time.Second
	announceWait = 2 * time.Second
	announces    = 2
	announceGap  = 2 * time.Second
	manyClashes  = 10
	rateLimit    = time.Minute
	defendGap    = 10 * time.Second
)

// claimer has an interface take an address of 169.254/16 that nobody else has
// (RFC 3927), where nobody gives it one.
type claimer struct {
	ether Ether
	mac   net.HardwareAddr
	log   *slog.Logger
	take  func(netip.Prefix) error
	drop  func()
}

// linkLocal is the network of all such addresses.
var linkLocal = netip.MustParsePrefix("169.254.0.0/16")

// candidate is the address that a machine tries as its nth: by its MAC, so that it has
// the same at each start. The first and the last 256 are not to be used.
func candidate(mac net.HardwareAddr, n int) netip.Addr {
	h := fnv.New64a()
	_, _ = h.Write(mac) // it never fails
	r := rand.New(rand.NewPCG(h.Sum64(), uint64(n)))
	v := 256 + r.IntN(65536-512)
	return netip.AddrFrom4([4]byte{169, 254, byte(v >> 8), byte(v)})
}

// run claims an address and defends it until ctx ends; then the interface has it no more.
func (c *claimer) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		if n >= manyClashes {
			wait(ctx, rateLimit)
		}
		address := candidate(c.mac, n)
		if !c.probe(ctx, address) {
			continue
		}
		if err := c.take(netip.PrefixFrom(address, linkLocal.Bits())); err != nil {
			c.log.Warn("a link-local address could not be taken", "address", address, "reason", err)
			wait(ctx, rateLimit)
			continue
		}
		c.log.Info("nobody gives an address: a link-local one is taken", "address", address)
		c.defend(ctx, address)
		c.drop()
	}
}

// probe tells whether nobody has the address.
func (c *claimer) probe(ctx context.Context, a netip.Addr) bool {
	next := time.NewTimer(rand.N(probeWait))
	defer next.Stop()
	for sent := 0; ; {
		select {
		case <-ctx.Done():
			return false
		case m, ok := <-c.ether.Heard():
			if !ok {
				wait(ctx, rateLimit)
				return false
			}
			if c.clashes(m, a, true) {
				c.log.Info("a link-local address is taken", "address", a, "by", m.MAC)
				return false
			}
		case <-next.C:
			if sent == probes {
				return true
			}
			c.send(ARP{Request: true, MAC: c.mac, Sender: netip.IPv4Unspecified(), Target: a})
			if sent++; sent < probes {
				next.Reset(probeMin + rand.N(probeMax-probeMin))
			} else {
				next.Reset(announceWait)
			}
		}
	}
}

// clashes tells whether a message shows that somebody else has, or wants, the address.
func (c *claimer) clashes(m ARP, a netip.Addr, probing bool) bool {
	if m.MAC.String() == c.mac.String() {
		return false
	}
	return m.Sender == a || probing && m.Request && m.Sender.IsUnspecified() && m.Target == a
}

// defend announces the address, and keeps it until somebody else insists, or ctx ends.
func (c *claimer) defend(ctx context.Context, a netip.Addr) {
	announce := ARP{Request: true, MAC: c.mac, Sender: a, Target: a}
	next, sent := time.NewTimer(0), 0
	defer next.Stop()
	var defended time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			c.send(announce)
			if sent++; sent < announces {
				next.Reset(announceGap)
			}
		case m, ok := <-c.ether.Heard():
			switch {
			case !ok:
				<-ctx.Done() // the interface has gone
				return
			case !c.clashes(m, a, false):
			case !defended.IsZero() && time.Since(defended) < defendGap:
				c.log.Warn("a link-local address is given up: somebody insists on it", "address", a, "who", m.MAC)
				return
			default:
				defended = time.Now()
				c.send(announce)
			}
		}
	}
}

func (c *claimer) send(m ARP) {
	if err := c.ether.Send(m); err != nil {
		c.log.Debug("ARP could not be sent", "reason", err)
	}
}

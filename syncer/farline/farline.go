// Package farline makes a line to a far place, for tests and measurements: two
// network namespaces of one machine, and between them a line with a delay, a
// rate, a bounded queue and losses. Packets leave the kernel through a TUN
// device on one side and come back through one on the other, so that the TCP
// of the kernel meets real round trips, slow start, queues and losses.
//
// It carries IPv4 only. It needs Linux, the right to make namespaces and
// /dev/net/tun; elsewhere New gives ErrUnavailable.
package farline

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// ErrUnavailable: this machine or this user cannot make such a line.
var ErrUnavailable = errors.New("no emulated line here")

// The addresses of the two places. They are the same in every line: no other
// namespace sees them.
var (
	nearAddress = netip.MustParseAddr("10.99.0.1")
	farAddress  = netip.MustParseAddr("10.99.0.2")
)

const (
	prefixBits = 24
	// mtu is that of Ethernet.
	mtu = 1500
)

// Options describe a line. Each way has its own rate, queue and losses. The zero
// value is a line without delay that is as fast as the machine.
type Options struct {
	Delay time.Duration // one way: half of the round trip
	Rate  int64         // bytes per second, headers of IP included; 0: no limit
	Queue int           // bytes that wait for their turn; 0: what Rate carries in a round trip, or in 100 ms if that is more
	Loss  float64       // fraction of the packets that vanish, 0 to 1
	Seed  uint64        // of the losses: the same seed loses the same packets of a sequence
	// Window is how far the kernel may let the buffers of a connection grow, in
	// bytes; 0: as the machine has it.
	Window int
}

// Line is a line and its two ends. Its methods may be called concurrently.
type Line struct {
	near, far *Host
	out, in   *pipe // as the near end sees it

	mu      sync.Mutex
	settled map[flow]bool // connections that Reset need not end; nil: it was not called
}

// Traffic is what a line has carried so far, one way.
type Traffic struct {
	Packets int64 // that arrived
	Bytes   int64 // of them, headers of IP included
	Payload int64 // of them, bytes of TCP's streams
	Again   int64 // of Payload, what had arrived before: TCP's own repetitions
	Adrift  int64 // of Payload, what arrived behind a gap that is not filled: no reader gets it
	Lost    int64 // packets that chance took
	Refused int64 // packets for which there was no room in the queue
	Dropped int64 // packets that a cut or a black hole took
}

// Near is the end where the box stands.
func (l *Line) Near() *Host { return l.near }

// Far is the end where the upstream stands.
func (l *Line) Far() *Host { return l.far }

// Traffic tells what went out from the near end, and what came in to it.
func (l *Line) Traffic() (out, in Traffic) { return l.out.traffic(), l.in.traffic() }

// SetRate changes the rate of both ways, in bytes per second; 0: no limit. What
// waits goes on at the new rate.
func (l *Line) SetRate(rate int64) {
	for _, p := range []*pipe{l.out, l.in} {
		p.change(func() { p.opts.Rate = rate })
	}
}

// SetLoss changes the fraction of the packets that vanish.
func (l *Line) SetLoss(loss float64) {
	for _, p := range []*pipe{l.out, l.in} {
		p.change(func() { p.opts.Loss = loss })
	}
}

// Cut takes the line away, with what is on its way, or gives it back. Neither
// end is told: no packet of any kind arrives.
func (l *Line) Cut(on bool) {
	l.out.swallow(on)
	l.in.swallow(on)
}

// Blackhole swallows what comes to the near end, and only that: the far end
// hears everything, and what it answers vanishes.
func (l *Line) Blackhole(on bool) { l.in.swallow(on) }

// Reset ends every connection that there is by an RST to both ends, as a
// middlebox does, each when its next packet passes. Connections that begin
// later are left alone.
func (l *Line) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled = make(map[flow]bool)
}

// doomed tells whether a packet belongs to a connection that is to be reset now.
func (l *Line) doomed(s segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.settled == nil || l.settled[s.flow()] {
		return false
	}
	l.settled[s.flow()] = true
	return !s.begins()
}

// deliver gives a packet to one end; back leads to the other one.
func (l *Line) deliver(packet []byte, to, back *Host) {
	s, ok := parse(packet)
	if !ok || !l.doomed(s) {
		to.give(packet)
		return
	}
	forth, answer := s.resets()
	to.give(forth)
	back.give(answer)
}

func newPipe(o Options, way uint64, out func([]byte)) *pipe {
	if o.Queue <= 0 {
		o.Queue = int(float64(o.Rate) * max(2*o.Delay, 100*time.Millisecond).Seconds())
	}
	return &pipe{
		opts: o, dice: rand.New(rand.NewPCG(o.Seed, way)), out: out, streams: streams{},
		wake: make(chan struct{}, 1), quit: make(chan struct{}),
	}
}

package farline

import (
	"math/rand/v2"
	"sync"
	"time"
)

// pipe is one way of a line. Packets wait in the queue until the line is free,
// take their time to be sent, and arrive a delay later, in order.
type pipe struct {
	out  func([]byte) // called by run only
	wake chan struct{}
	quit chan struct{} // closed: run ends

	mu       sync.Mutex
	opts     Options
	dice     *rand.Rand
	swallows bool
	waiting  fifo
	queued   int // bytes in waiting
	flying   fifo
	free     time.Time // when the line has sent what it was given
	seen     Traffic
	streams  streams
}

// parcel is a packet under way.
type parcel struct {
	bytes []byte
	due   time.Time // when it arrives; once it has been sent
}

// take accepts a packet at a time; it is the pipe's from then on.
func (p *pipe) take(packet []byte, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.swallows:
		p.seen.Dropped++
	case p.opts.Loss > 0 && p.dice.Float64() < p.opts.Loss:
		p.seen.Lost++
	case p.opts.Rate > 0 && p.queued > 0 && p.queued+len(packet) > p.opts.Queue:
		p.seen.Refused++
	default:
		if p.waiting.len() == 0 {
			p.free = later(p.free, now)
		}
		p.waiting.push(parcel{bytes: packet})
		p.queued += len(packet)
		if p.waiting.len() == 1 {
			p.alert()
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// alert makes run look again.
func (p *pipe) alert() {
	select {
	case p.wake <- struct{}{}:
	default: // it will anyway
	}
}

// change changes the options.
func (p *pipe) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.alert()
}

// swallow makes what is under way and what comes vanish, as long as it is on.
func (p *pipe) swallow(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallows = on
	if on {
		p.seen.Dropped += int64(p.waiting.len() + p.flying.len())
		p.waiting, p.flying, p.queued = fifo{}, fifo{}, 0
	}
}

func (p *pipe) traffic() Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	seen.Adrift = p.streams.adrift()
	return seen
}

// run carries packets until quit is closed.
func (p *pipe) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var arrived [][]byte
	for {
		var next time.Time
		arrived, next = p.advance(arrived[:0], time.Now())
		for i, packet := range arrived {
			p.out(packet)
			arrived[i] = nil
		}
		var due <-chan time.Time
		if !next.IsZero() {
			timer.Reset(time.Until(next))
			due = timer.C
		}
		select {
		case <-due:
		case <-p.wake:
		case <-p.quit:
			return
		}
	}
}

// advance moves everything to where it is at a time. It appends what has arrived
// by then, and tells when to look again; zero: when something is taken.
func (p *pipe) advance(arrived [][]byte, now time.Time) (_ [][]byte, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.waiting.len() > 0 {
		sent := p.free.Add(p.sending(len(p.waiting.first().bytes)))
		if sent.After(now) {
			next = sent
			break
		}
		parcel := p.waiting.pop()
		p.queued -= len(parcel.bytes)
		p.free, parcel.due = sent, sent.Add(p.opts.Delay)
		p.flying.push(parcel)
	}
	for p.flying.len() > 0 {
		if due := p.flying.first().due; due.After(now) {
			if next.IsZero() || due.Before(next) {
				next = due
			}
			break
		}
		packet := p.flying.pop().bytes
		p.seen.Packets++
		p.seen.Bytes += int64(len(packet))
		payload, again := p.streams.arrive(packet)
		p.seen.Payload += payload
		p.seen.Again += again
		arrived = append(arrived, packet)
	}
	return arrived, next
}

// sending is how long the line takes to send n bytes.
func (p *pipe) sending(n int) time.Duration {
	if p.opts.Rate <= 0 {
		return 0
	}
	return time.Duration(int64(n) * int64(time.Second) / p.opts.Rate)
}

// fifo is a queue of parcels.
type fifo struct {
	items []parcel
	head  int
}

func (f *fifo) len() int       { return len(f.items) - f.head }
func (f *fifo) first() *parcel { return &f.items[f.head] }

func (f *fifo) push(p parcel) {
	if f.head > 1024 && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, p)
}

func (f *fifo) pop() parcel {
	p := f.items[f.head]
	f.items[f.head] = parcel{}
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return p
}

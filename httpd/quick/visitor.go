package quick

import "sync/atomic"

// Whoever keeps thousands of connections busy has thousands of goroutines ready to run,
// and another client's would stand behind all of them. So of an address with many
// connections only a few at a time are let through to read a request that has come.

const (
	// crowd is from how many connections on an address takes turns.
	crowd = 64
	// turns is how many of its goroutines may be on their way to read.
	turns = 16
)

// visitor is an address, or a network, from which there are connections.
type visitor struct {
	conns atomic.Int32
	turns chan struct{} // one for each who has a turn
}

func newVisitor() *visitor { return &visitor{turns: make(chan struct{}, turns)} }

func (v *visitor) crowded() bool { return v.conns.Load() >= crowd }

// take waits for a turn. Those who have one give it back before they wait for anything.
func (v *visitor) take() { v.turns <- struct{}{} }

func (v *visitor) give() { <-v.turns }

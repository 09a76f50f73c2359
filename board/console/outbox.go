package console

import (
	"fmt"
	"sync"
)

const (
	// outboxBytes bounds what waits for a reader: some screens full.
	outboxBytes = 32 << 10
	// pieceBytes is how much is given to the port at once: what is under way when a
	// port is closed has to fit into what flushing it frees.
	pieceBytes = 128
)

// outbox is what waits to be written to a port. Putting something in never waits: where
// nobody reads, whole messages are dropped and counted, and the next one that fits says
// how many.
type outbox struct {
	mu     sync.Mutex
	filled *sync.Cond
	queue  []byte
	lost   int  // messages since the last one that fitted
	total  int  // messages that were lost
	ended  bool // nothing is added any more
	closed bool // nor is anything written
}

func newOutbox() *outbox {
	o := &outbox{}
	o.filled = sync.NewCond(&o.mu)
	return o
}

// put adds a message; note makes of a number of lost ones what is told of them.
func (o *outbox) put(message string, note func(lost int) string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended || o.closed {
		return
	}
	told := ""
	if o.lost > 0 {
		told = note(o.lost)
	}
	if len(o.queue)+len(told)+len(message) > outboxBytes {
		o.lost++
		o.total++
		return
	}
	o.lost = 0
	o.queue = append(append(o.queue, told...), message...)
	o.filled.Signal()
}

// next waits for something to write; nil when the outbox is closed, or is at its end.
func (o *outbox) next() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) == 0 && !o.closed && !o.ended {
		o.filled.Wait()
	}
	if o.closed || len(o.queue) == 0 {
		return nil
	}
	n := min(len(o.queue), pieceBytes)
	piece := append([]byte(nil), o.queue[:n]...)
	if o.queue = o.queue[n:]; len(o.queue) == 0 {
		o.queue = nil // memory goes when it is not needed
	}
	return piece
}

// end lets what is there be written, and takes no more.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.filled.Broadcast()
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed, o.queue = true, nil
	o.filled.Broadcast()
}

// over tells whether the outbox is closed.
func (o *outbox) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}

// dropped is how many messages were lost.
func (o *outbox) dropped() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

// lostNote tells people; lostObject tells machines.
func lostNote(n int) string { return fmt.Sprintf("\r\n[%d lines were lost: nobody read them]\r\n", n) }

func lostObject(n int) string { return fmt.Sprintf("{\"lost\":%d}\n", n) }

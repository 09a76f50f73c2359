package meta

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"cheeseboard/storage/pypi"
)

// A commit waits for the disk, on a card for tens of milliseconds, and costs it the
// same whether one change is in it or a hundred. So changes that are asked for while
// a commit is under way wait together. The first of them that gets the turn carries
// all of them out, one after another over one transaction, commits that, and tells
// the others: no goroutine of its own, and a change that is alone does not wait.
//
// Each change sees those before it, as if it had waited for their commits. What one
// is refused for is taken out of the transaction, and the others do not notice. Each
// is told only when the commit has ended, and an error of the commit is everybody's.
// A change that does not fit beside the others is carried out alone.

// change is a read-change-write step, and what became of it.
type change struct {
	name pypi.Name // whose half-done change is completed before it; "": nobody's
	need need
	fn   func(*batch) error
	err  error         // after done
	done chan struct{} // closed when err is known, and what was written is durable
}

// writers lets one at a time write, and gathers the changes of those who wait.
type writers struct {
	turn chan struct{} // has room for one, who has the turn

	mu      sync.Mutex
	waiting []*change
}

func newWriters() writers { return writers{turn: make(chan struct{}, 1)} }

// lock waits until nobody writes, and keeps everybody from it until unlock.
func (w *writers) lock()   { w.turn <- struct{}{} }
func (w *writers) unlock() { <-w.turn }

func (w *writers) add(changes []*change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, changes...)
}

func (w *writers) take() []*change {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.waiting
	w.waiting = nil
	return list
}

// update runs fn over a batch, while nobody else writes. On nil what it wrote is
// durable. fn is run once, by whoever commits it, and must not wait for anything
// that could wait for a commit.
func (d *DB) update(need need, fn func(*batch) error) error {
	return d.change("", need, fn)
}

// change is update for the change of one project.
func (d *DB) change(name pypi.Name, need need, fn func(*batch) error) error {
	c := &change{name: name, need: need, fn: fn}
	d.submit(c)
	return c.err
}

// submit has changes carried out in their order, and returns when all are through.
func (d *DB) submit(changes ...*change) {
	for _, c := range changes {
		c.done = make(chan struct{})
	}
	d.writers.add(changes)
	for _, c := range changes {
		select {
		case <-c.done:
		case d.writers.turn <- struct{}{}:
			// Whoever had the turn before has ended all that it took, so this one
			// is among those that wait, if it was not.
			d.lead()
			<-c.done
		}
	}
}

var (
	errClosed    = errors.New("write metadata: they are closed")
	errAbandoned = errors.New("write metadata: the program failed in a change beside it")
)

// lead carries out all changes that wait, and gives the turn up. Those that come
// meanwhile wait for the next.
func (d *DB) lead() {
	defer d.writers.unlock()
	list := d.writers.take()
	defer func() {
		for _, c := range list { // there are none left, but for a panic
			c.end(errAbandoned)
		}
	}()
	for len(list) > 0 {
		list = list[d.together(list):]
	}
}

// end tells the one who waits for a change.
func (c *change) end(err error) {
	select {
	case <-c.done:
	default:
		c.err = cmp.Or(c.err, err)
		close(c.done)
	}
}

// groupBytes and groupWrites are how much goes into one transaction. Badger allows
// twice as much, so that a change of usual size still fits behind it.
const (
	groupBytes  = 300 << 10
	groupWrites = 3000
)

// together carries out changes from the beginning of a list in one transaction, and
// tells how many: at least one, which may have taken more than one transaction.
func (d *DB) together(list []*change) (n int) {
	b := &batch{db: d}
	defer b.forget()
	for n < len(list) && !b.split && b.size <= groupBytes && len(b.writes) <= groupWrites {
		b.carryOut(list[n])
		n++
	}
	_ = b.settle() // those whom it concerns are told
	return n
}

// carryOut runs one change. What it has written is in the transaction after it if it
// has no error, else not.
func (b *batch) carryOut(c *change) {
	b.own, b.ownRefs, b.need = len(b.writes), len(b.added), c.need
	c.err = b.run(c)
	if c.err == nil && len(b.writes) > b.own {
		c.err = b.space()
	}
	if c.err != nil {
		b.undo()
	}
	b.members = append(b.members, c)
}

// run runs a change's function. What an earlier change of its project left half-done
// is completed first.
func (b *batch) run(c *change) error {
	if b.db.closed {
		return errClosed
	}
	if err := b.db.refuse(); err != nil {
		return err
	}
	if b.txn == nil {
		b.again()
	}
	b.name, b.torn = c.name, false
	if c.name != "" {
		mark, err := b.db.has(b.txn, tornKey(c.name))
		if err != nil {
			return err
		}
		if b.torn = mark; mark {
			if err := b.db.mend(b, c.name); err != nil {
				return err
			}
		}
	}
	if err := c.fn(b); err != nil {
		return err
	}
	if b.torn {
		return b.delete(tornKey(c.name))
	}
	return nil
}

// settle commits the transaction, and tells those whose changes are in it.
func (b *batch) settle() error {
	err := b.commit()
	for _, c := range b.members {
		c.end(err)
	}
	b.members = nil
	return err
}

// undo takes what the change under way has written out of the transaction. Badger
// cannot do that, so the rest is written into a new one.
func (b *batch) undo() {
	if len(b.writes) == b.own {
		return
	}
	kept, refs := b.writes[:b.own], b.added[:b.ownRefs]
	b.again()
	b.replay(kept, refs)
}

// apart commits the changes before the one under way, which does not fit beside
// them, and gives it a transaction of its own with what it has written so far. On an
// error it must end: it has seen what is not there.
func (b *batch) apart() error {
	mine, refs := b.writes[b.own:], b.added[b.ownRefs:]
	b.undo()
	b.own, b.ownRefs = 0, 0
	if err := b.settle(); err != nil {
		return fmt.Errorf("after a change before it: %w", err)
	}
	b.again()
	b.replay(mine, refs)
	return nil
}

// replay writes what was in a transaction, and so fits, into a new one.
func (b *batch) replay(list []write, refs []addition) {
	again := func(w write) {
		if b.failed == nil {
			b.failed = w.into(b.txn)
		}
		b.noted(w)
	}
	for _, w := range list {
		if w.gone && !b.versioned { // that of a change before it was
			again(versioned())
		}
		again(w)
	}
	b.added = refs
}

package meta

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// A transaction of Badger's that only reads waits, when it begins, for the commit
// that is under way, and so for the disk: on a card that can be seconds. Readers
// here share a view instead that was taken when the last commit was through. Badger
// allows that: of a transaction that only reads, reading changes nothing.

// views gives out the latest view.
type views struct {
	mu     sync.Mutex
	latest *view       // nil before Open has ended and after Close
	spent  *badger.Txn // for who reads after Close: Badger says that it has ended
}

// view is the metadata as of one commit.
type view struct {
	txn   *badger.Txn
	users int // who reads, and one for being the latest
}

// view gives the metadata as of the last commit, until done is called. It does not
// wait for the one that is under way.
func (d *DB) view() (txn *badger.Txn, done func()) {
	d.views.mu.Lock()
	defer d.views.mu.Unlock()
	v := d.views.latest
	if v == nil { // closed: Badger would have a new transaction wait for ever
		return d.views.spent, func() {}
	}
	v.users++
	return v.txn, func() { d.views.release(v) }
}

func (s *views) release(v *view) {
	s.mu.Lock()
	v.users--
	last := v.users == 0
	s.mu.Unlock()
	if last {
		v.txn.Discard()
	}
}

// renewView has those who read from now on see what was committed. No commit may be
// under way: d.mu is held, or nobody else has the DB yet.
func (d *DB) renewView() { d.replaceView(&view{txn: d.db.NewTransaction(false), users: 1}) }

// replaceView makes a view the latest; nil: there is none any more.
func (d *DB) replaceView(next *view) {
	d.views.mu.Lock()
	old := d.views.latest
	d.views.latest = next
	d.views.mu.Unlock()
	if old != nil {
		d.views.release(old)
	}
}

// endViews is called before Badger is closed, while nobody writes.
func (d *DB) endViews() {
	spent := d.db.NewTransaction(false)
	spent.Discard()
	d.views.mu.Lock()
	d.views.spent = spent
	d.views.mu.Unlock()
	d.replaceView(nil)
}

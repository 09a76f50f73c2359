package quick

import (
	"sync"
	"sync/atomic"
)

// Bounds of what is kept, in bytes.
const (
	maxKept = 3 << 19 // most of it is shared with the pages that are kept anyhow
	maxBody = 1 << 20
	// entryCost is about what an answer costs besides its texts.
	entryCost = 400
)

// answer is what net/http has answered to a plain request, and would answer again
// as long as still says so. It is never changed.
type answer struct {
	status int
	head   []byte // with the line for the date begun, which is the last
	body   []byte // of a GET; a HEAD has none
	file   File   // instead of body
	still  func() bool
	era    uint64 // of the gate, when it was asked for
	used   func() // may be nil
	recent atomic.Bool
}

// table keeps answers by request. It is safe for concurrent use.
type table struct {
	mu      sync.RWMutex
	answers map[string]*answer
	flights map[string]*flight
	bodies  map[*byte]int // how many answers share a body
	size    int
}

func newTable() *table {
	return &table{answers: make(map[string]*answer), flights: make(map[string]*flight), bodies: make(map[*byte]int)}
}

// key appends what decides about the answer to a plain request: all that is in it,
// but for fields that no handler reads.
func (h *head) key(b []byte) []byte {
	b = append(append(b, h.method...), ' ')
	b = append(b, h.path...)
	for _, part := range [...][]byte{h.host, h.accept, h.coding, h.match} {
		if part == nil {
			b = append(b, '\n', '-') // not the same as an empty one
			continue
		}
		b = append(append(b, '\n', '+'), part...)
	}
	return b
}

// get gives what is kept for a request; nil where nothing is.
func (t *table) get(key []byte) *answer {
	t.mu.RLock()
	a := t.answers[string(key)]
	t.mu.RUnlock()
	if a != nil && !a.recent.Load() {
		a.recent.Store(true)
	}
	return a
}

// put keeps an answer, unless it is too large. What was not asked for lately makes
// room.
func (t *table) put(key string, a *answer) {
	if len(a.body) > maxBody {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(key)
	a.recent.Store(true)
	t.answers[key] = a
	t.size += entryCost + len(key) + len(a.head)
	if len(a.body) > 0 {
		if t.bodies[&a.body[0]]++; t.bodies[&a.body[0]] == 1 {
			t.size += len(a.body)
		}
	}
	for t.size > maxKept {
		t.sweep(key)
	}
}

// sweep removes answers until there is room, but for the newest. One that was asked
// for since the last sweep has a second chance.
func (t *table) sweep(newest string) {
	for key, a := range t.answers {
		switch {
		case t.size <= maxKept:
			return
		case key == newest:
		case a.recent.Load():
			a.recent.Store(false)
		default:
			t.remove(key)
		}
	}
}

// remove takes an answer away, if there is one. t.mu is held.
func (t *table) remove(key string) {
	a := t.answers[key]
	if a == nil {
		return
	}
	delete(t.answers, key)
	t.size -= entryCost + len(key) + len(a.head)
	if len(a.body) > 0 {
		if t.bodies[&a.body[0]]--; t.bodies[&a.body[0]] == 0 {
			delete(t.bodies, &a.body[0])
			t.size -= len(a.body)
		}
	}
}

// drop forgets an answer that does not hold any more, unless there is another one
// in its place by now.
func (t *table) drop(key []byte, a *answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.answers[string(key)] == a {
		t.remove(string(key))
	}
}

// clear forgets all answers.
func (t *table) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.answers)
	clear(t.bodies)
	t.size = 0
}

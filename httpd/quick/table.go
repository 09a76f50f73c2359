package quick

import (
	"container/list"
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

// kept is an answer, and the request that it is for.
type kept struct {
	key string
	*answer
}

// table keeps answers by request. It is safe for concurrent use.
type table struct {
	mu      sync.RWMutex
	answers map[string]*list.Element
	queue   *list.List // of kept; the first is the next to go
	flights map[string]*flight
	bodies  map[*byte]int // how many answers share a body
	size    int
}

func newTable() *table {
	return &table{
		answers: make(map[string]*list.Element), queue: list.New(),
		flights: make(map[string]*flight), bodies: make(map[*byte]int),
	}
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
	a := t.find(key)
	t.mu.RUnlock()
	if a != nil && !a.recent.Load() {
		a.recent.Store(true)
	}
	return a
}

// find is get without a trace. t.mu is held.
func (t *table) find(key []byte) *answer {
	place := t.answers[string(key)]
	if place == nil {
		return nil
	}
	return place.Value.(kept).answer
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
	t.answers[key] = t.queue.PushBack(kept{key, a})
	t.size += entryCost + len(key) + len(a.head)
	if len(a.body) > 0 {
		if t.bodies[&a.body[0]]++; t.bodies[&a.body[0]] == 1 {
			t.size += len(a.body)
		}
	}
	for t.size > maxKept {
		t.evict()
	}
}

// evict removes the answer that came first, or, where that was asked for since it came
// or since it was spared, spares it once (the CLOCK algorithm): it is then the last to
// go. t.mu is held, and there is an answer.
func (t *table) evict() {
	first := t.queue.Front()
	k := first.Value.(kept)
	if k.recent.CompareAndSwap(true, false) {
		t.queue.MoveToBack(first)
		return
	}
	t.remove(k.key)
}

// remove takes an answer away, if there is one. t.mu is held.
func (t *table) remove(key string) {
	place := t.answers[key]
	if place == nil {
		return
	}
	a := place.Value.(kept)
	delete(t.answers, key)
	t.queue.Remove(place)
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
	if t.find(key) == a {
		t.remove(string(key))
	}
}

// clear forgets all answers.
func (t *table) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.answers)
	t.queue.Init()
	clear(t.bodies)
	t.size = 0
}

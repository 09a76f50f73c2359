// Package evict decides which of the files that are only cached go first when
// room is needed. It knows keys, sizes and uses, and touches no disk: the store
// and the simulation of a day (see day_test.go) run the same code.
//
// The policy is GreedyDual-Size-Frequency (Cherkasova 1998). A file's rank is its
// worth above a level: how often it was used, times what it would cost to fetch it
// again, divided by the bytes that it takes. The lowest rank goes, and the level
// rises to it: what was worth much once and is not used any more is overtaken by
// what comes later. No clock is needed, which a board may not have.
package evict

import (
	"encoding/binary"

	"cheeseboard/storage/pypi"
)

// Overhead is what fetching a file costs besides its bytes, in bytes: a line of 1
// MB a second could have carried as many in the half second that a request takes.
// A larger one favours small files, and with them the number of requests that are
// answered from here; a smaller one large files, and the bytes that need not come.
const Overhead = 512 << 10

// Grace is the number of seconds for which a file that was used stays if others
// can go: a class asks for the same file again and again, and a client whose
// connection broke comes back for the rest.
const Grace = 120

// Slack is how much more than is needed is removed at a time, for a quota in bytes
// (0: none is set): each removal costs writes that are the same for one file and
// for many.
func Slack(quota int64) int64 {
	if quota <= 0 {
		return 16 << 20
	}
	return min(16<<20, quota/64)
}

// Key stands for a file: the first bytes of its digest. Two files of one key are
// as unlikely as 2^-64 for each pair, and do no harm: whoever evicts looks again.
type Key uint64

// KeyOf gives the key of a digest.
func KeyOf(digest pypi.Digest) Key { return Key(binary.BigEndian.Uint64(digest[:8])) }

// Prefix gives the bytes that a digest of this key begins with.
func (k Key) Prefix() [8]byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(k))
	return b
}

// Victim is a file that goes.
type Victim struct {
	Key  Key
	Size int64 // bytes
	node node
}

// Table ranks files. A file takes about 60 bytes in it. Times are seconds since
// some moment, the same for all calls. The zero value is an empty table. It is not
// safe for concurrent use.
type Table struct {
	level float64
	bytes int64
	at    map[Key]int32
	heap  []node // the lowest rank first
}

type node struct {
	rank float64
	size int64
	key  Key
	uses float32
	used uint32 // when it was used last
}

// Len is the number of files.
func (t *Table) Len() int { return len(t.heap) }

// Bytes is the size of all files.
func (t *Table) Bytes() int64 { return t.bytes }

// Has tells whether a file is in the table.
func (t *Table) Has(key Key) bool {
	_, ok := t.at[key]
	return ok
}

// worth is what a file is worth per byte that it takes. The smallest takes a block.
func worth(uses float32, size int64) float64 {
	return float64(uses) * (1 + Overhead/float64(max(size, 4096)))
}

// Add puts a file in that has just come, for somebody who uses it; one that is in
// gets the size, and is left where it is.
func (t *Table) Add(key Key, size int64, now uint32) {
	if i, ok := t.at[key]; ok {
		t.bytes += size - t.heap[i].size
		t.heap[i].size = size
		return
	}
	t.push(node{rank: t.level + worth(1, size), size: size, key: key, uses: 1, used: now})
}

// Use counts a use. A file that is not in the table is none of its business.
func (t *Table) Use(key Key, now uint32) {
	i, ok := t.at[key]
	if !ok {
		return
	}
	n := &t.heap[i]
	n.uses++
	n.used = now
	n.rank = t.level + worth(n.uses, n.size)
	t.down(int(i)) // the level never falls, so neither does a rank
}

// Remove takes a file out.
func (t *Table) Remove(key Key) {
	if i, ok := t.at[key]; ok {
		t.remove(int(i))
	}
}

// Take takes the files out that are to go so that need bytes become free, the
// least valuable first. Those of which spare says so stay: somebody reads them.
// Those that were used less than Grace ago go only if all others do not suffice.
func (t *Table) Take(need int64, now uint32, spare func(Key) bool) []Victim {
	var out []Victim
	var kept, recent []node
	take := func(n node) {
		t.level = max(t.level, n.rank)
		need -= n.size
		out = append(out, Victim{n.key, n.size, n})
	}
	for need > 0 && len(t.heap) > 0 {
		n := t.heap[0]
		t.remove(0)
		switch {
		case spare != nil && spare(n.key):
			kept = append(kept, n)
		case n.used+Grace > now:
			recent = append(recent, n)
		default:
			take(n)
		}
	}
	for _, n := range recent { // in order of their rank
		if need > 0 {
			take(n)
		} else {
			kept = append(kept, n)
		}
	}
	for _, n := range kept {
		t.push(n)
	}
	return out
}

// Put puts a file back that could not go.
func (t *Table) Put(v Victim) {
	if !t.Has(v.Key) {
		t.push(v.node)
	}
}

func (t *Table) push(n node) {
	if t.at == nil {
		t.at = make(map[Key]int32)
	}
	t.bytes += n.size
	t.heap = append(t.heap, n)
	i := len(t.heap) - 1
	t.at[n.key] = int32(i)
	t.up(i)
}

func (t *Table) remove(i int) {
	last := len(t.heap) - 1
	t.bytes -= t.heap[i].size
	delete(t.at, t.heap[i].key)
	if i != last {
		t.heap[i] = t.heap[last]
		t.at[t.heap[i].key] = int32(i)
	}
	t.heap = t.heap[:last]
	if i != last {
		t.down(i)
		t.up(i)
	}
}

func (t *Table) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if t.heap[parent].rank <= t.heap[i].rank {
			return
		}
		t.swap(i, parent)
		i = parent
	}
}

func (t *Table) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if t.heap[child].rank < t.heap[least].rank {
				least = child
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}

func (t *Table) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.at[t.heap[i].key], t.at[t.heap[j].key] = int32(i), int32(j)
}

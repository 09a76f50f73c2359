package syncer

import (
	"container/heap"
	"sync"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
)

// queued is a pass with nothing but a queue.
func queued(most int) *pass {
	p := &pass{
		Engine: &Engine{}, ctx: nil, wants: make(map[pypi.Name]*want),
		arrivals: make(map[pypi.Digest]*arrival), turns: newTurns(most), announced: true,
	}
	p.turn = sync.NewCond(&p.mu)
	return p
}

// add puts files of a size into the queue.
func (p *pass) add(n int, size int64) {
	for range n {
		p.push(fileJob{item: Item{Size: size}})
	}
}

// begin takes jobs for as long as there are turns, and tells how many of each kind.
func (p *pass) begun() (n [kinds]int) {
	for {
		job, k := p.take()
		if job == nil {
			return n
		}
		p.turns.active[k]++
		n[k]++
	}
}

// TestLargeFilesKeepTheirTurns has large files under way on a line of each kind,
// and small ones and pages that come later: these begin at once.
func TestLargeFilesKeepTheirTurns(t *testing.T) {
	p := queued(96)
	p.add(50, 1<<30)
	if n := p.begun(); n[slow] != 2 || n[quick] != 0 {
		t.Fatalf("of 50 large files there are under way %v", n)
	}
	p.add(50, 1000)
	if n := p.begun(); n[quick] != 4 || n[slow] != 0 {
		t.Errorf("beside large files there begin %v", n)
	}
	for range 4 {
		p.turns.active[quick]--
	}
	p.want(pypi.Requirement{Name: "brie"}, false)
	p.want(pypi.Requirement{Name: "gouda"}, false)
	if n := p.begun(); n[looking] != 2 || n[quick] != 2 {
		t.Errorf("pages and small files: %v", n)
	}
	// However well large files go, they are few, and what is small does not wait.
	for range 1000 {
		p.turns.pace.Measured(float64(1000 * p.turns.pace.Connections()))
	}
	p.turns.active = [kinds]int{slow: p.begun()[slow]}
	heap.Init(&p.files)
	for len(p.files) > 0 {
		heap.Pop(&p.files)
	}
	if p.begun(); p.turns.active[slow] > mostLarge {
		t.Errorf("%d large files at once", p.turns.active[slow])
	}
	p.add(1, 1000)
	if n := p.begun(); n[quick] != 1 {
		t.Errorf("a small file beside %d large ones: %v", p.turns.active[slow], n)
	}
}

// TestWeakLineHasFewTurns lets a weak line show itself: no more than a few
// requests are ever under way, pages first.
func TestWeakLineHasFewTurns(t *testing.T) {
	p := queued(96)
	p.add(500, 20_000)
	p.add(5, 1<<30)
	for i := range 500 {
		p.want(pypi.Requirement{Name: pypi.Name("cheese-" + string(rune('a'+i%26)) + string(rune('a'+i/26)))}, false)
	}
	most := 0
	for range 300 {
		n := p.begun()
		active := p.turns.active[looking] + p.turns.active[quick] + p.turns.active[slow]
		most = max(most, active)
		if n[slow] > 0 {
			t.Fatal("a large file begins before the small ones")
		}
		// 25 KB/s over 50 ms: each answer of 20 KB waits for those before it.
		for i := range active {
			p.turns.flight.Answered("host", 50*time.Millisecond+time.Duration(i)*800*time.Millisecond, !p.turns.room())
		}
		p.turns.flight.Measured(25_000, !p.turns.room())
		p.turns.active = [kinds]int{}
	}
	if most > 6 {
		t.Errorf("%d requests at once on a weak line", most)
	}
}

// TestPagesLeaveRoomForFiles has a line that carries many: files come beside pages.
func TestPagesLeaveRoomForFiles(t *testing.T) {
	p := queued(96)
	p.add(500, 20_000)
	for i := range 500 {
		p.want(pypi.Requirement{Name: pypi.Name("cheese-" + string(rune('a'+i%26)) + string(rune('a'+i/26)))}, false)
	}
	for range 200 {
		p.turns.active = [kinds]int{}
		p.begun()
		p.turns.flight.Answered("host", 600*time.Millisecond, true)
		p.turns.flight.Measured(float64(p.turns.flight.Allowed())*1000, true)
	}
	p.turns.active = [kinds]int{}
	p.add(500, 20_000)
	n := p.begun()
	if n[looking]+n[quick] > 96 || n[looking] > 0 && n[quick] < 16 {
		t.Errorf("under way are %v", n)
	}
}

// TestPush sorts files by what the line brings in a while.
func TestPush(t *testing.T) {
	for _, c := range []struct {
		rate, usual float64
		size        int64
		large       bool
	}{
		{0, 0, 1 << 20, false}, {0, 0, 1<<20 + 1, true}, {0, 0, pypi.SizeUnknown, false},
		{25_000, 0, 1 << 20, false}, {25_000, 0, 2 << 20, true},
		{2e6, 0, 3 << 20, false}, {0, 2e6, 3 << 20, false}, {2e6, 0, 5 << 20, true},
		{1e9, 0, 16 << 20, false}, {1e9, 0, 17 << 20, true},
	} {
		p := queued(4)
		p.rate, p.usual = c.rate, c.usual
		p.add(1, c.size)
		if got := len(p.large) == 1; got != c.large {
			t.Errorf("%d bytes over a line of %.0f (usually %.0f): large %t", c.size, c.rate, c.usual, got)
		}
	}
}

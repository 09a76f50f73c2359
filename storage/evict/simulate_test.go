package evict

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

// policy is a cache in the simulation.
type policy interface {
	// use is told of each request, in order; it says whether the file is here.
	use(file int) bool
	// admit takes a file in that was not here, and removes others for it.
	admit(file int)
}

// ours is the Table that the store uses.
type ours struct {
	day     day
	quota   int64
	table   Table
	request int // number of the one under way, from 1
}

func (p *ours) use(file int) bool {
	p.request++
	here := p.table.Has(Key(file))
	p.table.Use(Key(file), p.now())
	return here
}

func (p *ours) now() uint32 { return p.day.times[p.request-1] }

// admit does what Store.Begin does.
func (p *ours) admit(file int) {
	size := p.day.sizes[file]
	if over := p.table.Bytes() + size - p.quota; over > 0 {
		p.table.Take(over+Slack(p.quota), p.now(), nil)
	}
	p.table.Add(Key(file), size, p.now())
}

// ranked is a cache that removes the file of the lowest rank, found by looking at
// all of them.
type ranked struct {
	day   day
	quota int64
	rank  func(file int) float64
	here  map[int]bool
	bytes int64
	now   int
	last  map[int]int // request
	count map[int]int
	// refuse lets a policy that knows the future pass files by.
	bypass bool
}

func newRanked(d day, quota int64) *ranked {
	return &ranked{day: d, quota: quota, here: map[int]bool{}, last: map[int]int{}, count: map[int]int{}}
}

func (p *ranked) use(file int) bool {
	p.now++
	p.last[file] = p.now
	if !p.here[file] {
		p.count[file] = 0
	}
	p.count[file]++
	return p.here[file]
}

func (p *ranked) admit(file int) {
	p.here[file], p.bytes = true, p.bytes+p.day.sizes[file]
	for p.bytes > p.quota {
		least, rank := -1, math.Inf(1)
		for f := range p.here {
			if f == file && !p.bypass {
				continue
			}
			if r := p.rank(f); r < rank || r == rank && p.last[f] < p.last[least] {
				least, rank = f, r
			}
		}
		delete(p.here, least)
		p.bytes -= p.day.sizes[least]
	}
}

func newLRU(d day, quota int64) policy {
	p := newRanked(d, quota)
	p.rank = func(file int) float64 { return float64(p.last[file]) }
	return p
}

func newLFU(d day, quota int64) policy {
	p := newRanked(d, quota)
	p.rank = func(file int) float64 { return float64(p.count[file]) }
	return p
}

// newClairvoyant knows the requests to come. It removes the file with the largest
// product of size and time until it is asked for again: nobody knows the best that
// can be done with files of different sizes, but this comes near to it.
func newClairvoyant(d day, quota int64) policy {
	p := newRanked(d, quota)
	p.bypass = true
	next := make([]int, len(d.requests)) // for each request, that of the same file
	seen := map[int]int{}
	for i := len(d.requests) - 1; i >= 0; i-- {
		next[i] = math.MaxInt
		if n, ok := seen[d.requests[i]]; ok {
			next[i] = n
		}
		seen[d.requests[i]] = i
	}
	p.rank = func(file int) float64 {
		n := next[p.last[file]-1]
		if n == math.MaxInt {
			return math.Inf(-1)
		}
		return -float64(n-p.now) * float64(d.sizes[file])
	}
	return p
}

// rates are hits, divided by requests.
type rates struct{ requests, bytes float64 }

func simulate(d day, quota int64, p policy) rates {
	var hits, hitBytes, bytes int64
	for _, file := range d.requests {
		size := d.sizes[file]
		bytes += size
		switch {
		case p.use(file):
			hits, hitBytes = hits+1, hitBytes+size
		case size <= quota:
			p.admit(file)
		}
	}
	return rates{float64(hits) / float64(len(d.requests)), float64(hitBytes) / float64(bytes)}
}

// policies are compared, each with the same days and the same quota.
var policies = []struct {
	name string
	make func(day, int64) policy
}{
	{"Ours", func(d day, quota int64) policy { return &ours{day: d, quota: quota} }},
	{"LRU", newLRU},
	{"LFU", newLFU},
	{"Clairvoyant", newClairvoyant},
}

// mean is that of several seeds, and worst the smallest of them.
func mean(quota int64, seeds uint64, of func(day, int64) policy) (m, worst rates) {
	worst = rates{1, 1}
	for seed := range seeds {
		d := newDay(seed)
		r := simulate(d, quota, of(d, quota))
		m.requests += r.requests / float64(seeds)
		m.bytes += r.bytes / float64(seeds)
		worst = rates{min(worst.requests, r.requests), min(worst.bytes, r.bytes)}
	}
	return m, worst
}

// BenchmarkCacheDay gives the hit rates of a day, by requests and by bytes.
func BenchmarkCacheDay(b *testing.B) {
	for _, p := range policies {
		b.Run(p.name, func(b *testing.B) {
			var m, worst rates
			for b.Loop() {
				m, worst = mean(dayQuota, 8, p.make)
			}
			b.ReportMetric(100*m.requests, "hit_percent")
			b.ReportMetric(100*worst.requests, "worst_hit_percent")
			b.ReportMetric(100*m.bytes, "byte_hit_percent")
			b.ReportMetric(0, "ns/op") // how long the simulation takes says nothing
		})
	}
}

// BenchmarkCacheTable gives the cost of the table with as many files as a large box has.
func BenchmarkCacheTable(b *testing.B) {
	const files = 100_000
	r := rand.New(rand.NewPCG(1, 2))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var table Table
	for key := range Key(files) {
		table.Add(key, wheelSize(r), 0)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	key := Key(files)
	for b.Loop() {
		table.Use(Key(r.IntN(files)), 0)
		size := wheelSize(r)
		table.Take(size, Grace, nil)
		table.Add(key, size, 0)
		key++
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/files, "bytes_per_file")
	runtime.KeepAlive(&table)
}

// TestDay holds that the policy is better than the plain ones where it is meant to
// be, and worse than the one that knows the future: else the days are no test.
func TestDay(t *testing.T) {
	if testing.Short() {
		t.Skip("it simulates days")
	}
	got := map[string]rates{}
	for _, p := range policies {
		got[p.name], _ = mean(dayQuota, 3, p.make)
		t.Logf("%-12s %.1f %% of the requests, %.1f %% of the bytes", p.name, 100*got[p.name].requests, 100*got[p.name].bytes)
	}
	us := got["Ours"]
	for _, plain := range []string{"LRU", "LFU"} {
		if us.requests < got[plain].requests+0.01 {
			t.Errorf("of the requests %.1f %% are hits, with %s %.1f %%", 100*us.requests, plain, 100*got[plain].requests)
		}
	}
	if us.bytes < got["LRU"].bytes {
		t.Errorf("of the bytes %.1f %% are hits, with LRU %.1f %%", 100*us.bytes, 100*got["LRU"].bytes)
	}
	if best := got["Clairvoyant"]; us.requests > best.requests || us.bytes > best.bytes {
		t.Errorf("%+v is better than with knowledge of the future, %+v", us, best)
	}
}

package evict

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// A day at a box in a school, as requests for files in order: lessons in which
// thirty laptops install the same set within minutes, single installs all day
// after Zipf's law, and once a job that touches many files a single time. The
// sizes are those of wheels: 100 KB in the median, hundreds of MB at the end.

const (
	dayRequests = 10_000
	dayQuota    = 1_000_000_000

	backgroundFiles = 4000
	lessons         = 4
	laptops         = 30
	scanFiles       = 1200
)

// day is one generated day.
type day struct {
	sizes    []int64  // of each file, bytes
	requests []int    // files, in order
	times    []uint32 // of the requests, seconds since midnight
}

// wheelSize draws from a log-normal distribution with a median of 100 KB; one
// file in a thousand has 100 MB and more, none has more than 800 MB.
func wheelSize(r *rand.Rand) int64 {
	return int64(min(100e3*math.Exp(2.25*r.NormFloat64()), 800e6)) + 1000
}

// timed is a request.
type timed struct {
	at   float64 // hours since midnight
	file int
}

// newDay makes the day of a seed.
func newDay(seed uint64) day {
	r := rand.New(rand.NewPCG(seed, 2026))
	var d day
	for range backgroundFiles + scanFiles {
		d.sizes = append(d.sizes, wheelSize(r))
	}
	var all []timed
	for lesson := range lessons {
		begin := 8 + 2*float64(lesson)
		all = append(all, classroom(r, begin, d.sizes)...)
	}
	scan := 6 + 12*r.Float64()
	for i := range scanFiles {
		all = append(all, timed{scan + float64(i)/3600, backgroundFiles + i})
	}
	popular := newZipf(backgroundFiles, 0.9)
	for len(all) < dayRequests {
		all = append(all, timed{24 * r.Float64(), popular.draw(r)})
	}
	slices.SortStableFunc(all, func(a, b timed) int { return cmp.Compare(a.at, b.at) })
	for _, q := range all[:dayRequests] {
		d.requests = append(d.requests, q.file)
		d.times = append(d.times, uint32(q.at*3600))
	}
	return d
}

// classroom is a set of some thirty files, half of them popular ones, that each
// laptop asks for in the same order: it begins within five minutes of the others,
// and takes another few for all.
func classroom(r *rand.Rand, begin float64, sizes []int64) (all []timed) {
	var set []int
	var bytes int64
	for len(set) < 30 {
		file := r.IntN(100)
		if len(set)%2 == 1 {
			file = r.IntN(backgroundFiles)
		}
		if slices.Contains(set, file) || bytes+sizes[file] > 400e6 {
			continue
		}
		set, bytes = append(set, file), bytes+sizes[file]
	}
	for range laptops {
		at := begin + r.Float64()/12
		for _, file := range set {
			all = append(all, timed{at, file})
			at += r.Float64() / 180
		}
	}
	return all
}

// zipf draws 0 to n-1, the first most often.
type zipf []float64 // running sums

func newZipf(n int, exponent float64) zipf {
	z := make(zipf, n)
	sum := 0.0
	for i := range z {
		sum += math.Pow(float64(i+1), -exponent)
		z[i] = sum
	}
	return z
}

func (z zipf) draw(r *rand.Rand) int {
	i, _ := slices.BinarySearch(z, r.Float64()*z[len(z)-1])
	return min(i, len(z)-1)
}

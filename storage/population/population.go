// Package population makes a synthetic index of the size and shape of PyPI, for
// measurements, dictionaries and tests of the store. Nothing of it is kept in
// memory: every page is made from the seed and its number when it is asked for.
//
// The shape is that of PyPI as it was measured: half of the projects have up to 5
// files, the mean is 22, the largest has 32,000; every second file has a digest of
// its core metadata. Names, versions, tags, requirements, sizes, times and
// addresses look like those of PyPI; digests are random bytes, as they are there.
package population

import (
	"math"
	"math/rand/v2"
	"time"

	"cheeseboard/storage/pypi"
)

const (
	medianFiles = 5
	meanFiles   = 22
	// Largest is the number of files of the largest project, in a population of
	// at least WithLargest projects.
	Largest     = 32_000
	WithLargest = 10_000
)

// Population is a synthetic index. It is safe for concurrent use.
type Population struct {
	seed     uint64
	projects int
	stride   int     // with projects it has no common factor: files are dealt out by it
	sigma    float64 // of the logarithm of the number of files
}

// New describes a population. The same seed and number give the same projects.
func New(seed uint64, projects int) *Population {
	p := &Population{seed: seed, projects: projects, stride: max(1, int(0.618*float64(projects)))}
	for gcd(p.stride, projects) != 1 {
		p.stride++
	}
	p.sigma = math.Sqrt(2 * math.Log(float64(meanFiles)/medianFiles))
	return p
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Len is the number of projects.
func (p *Population) Len() int { return p.projects }

// Files is the number of files that project i has on day 0.
func (p *Population) Files(i int) int {
	rank := i * p.stride % p.projects
	if rank == p.projects-1 && p.projects >= WithLargest {
		return Largest
	}
	q := (float64(rank) + 0.5) / float64(p.projects)
	n := medianFiles * math.Exp(p.sigma*math.Sqrt2*math.Erfinv(2*q-1))
	return max(1, int(math.Round(n)))
}

// LargestProject is the project with the most files.
func (p *Population) LargestProject() int {
	largest := 0
	for i := range p.projects {
		if i*p.stride%p.projects == p.projects-1 {
			largest = i
		}
	}
	return largest
}

// chance gives the source of everything random about a project.
func (p *Population) chance(i int, what uint64) *rand.Rand {
	return rand.New(rand.NewPCG(p.seed, uint64(i)<<8|what))
}

// What chance is asked for.
const (
	forName = iota
	forPage
	forTag
	forChanges
)

// Changed lists the projects that get a new release on a day: the given part of
// all, in no order, each once.
func (p *Population) Changed(day int, part float64) []int {
	r := p.chance(day, forChanges)
	n := max(1, int(math.Round(part*float64(p.projects))))
	seen := make(map[int]bool, n)
	list := make([]int, 0, n)
	for len(list) < n {
		if i := r.IntN(p.projects); !seen[i] {
			seen[i] = true
			list = append(list, i)
		}
	}
	return list
}

// Project gives the page of project i, with so many releases more than on day 0.
func (p *Population) Project(i, more int) *pypi.Project {
	m := newMaker(p.Name(i), p.chance(i, forPage))
	page := &pypi.Project{Name: m.name, Status: pypi.Status{State: pypi.StatusActive}}
	for files := p.Files(i); len(page.Files) < files; {
		m.release(page, files-len(page.Files))
	}
	for range more {
		m.release(page, 2)
	}
	page.LastSerial = m.serial
	return page
}

// now is the time at which the population stands on day 0.
var now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

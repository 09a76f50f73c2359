package mirror

import (
	"context"
	"sync"
	"time"

	"cheeseboard/storage/pypi"
)

const (
	// remembered is how long a mirror's page is gone by.
	remembered = 10 * time.Minute
	// maxListed bounds the entries that are remembered of one mirror, beside
	// those of the page that was read last; a page counts as one more.
	maxListed = 20_000
)

// listing is where a mirror keeps the blobs of one project: files and their core
// metadata. It does not change.
type listing struct {
	read      time.Time
	addresses map[pypi.Digest]string
}

func newListing(p *pypi.Project) *listing {
	l := &listing{addresses: make(map[pypi.Digest]string)}
	for i := range p.Files {
		f := &p.Files[i]
		if d, ok := f.Hashes.SHA256(); ok {
			l.addresses[d] = f.URL
		}
		if d, ok := f.CoreMetadata.Hashes.SHA256(); ok && f.CoreMetadata.Available {
			l.addresses[d] = f.URL + ".metadata"
		}
	}
	return l
}

func (l *listing) address(d pypi.Digest) string { return l.addresses[d] }

// listings are the pages of one mirror, as they were read lately.
type listings struct {
	now func() time.Time

	mu      sync.Mutex
	pages   map[pypi.Name]*listing
	looking map[pypi.Name]*reading
}

// reading is a look at a page that is under way.
type reading struct {
	over    chan struct{}
	listing *listing // after over
	err     error
}

// fresh gives a listing that can be gone by; nil where there is none. l.mu is held.
func (l *listings) fresh(name pypi.Name) *listing {
	p := l.pages[name]
	if p == nil {
		return nil
	}
	if age := l.now().Sub(p.read); age < 0 || age >= remembered {
		delete(l.pages, name)
		return nil
	}
	return p
}

// known is fresh for those who do not hold the lock.
func (l *listings) known(name pypi.Name) *listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fresh(name)
}

// may tells whether a blob may be listed, as far as is known.
func (l *listings) may(name pypi.Name, d pypi.Digest) bool {
	p := l.known(name)
	return p == nil || p.address(d) != ""
}

// get gives the listing of a project, by look where it is not known. Of those who
// ask for it at the same time one looks for all.
func (l *listings) get(ctx context.Context, name pypi.Name, look func() (*listing, error)) (*listing, error) {
	l.mu.Lock()
	if p := l.fresh(name); p != nil {
		l.mu.Unlock()
		return p, nil
	}
	if r := l.looking[name]; r != nil {
		l.mu.Unlock()
		select {
		case <-r.over:
			return r.listing, r.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	r := &reading{over: make(chan struct{})}
	if l.looking == nil {
		l.looking = make(map[pypi.Name]*reading)
	}
	l.looking[name] = r
	l.mu.Unlock()

	p, err := look()

	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		p.read = l.now()
		l.makeRoom()
		l.pages[name] = p
	}
	delete(l.looking, name)
	r.listing, r.err = p, err
	close(r.over)
	return p, err
}

// makeRoom forgets the oldest pages; l.mu is held.
func (l *listings) makeRoom() {
	for {
		total := 0
		var oldest pypi.Name
		for name, p := range l.pages {
			total += len(p.addresses) + 1
			if oldest == "" || p.read.Before(l.pages[oldest].read) {
				oldest = name
			}
		}
		if total < maxListed {
			return
		}
		delete(l.pages, oldest)
	}
}

// drop forgets one blob of a listing.
func (l *listings) drop(name pypi.Name, d pypi.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.pages[name]
	if old == nil || old.address(d) == "" {
		return
	}
	p := &listing{read: old.read, addresses: make(map[pypi.Digest]string, len(old.addresses))}
	for digest, address := range old.addresses {
		if digest != d {
			p.addresses[digest] = address
		}
	}
	l.pages[name] = p
}

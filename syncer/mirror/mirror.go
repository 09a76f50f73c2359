// Package mirror knows other indexes that have the same files: another mirror,
// another cheeseboard. They are asked for bytes only. What a project consists of,
// and which digests are right, the upstream alone says; a mirror's page serves to
// find where it keeps the bytes of a digest.
//
// A mirror that fails is set back for a while, one that sent wrong bytes for
// longer (health.go); what its pages say is remembered for a while (listing.go).
package mirror

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// HereOnly is a header of requests to a mirror. It asks a cheeseboard for what it
// has: two that mirror each other must not wait for one another, nor bring in
// over their lines what was only asked for. Others ignore it.
const HereOnly = "Cheeseboard-Here-Only"

// Header is what requests to a mirror carry.
func Header() http.Header { return http.Header{HereOnly: {"1"}} }

// Options are the settings of a Set; the zero value is the default of each.
type Options struct {
	Now func() time.Time // nil: the clock
	Log *slog.Logger     // nil: nothing is logged
}

// Set is the mirrors of one upstream. It is safe for concurrent use.
type Set struct {
	mirrors []*Mirror
	hosts   hosts
}

// New makes a set of mirrors of an index, in the order in which they are to be
// asked. Their pages are read by its rules and within its bounds.
func New(index *upstream.Index, addresses []string, o Options) (*Set, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Set{hosts: hosts{now: o.Now, log: o.Log}}
	for _, address := range addresses {
		x, err := index.Sibling(address, Header())
		if err != nil {
			return nil, fmt.Errorf("read address of a mirror: %w", err)
		}
		if x.Address() == index.Address() || slices.ContainsFunc(s.mirrors, func(m *Mirror) bool { return m.Address() == x.Address() }) {
			continue // it would be asked twice for the same
		}
		s.mirrors = append(s.mirrors, &Mirror{
			index:  x,
			pages:  listings{now: o.Now, pages: make(map[pypi.Name]*listing)},
			Health: Health{name: "mirror " + x.Address(), now: o.Now, log: o.Log},
		})
	}
	return s, nil
}

// None is a set without mirrors.
func None() *Set {
	return &Set{hosts: hosts{now: time.Now, log: slog.New(slog.DiscardHandler)}}
}

// Len is the number of mirrors.
func (s *Set) Len() int { return len(s.mirrors) }

// Candidates are the mirrors that may have a blob of a project, in order: not set
// back, and not known to lack it. It asks nobody.
func (s *Set) Candidates(name pypi.Name, digest pypi.Digest) []*Mirror {
	var out []*Mirror
	for _, m := range s.mirrors {
		if m.Ready() && m.pages.may(name, digest) {
			out = append(out, m)
		}
	}
	return out
}

// Listed are the digests that mirrors which are not set back list for a project, as
// far as their pages were read lately, and the mirrors whose pages were not.
func (s *Set) Listed(name pypi.Name) (known map[pypi.Digest]bool, unread []*Mirror) {
	known = make(map[pypi.Digest]bool)
	for _, m := range s.mirrors {
		switch l := m.pages.known(name); {
		case !m.Ready():
		case l == nil:
			unread = append(unread, m)
		default:
			for d := range l.addresses {
				known[d] = true
			}
		}
	}
	return known, unread
}

// Host is the health of the host of an address, which is no mirror's: the
// upstream's host of files.
func (s *Set) Host(address string) *Health { return s.hosts.get(address) }

// Latest names the mirror that delivered last, and when; "" where none did.
func (s *Set) Latest() (address string, at time.Time) {
	for _, m := range s.mirrors {
		if t := m.lastDelivery(); t.After(at) {
			address, at = m.Address(), t
		}
	}
	return address, at
}

// Status tells how the mirrors are doing, and which hosts of files are in trouble.
func (s *Set) Status() []Status {
	out := []Status{}
	for _, m := range s.mirrors {
		st := m.status()
		st.Address = m.Address()
		out = append(out, st)
	}
	return append(out, s.hosts.status()...)
}

// Mirror is one of a Set. It is safe for concurrent use.
type Mirror struct {
	Health
	index *upstream.Index
	pages listings
}

// Address is the index's.
func (m *Mirror) Address() string { return m.index.Address() }

// Find gives the address under which the mirror has the bytes of a digest; ""
// where it has not, or cannot say. It reads the page like Read.
func (m *Mirror) Find(ctx context.Context, name pypi.Name, digest pypi.Digest, alive func()) string {
	return m.read(ctx, name, alive).address(digest)
}

// Read reads the mirror's page of a project, unless that was done lately; once for
// all who want it at the same time. alive, where it is not nil, is called when the
// mirror has answered. A mirror that cannot say what it has is set back.
func (m *Mirror) Read(ctx context.Context, name pypi.Name, alive func()) { m.read(ctx, name, alive) }

func (m *Mirror) read(ctx context.Context, name pypi.Name, alive func()) *listing {
	l, err := m.pages.get(ctx, name, func() (*listing, error) { return m.look(ctx, name, alive) })
	if err != nil {
		m.Failed(wire.From("the mirror", err))
		return &listing{}
	}
	return l
}

// Lacks notes that the mirror does not give out what its page lists.
func (m *Mirror) Lacks(name pypi.Name, digest pypi.Digest) { m.pages.drop(name, digest) }

// look reads a project's page.
func (m *Mirror) look(ctx context.Context, name pypi.Name, alive func()) (*listing, error) {
	answer, err := m.index.Project(ctx, name, upstream.Validators{}, alive)
	switch wire.CauseOf(err) {
	case "":
		return newListing(answer.Project), err
	case wire.Gone, wire.Lie:
		// It has not got the project, or nothing by that name that is a page.
		return newListing(&pypi.Project{}), nil
	}
	return nil, err
}

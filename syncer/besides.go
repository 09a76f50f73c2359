package syncer

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/mirror"
)

// Mirrors beside the upstream: what they have can be delivered while the line, or
// the host of files, is down. Which files there are, and which bytes are theirs,
// the upstream's pages say in any case.

type hereOnlyKey struct{}

// HereOnly says that what is asked for under a context is wanted only if it is
// here: nothing is fetched for it, and the upstream is not asked.
func HereOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, hereOnlyKey{}, true)
}

func hereOnly(ctx context.Context) bool { return ctx.Value(hereOnlyKey{}) != nil }

// besides gives the digests that mirrors list for a project, as far as they say so
// within a client's patience. While one does not answer, nobody else waits for it.
func (e *Engine) besides(s stay, name pypi.Name) map[pypi.Digest]bool {
	known, unread := e.mirrors.Listed(name)
	if len(unread) == 0 {
		return known
	}
	over := make(chan struct{})
	e.mu.Lock()
	started := !isOpen(e.mute) && e.start(func() {
		defer close(over)
		e.readMirrors(name, unread)
	})
	e.mu.Unlock()
	if !started {
		return known
	}
	if !s.until(s.sign, over) {
		e.mu.Lock()
		e.mute = over
		e.mu.Unlock()
	}
	known, _ = e.mirrors.Listed(name)
	return known
}

// isOpen tells whether there is a channel that was not closed yet.
func isOpen(ch <-chan struct{}) bool {
	if ch == nil {
		return false
	}
	select {
	case <-ch:
		return false
	default:
		return true
	}
}

// readMirrors reads the pages that mirrors have of a project.
func (e *Engine) readMirrors(name pypi.Name, mirrors []*mirror.Mirror) {
	if e.admit(budget.Person) != nil {
		return
	}
	var reading sync.WaitGroup
	for _, m := range mirrors {
		reading.Go(func() { m.Read(budget.With(e.ctx, budget.Person), name, nil) })
	}
	reading.Wait()
}

// tagOf changes with a set of digests.
func tagOf(digests map[pypi.Digest]bool) string {
	if len(digests) == 0 {
		return ""
	}
	sum := fnv.New64a()
	for _, d := range slices.SortedFunc(maps.Keys(digests), func(a, b pypi.Digest) int { return bytes.Compare(a[:], b[:]) }) {
		_, _ = sum.Write(d[:]) // hash.Hash never fails
	}
	return fmt.Sprintf("b%x", sum.Sum64())
}

// Sources tells how the mirrors are doing, and which hosts of files are in trouble.
func (e *Engine) Sources() []mirror.Status { return e.mirrors.Status() }

// delivering is how long a mirror's last bytes are spoken of.
const delivering = 10 * time.Minute

// Sentence tells a person how the line is, and who delivers in its place.
func (e *Engine) Sentence() string {
	s := e.Line.Sentence()
	if e.Line.Up() {
		return s
	}
	if address, at := e.mirrors.Latest(); address != "" && e.now().Sub(at) < delivering {
		s += " The mirror " + address + " delivers files in its place."
	}
	return s
}

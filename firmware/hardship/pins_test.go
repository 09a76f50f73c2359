package hardship

import (
	"testing"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstreamtest"
)

// pinned tells whether all that is here of a project is held for the selection.
func (b *box) pinned(project string) bool {
	b.Helper()
	refs, err := b.Store.Held(pypi.Name(project))
	must(b, err)
	for _, ref := range refs {
		if !ref.Pinned {
			return false
		}
	}
	return len(refs) > 0
}

// TestPinsOfDependencies: what a wheel says that it needs is known only when the
// wheel has been read. Until then its pins are not in question, and a pass that
// changes nothing writes nothing.
func TestPinsOfDependencies(t *testing.T) {
	t.Parallel()
	index := upstreamtest.NewIndex()
	_, err := index.AddWheel(upstreamtest.Wheel{Name: "board", Version: "1.0", Requires: []string{"aged-cheese"}})
	must(t, err)
	_, err = index.AddWheel(upstreamtest.Wheel{Name: "aged-cheese", Version: "1.0"})
	must(t, err)
	up := upstream(t, index, func(s *upstreamtest.Server) { s.Dialect.NoMetadata = true })
	b := open(t, settings(t, up, "board"))
	b.synced()
	before, _, err := b.Store.Info("aged-cheese")
	must(t, err)
	for range 3 {
		b.synced()
	}
	after, _, err := b.Store.Info("aged-cheese")
	must(t, err)
	if !b.pinned("aged-cheese") || before.Generation != after.Generation {
		t.Errorf("it is held for the selection: %t; its generation was %d and is %d", b.pinned("aged-cheese"), before.Generation, after.Generation)
	}
}

// TestWishThatTheSelectionNeeds: what a client wished for first is held for the
// selection all the same, where that needs it.
func TestWishThatTheSelectionNeeds(t *testing.T) {
	t.Parallel()
	index := upstreamtest.NewIndex()
	_, err := index.AddWheel(upstreamtest.Wheel{Name: "board", Version: "1.0", Requires: []string{"aged-cheese"}})
	must(t, err)
	_, err = index.AddWheel(upstreamtest.Wheel{Name: "aged-cheese", Version: "1.0", Payload: 10_000})
	must(t, err)
	up := upstream(t, index)
	must(t, up.Kill())
	c := settings(t, up, "board")
	c.Sync.Connections = 1
	b := open(t, c)
	b.page("aged-cheese")
	if s, err := b.Status(); err != nil || len(s.Sync.Wishes) != 1 {
		t.Fatalf("the wishes are %v, %v", s.Sync.Wishes, err)
	}
	must(t, up.Revive())
	b.synced()
	if !b.pinned("aged-cheese") {
		t.Error("what the selection needs is not held for it")
	}
}

// TestWishForWhatIsGone: a wish that the upstream says nobody can grant ends, also
// where the selection names the project.
func TestWishForWhatIsGone(t *testing.T) {
	t.Parallel()
	up := upstream(t, upstreamtest.NewIndex())
	must(t, up.Kill())
	b := open(t, settings(t, up, "board"))
	b.page("board")
	must(t, up.Revive())
	if _, err := b.sync(); err == nil {
		t.Error("the sync does not say that the project is not there")
	}
	if s, err := b.Status(); err != nil || len(s.Sync.Wishes) > 0 || len(s.Sync.Problems) != 1 {
		t.Errorf("the wishes are %v, the problems %v, %v", s.Sync.Wishes, s.Sync.Problems, err)
	}
}

package app

import (
	"io"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// allPages has a follower follow nothing but the pages of all projects.
func (f *follower) allPages() {
	f.names, f.bulk = nil, true
	f.restart()
}

// TestAllPages brings the pages of all projects, in few writes, and keeps up with
// the feed; a client gets what it wants of them, also by an address that it had.
func TestAllPages(t *testing.T) {
	const n = 450
	f := follow(t, n, upstreamtest.Dialect{})
	names := f.names
	f.allPages()
	f.pass(syncer.SyncOptions{})
	generations := make(map[uint64]int)
	for _, name := range names {
		info, known, err := f.store.Info(pypi.Name(name))
		f.must(err)
		if !known {
			t.Fatalf("the page of %s is not here", name)
		}
		generations[info.Generation]++
	}
	if len(generations) > n/bulkLeast {
		t.Errorf("%d pages were stored in %d writes", n, len(generations))
	}
	f.sleep(7 * time.Hour)
	if r := f.pass(syncer.SyncOptions{}); len(r.On(upstreamtest.OnPage("*"))) != 0 {
		t.Errorf("a second pass asks for %d pages", len(r.On(upstreamtest.OnPage("*"))))
	}
	filename := f.change(names[7])
	f.sleep(7 * time.Hour)
	if r := f.pass(syncer.SyncOptions{}); len(r.On(upstreamtest.OnPage("*"))) != 1 || !f.knows(names[7], filename) {
		t.Errorf("after one change %d pages were asked for; the new file is known: %v", len(r.On(upstreamtest.OnPage("*"))), f.knows(names[7], filename))
	}
	f.restart()
	page, _, err := f.store.Project(pypi.Name(names[7]))
	f.must(err)
	if page.Files[0].URL != "" {
		t.Errorf("an address was kept: %s", page.Files[0].URL)
	}
	digest, _ := page.Files[0].Hashes.SHA256()
	content, err := f.File(t.Context(), page.Name, digest, page.Files[0].Filename, false)
	f.must(err)
	if size, err := io.Copy(io.Discard, content.Reader); err != nil || size != page.Files[0].Size {
		t.Errorf("%d bytes of %d (%v)", size, page.Files[0].Size, err)
	}
	f.must(content.Close())
}

// bulkLeast is how many pages a write has on average, at least.
const bulkLeast = 100

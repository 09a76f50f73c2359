package app

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/upstreamtest"
	"cheeseboard/syncer/wire"
)

// follower is an engine over a store, with a clock that the test moves.
type follower struct {
	*syncer.Engine
	t      *testing.T
	server *upstreamtest.Server
	data   string
	names  []string
	store  *storage.Store
	bulk   bool                        // bring all pages
	free   func(string) (int64, error) // of the disk; nil: as it is
	cache  int64                       // bytes of what is only cached
	config func(*Config)

	mu  sync.Mutex
	now time.Time
}

// follow makes an index of n small projects, and what follows them all.
func follow(t *testing.T, n int, dialect upstreamtest.Dialect) *follower {
	t.Helper()
	index := upstreamtest.NewIndex()
	f := &follower{t: t, server: upstreamtest.NewServer(index), data: t.TempDir(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	f.server.Dialect = dialect
	for i := range n {
		f.names = append(f.names, fmt.Sprintf("curd-%04d", i))
		_, err := index.AddWheel(upstreamtest.Wheel{Name: f.names[i], Version: "1.0"})
		f.must(err)
	}
	f.must(f.server.Start())
	t.Cleanup(func() { f.must(f.server.Close()) })
	f.open()
	t.Cleanup(f.close)
	return f
}

func (f *follower) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *follower) open() {
	f.t.Helper()
	var err error
	f.store, err = storage.Open(f.data, storage.Options{Reserve: -1, Free: f.free, Cache: f.cache})
	f.must(err)
	client, err := wire.NewClient(wire.Options{})
	f.must(err)
	index, err := upstream.New(f.server.IndexURL(), client, 0)
	f.must(err)
	c := DefaultConfig()
	c.Sync.Projects = f.names
	if f.config != nil {
		f.config(&c)
	}
	options, err := engineOptions(c, slog.New(slog.DiscardHandler))
	f.must(err)
	if f.bulk {
		options.Roll, options.Bulk = storeRoll{f.store}, storeBulk{f.store}
	}
	options.Interval, options.Now = 6*time.Hour, f.clock
	f.Engine = syncer.New(index, client, storeCatalogue{f.store}, storeShelf{f.store}, storeNotes{f.store}, options)
}

func (f *follower) close() {
	f.Engine.Close()
	f.must(f.store.Close())
}

// restart is what a power cut and a new start are to memory.
func (f *follower) restart() {
	f.close()
	f.open()
}

func (f *follower) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *follower) sleep(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// pass makes one, and gives the requests that it took.
func (f *follower) pass(o syncer.SyncOptions) upstreamtest.Requests {
	f.t.Helper()
	f.server.Forget()
	_, err := f.Sync(f.t.Context(), o)
	f.must(err)
	return f.server.Requests()
}

// change adds a release.
func (f *follower) change(name string) string {
	f.t.Helper()
	filename, err := f.server.Index.AddWheel(upstreamtest.Wheel{Name: name, Version: fmt.Sprintf("%d.0", 1+len(f.server.Index.Filenames(name)))})
	f.must(err)
	return filename
}

// knows tells whether the stored page lists a file.
func (f *follower) knows(name, filename string) bool {
	f.t.Helper()
	page, known, err := f.store.Project(pypi.Name(name))
	f.must(err)
	if !known {
		return false
	}
	for i := range page.Files {
		if page.Files[i].Filename == filename {
			return true
		}
	}
	return false
}

// TestRootListAsFeed follows an upstream by the serials in its root list: what
// changed is asked for, and nothing else; a list that has not changed costs a 304.
func TestRootListAsFeed(t *testing.T) {
	t.Parallel()
	f := follow(t, 300, upstreamtest.Dialect{NoFeed: true})
	f.pass(syncer.SyncOptions{})
	for round := range 4 {
		f.sleep(time.Minute)
		f.restart()
		requests := f.pass(syncer.SyncOptions{})
		pages, root := requests.On(upstreamtest.OnPage("*")), requests.On(upstreamtest.OnRoot())
		if len(pages) != 0 || len(root) != 1 || (root[0].Status == 304) != (round > 0) {
			t.Errorf("round %d, nothing new: %d pages, the list: %+v", round, len(pages), root)
		}
		if requests.Body() > 20_000 {
			t.Errorf("round %d, nothing new: %d bytes", round, requests.Body())
		}
	}
	f.sleep(time.Minute)
	file := f.change("curd-0007")
	requests := f.pass(syncer.SyncOptions{})
	if pages := requests.On(upstreamtest.OnPage("*")); len(pages) != 1 || !f.knows("curd-0007", file) {
		t.Errorf("after one change %v were asked for", pages.Paths())
	}
	// A project that the list lacks is asked for: it may be gone, or not.
	f.sleep(time.Minute)
	f.must(f.server.Index.RemoveProject("curd-0011"))
	f.must(f.server.Index.SetStatus("curd-0012", "quarantined", ""))
	requests = f.pass(syncer.SyncOptions{})
	if pages := requests.On(upstreamtest.OnPage("*")); len(pages.With(200)) != 1 || len(pages.With(404)) != 2 { // the guard is asked about the one that is gone
		t.Errorf("of two that the list lacks %v were asked for", pages.Paths())
	}
	if _, known, err := f.store.Info("curd-0012"); err != nil || !known {
		t.Errorf("a project that the list lacks and whose page is there: known %t, %v", known, err)
	}
}

// TestRootListThatIsCut takes what came of it; nothing vouches for the rest, which
// is asked for by condition. With the next pass the list is followed again.
func TestRootListThatIsCut(t *testing.T) {
	t.Parallel()
	f := follow(t, 150, upstreamtest.Dialect{NoFeed: true, NoGzip: true})
	f.pass(syncer.SyncOptions{})
	for round := range 2 {
		f.sleep(time.Minute)
		early, late := f.change("curd-0001"), f.change("curd-0149")
		cut := f.server.Tell(upstreamtest.OnRoot(), upstreamtest.CutAfter(4000), 0)
		requests := f.pass(syncer.SyncOptions{})
		f.server.Truth()
		pages := requests.On(upstreamtest.OnPage("*"))
		if cut.Count() == 0 || len(pages) < 50 || len(pages) > 120 {
			t.Errorf("round %d: %d pages were asked for", round, len(pages))
		}
		if !f.knows("curd-0001", early) || !f.knows("curd-0149", late) {
			t.Errorf("round %d: a change is lost", round)
		}
		f.sleep(time.Minute)
		file := f.change("curd-0149")
		if pages := f.pass(syncer.SyncOptions{}).On(upstreamtest.OnPage("*")); len(pages) != 1 || !f.knows("curd-0149", file) {
			t.Errorf("round %d: when the list comes whole, %d pages were asked for", round, len(pages))
		}
	}
}

// TestRootListThatIsDear is not read for a few pages, and not asked for again.
func TestRootListThatIsDear(t *testing.T) {
	t.Parallel()
	f := follow(t, 5, upstreamtest.Dialect{NoFeed: true, NoGzip: true})
	for i := range 2000 {
		f.must(f.server.Index.AddProject(fmt.Sprintf("aging-%d", i)))
	}
	f.pass(syncer.SyncOptions{})
	for round := range 3 {
		f.sleep(time.Minute)
		f.restart()
		file := f.change("curd-0003")
		requests := f.pass(syncer.SyncOptions{})
		if root := requests.On(upstreamtest.OnRoot()); len(root) > 0 && round > 0 {
			t.Errorf("round %d: the list was asked for", round)
		}
		if pages := requests.On(upstreamtest.OnPage("*")); len(pages) != 5 || len(pages.With(304)) != 4 || !f.knows("curd-0003", file) {
			t.Errorf("round %d: %d pages, %d of them unchanged", round, len(pages), len(pages.With(304)))
		}
	}
}

// TestFeedThatFailsForLong is replaced by the root list, and taken up where it was
// read last.
func TestFeedThatFailsForLong(t *testing.T) {
	t.Parallel()
	f := follow(t, 30, upstreamtest.Dialect{})
	f.pass(syncer.SyncOptions{})
	f.server.Tell(upstreamtest.OnFeed("*"), upstreamtest.Status(503, ""), 0)
	// Besides what changed, one or two have their moment of the week.
	for round, want := range []struct{ least, most, lists int }{{30, 30, 0}, {1, 4, 1}, {1, 4, 1}} {
		f.sleep(time.Duration(round) * 6 * time.Hour)
		f.restart()
		file := f.change("curd-0004")
		requests := f.pass(syncer.SyncOptions{})
		pages, lists := requests.On(upstreamtest.OnPage("*")), requests.On(upstreamtest.OnRoot())
		if len(pages) < want.least || len(pages) > want.most || len(lists) != want.lists || !f.knows("curd-0004", file) {
			t.Errorf("round %d: %d pages, %d lists", round, len(pages), len(lists))
		}
	}
	f.server.Truth()
	f.sleep(time.Minute)
	file := f.change("curd-0005")
	requests := f.pass(syncer.SyncOptions{})
	if pages := requests.On(upstreamtest.OnPage("*")); len(pages) != 1 || len(requests.On(upstreamtest.OnRoot())) != 0 || !f.knows("curd-0005", file) {
		t.Errorf("when the feed is back: %v", requests.Paths())
	}
}

// TestAskedOnceADay follows an upstream that tells of nothing: its many pages are
// asked for over a day, over restarts, and by whoever asks now all at once.
func TestAskedOnceADay(t *testing.T) {
	t.Parallel()
	const n = 1000
	f := follow(t, n, upstreamtest.Dialect{NoFeed: true, NoSerials: true})
	f.pass(syncer.SyncOptions{})
	asked := make(map[string]int)
	for pass := range 3 * 4 {
		f.sleep(6 * time.Hour)
		f.restart()
		if pass == 2 {
			f.pass(syncer.SyncOptions{}) // a retry, perhaps: not a share more
		}
		pages := f.pass(syncer.SyncOptions{}).On(upstreamtest.OnPage("*"))
		if pass > 2 && len(pages) != n/4 {
			t.Errorf("pass %d asks for %d pages of %d", pass, len(pages), n)
		}
		for _, path := range pages.Paths() {
			asked[path]++
		}
	}
	for path, times := range asked {
		if times < 2 || times > 3 {
			t.Errorf("%s was asked for %d times in 3 days", path, times)
		}
	}
	if len(asked) != n {
		t.Errorf("%d of %d pages were asked for", len(asked), n)
	}
	// New and wished for: at once.
	_, err := f.server.Index.AddWheel(upstreamtest.Wheel{Name: "rennet", Version: "1.0"})
	f.must(err)
	f.names = append(f.names, "rennet")
	f.restart()
	pages := f.pass(syncer.SyncOptions{}).On(upstreamtest.OnPage("rennet"))
	if len(pages) != 1 {
		t.Errorf("a new project was asked for %d times", len(pages))
	}
	if pages := f.pass(syncer.SyncOptions{Now: true}).On(upstreamtest.OnPage("*")); len(pages) != n+1 {
		t.Errorf("whoever asks now gets %d of %d pages asked for", len(pages), n+1)
	}
}

// TestSweepReachesWhatFeedsLeaveOut changes pages without telling: each is seen
// within a week, and no pass asks for many.
func TestSweepReachesWhatFeedsLeaveOut(t *testing.T) {
	t.Parallel()
	const n = 200
	f := follow(t, n, upstreamtest.Dialect{})
	f.pass(syncer.SyncOptions{})
	for _, name := range f.names {
		f.must(f.server.Index.SetStatus(name, "archived", "")) // as on PyPI, without a word
	}
	seen, most := 0, 0
	for range 4 * 7 {
		f.sleep(6 * time.Hour)
		f.restart()
		pages := f.pass(syncer.SyncOptions{}).On(upstreamtest.OnPage("*"))
		seen, most = seen+len(pages), max(most, len(pages))
	}
	for _, name := range f.names {
		page, _, err := f.store.Project(pypi.Name(name))
		f.must(err)
		if page.Status.State != "archived" {
			t.Errorf("%s: a week later its status is %q", name, page.Status.State)
		}
	}
	if seen > n*11/10 || most > 25 {
		t.Errorf("%d pages were asked for in a week, %d in one pass", seen, most)
	}
}

// TestStaleOnFirstContact begins to follow while a cache is behind for one page:
// the next pass heals it.
func TestStaleOnFirstContact(t *testing.T) {
	t.Parallel()
	f := follow(t, 10, upstreamtest.Dialect{})
	f.change("curd-0002")
	file := f.change("curd-0002")
	f.server.Tell(upstreamtest.OnPage("curd-0002"), upstreamtest.Stale(1), 0)
	f.pass(syncer.SyncOptions{})
	f.server.Truth()
	if f.knows("curd-0002", file) {
		t.Fatal("the lie was not told")
	}
	f.restart()
	if pages := f.pass(syncer.SyncOptions{}).On(upstreamtest.OnPage("*")); len(pages) != 1 || !f.knows("curd-0002", file) {
		t.Errorf("%v were asked for", pages.Paths())
	}
}

// TestBehindOverARestart lets a cache be behind for a page of which the feed told:
// what the feed tells once is not forgotten when the power fails.
func TestBehindOverARestart(t *testing.T) {
	t.Parallel()
	f := follow(t, 5, upstreamtest.Dialect{})
	f.pass(syncer.SyncOptions{})
	f.change("curd-0002")
	file := f.change("curd-0002")
	f.server.Tell(upstreamtest.OnPage("curd-0002"), upstreamtest.Stale(1), 0)
	f.pass(syncer.SyncOptions{}) // both changes are told; the page has the first of them
	for range 2000 {
		f.must(f.server.Index.AddProject(rand.Text())) // far beyond the window
	}
	f.sleep(time.Hour)
	f.pass(syncer.SyncOptions{})
	f.restart()
	f.sleep(time.Hour)
	f.pass(syncer.SyncOptions{})
	f.server.Truth()
	f.restart()
	f.sleep(12 * time.Hour)
	f.pass(syncer.SyncOptions{})
	if !f.knows("curd-0002", file) {
		t.Error("the change is lost")
	}
}

// TestUnwantedMeanwhile changes a page while nobody wants it: the feed tells of it
// then, and is not asked about it later.
func TestUnwantedMeanwhile(t *testing.T) {
	t.Parallel()
	f := follow(t, 5, upstreamtest.Dialect{})
	f.pass(syncer.SyncOptions{})
	all := f.names
	f.names = all[:4]
	f.restart()
	file := f.change("curd-0004")
	f.pass(syncer.SyncOptions{})
	for range 2000 {
		f.must(f.server.Index.AddProject(rand.Text()))
	}
	f.sleep(time.Hour)
	f.pass(syncer.SyncOptions{})
	f.names = all
	f.restart()
	f.pass(syncer.SyncOptions{})
	if !f.knows("curd-0004", file) {
		t.Error("the change is lost")
	}
}

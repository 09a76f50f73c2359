package hardship

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// mirrored is a village that a box holds, and the wheel of one of its projects.
func mirrored(t testing.TB, n int, prepare ...func(*upstreamtest.Server)) (*box, *upstreamtest.Server, []string) {
	t.Helper()
	index, projects := village(t, n)
	up := upstream(t, index, prepare...)
	b := open(t, settings(t, up, projects...))
	b.synced()
	return b, up, projects
}

// wheelOf is the file name of a project's only wheel.
func wheelOf(project string) string {
	return strings.ReplaceAll(project, "-", "_") + "-1.0-py3-none-any.whl"
}

// all lists what is here of each project.
func (b *box) all(projects []string) map[string]string {
	b.Helper()
	out := make(map[string]string)
	for _, p := range projects {
		maps.Copy(out, b.holdings(p))
	}
	return out
}

// TestSmallRemovals: a file and a project that go upstream go here, silently.
func TestSmallRemovals(t *testing.T) {
	t.Parallel()
	b, up, projects := mirrored(t, 30)
	newer, err := up.Index.AddWheel(upstreamtest.Wheel{Name: "hut-7", Version: "1.1"})
	must(t, err)
	b.synced()
	if got := len(b.holdings("hut-7")); got != 4 {
		t.Fatalf("%d blobs of hut-7 are here, want both wheels with their metadata", got)
	}
	must(t, up.Index.RemoveFile("hut-7", wheelOf("hut-7")))
	must(t, up.Index.RemoveProject("hut-8"))
	summary, err := b.sync()
	// A project that is selected and not there is something to be told of.
	if !errors.Is(err, app.ErrIncomplete) || summary.Removed != 2 || summary.HeldBack != 0 {
		t.Errorf("the sync has ended with %+v, %v", summary, err)
	}
	if got := b.page("hut-7").names; !slices.Equal(got, []string{newer}) {
		t.Errorf("the page of hut-7 lists %v", got)
	}
	if got := slices.Sorted(maps.Keys(b.holdings("hut-7"))); !slices.Equal(got, []string{newer, newer + ".metadata"}) {
		t.Errorf("of hut-7 there are here %v", got)
	}
	if p := b.page("hut-8"); p.status != 404 || len(b.holdings("hut-8")) > 0 || slices.Contains(b.names(), "hut-8") {
		t.Errorf("hut-8 was removed; its page is %v, here are %v", p, b.holdings("hut-8"))
	}
	if got := b.problems(); len(got) != 1 || got[0].Project != "hut-8" || got[0].Cause != "gone" || got[0].NextTry.IsZero() {
		t.Errorf("the status names\n%s", got)
	}
	for _, project := range projects {
		if project != "hut-7" && project != "hut-8" && len(b.holdings(project)) != 2 {
			t.Errorf("of %s there are here %v", project, b.holdings(project))
		}
	}
	b.sound()
}

// TestNextBest: where the upstream takes away what was the best, the same sync
// brings what is the best then.
func TestNextBest(t *testing.T) {
	t.Parallel()
	index, projects := village(t, 12)
	newer, err := index.AddWheel(upstreamtest.Wheel{Name: "hut-7", Version: "1.1"})
	must(t, err)
	up := upstream(t, index)
	b := open(t, settings(t, up, projects...))
	b.synced()
	if here := b.holdings("hut-7"); here[newer] == "" || here[wheelOf("hut-7")] != "" {
		t.Fatalf("at first there are here %v", here)
	}
	must(t, index.RemoveFile("hut-7", newer))
	if summary := b.synced(); summary.Removed != 1 || summary.Files != 1 {
		t.Errorf("the sync has ended with %+v", summary)
	}
	if here := b.holdings("hut-7"); here[newer] != "" || here[wheelOf("hut-7")] == "" {
		t.Errorf("here are %v", here)
	}
	b.sound()
}

// TestYankAndBack: a yank is a mark on the page, and goes as it came.
func TestYankAndBack(t *testing.T) {
	t.Parallel()
	b, up, _ := mirrored(t, 3)
	files := len(up.Requests().On(upstreamtest.OnFile("*")))
	for _, step := range []struct {
		change func() error
		want   any
	}{
		{func() error { return up.Index.Yank("hut-1", wheelOf("hut-1"), "it leaks <b>") }, "it leaks <b>"},
		{func() error { return up.Index.Unyank("hut-1", wheelOf("hut-1")) }, nil},
		{func() error { return up.Index.Yank("hut-1", wheelOf("hut-1"), "") }, true},
	} {
		must(t, step.change())
		b.synced()
		f := b.page("hut-1").file(wheelOf("hut-1"))
		if f.name == "" || f.yanked != step.want && !(step.want == nil && f.yanked == false) {
			t.Errorf("yanked is %v, want %v: %+v", f.yanked, step.want, f)
		}
		if a := b.get(f.url); !a.whole() || digestOf(a.body) != truth(up.Index, wheelOf("hut-1")) {
			t.Errorf("a yanked file is still given out: %v", a)
		}
		b.sound()
	}
	if got := len(up.Requests().On(upstreamtest.OnFile("*"))); got != files {
		t.Errorf("%d files were fetched again", got-files)
	}
}

// TestQuarantineAndBack: a project in quarantine offers and gives out nothing,
// and comes back without a byte over the line.
func TestQuarantineAndBack(t *testing.T) {
	t.Parallel()
	b, up, _ := mirrored(t, 12)
	f := b.page("hut-1").file(wheelOf("hut-1"))
	before := b.holdings("hut-1")
	files := len(up.Requests().On(upstreamtest.OnFile("*")))

	must(t, up.Index.SetStatus("hut-1", pypi.StatusQuarantined, "malware"))
	if _, err := b.sync(); err != nil {
		t.Errorf("the sync has ended with %v", err)
	}
	for _, p := range []page{b.page("hut-1"), b.html("hut-1")} {
		if !p.whole() || len(p.names) > 0 || p.state != pypi.StatusQuarantined {
			t.Errorf("the page is %v, %q with %v", p, p.state, p.names)
		}
	}
	for _, address := range []string{f.url, f.url + ".metadata"} {
		if a := b.get(address); a.status != 404 {
			t.Errorf("%s is given out: %v", address, a)
		}
	}
	if got := b.problems(); len(got) != 1 || !strings.Contains(got[0].Reason, "quarantine") {
		t.Errorf("the status names\n%s", got)
	}
	b.sound()

	must(t, up.Index.SetStatus("hut-1", pypi.StatusArchived, ""))
	b.synced()
	p := b.page("hut-1")
	if p.state != pypi.StatusArchived || !slices.Equal(p.names, []string{wheelOf("hut-1")}) {
		t.Errorf("the page is %v, %q with %v", p, p.state, p.names)
	}
	if a := b.get(f.url); !a.whole() || !maps.Equal(before, b.holdings("hut-1")) {
		t.Errorf("after quarantine the file is %v, here are %v", a, b.holdings("hut-1"))
	}
	if got := len(up.Requests().On(upstreamtest.OnFile("*"))); got != files {
		t.Errorf("%d files were fetched again", got-files)
	}
	b.sound()
}

// TestGuard: more than a tenth goes upstream. Everything but that is followed,
// nothing is removed, until a person says so.
func TestGuard(t *testing.T) {
	t.Parallel()
	b, up, projects := mirrored(t, 30)
	before := b.all(projects)
	must(t, up.Index.RemoveFile("hut-0", wheelOf("hut-0")))
	for _, project := range projects[1:5] {
		must(t, up.Index.RemoveProject(project))
	}
	fresh, err := up.Index.AddWheel(upstreamtest.Wheel{Name: "hut-20", Version: "2.0"})
	must(t, err)
	for range 2 { // it does not give in
		summary, err := b.sync()
		if !errors.Is(err, syncer.ErrGuard) || !strings.Contains(err.Error(), "--accept-removals") || summary.HeldBack != 5 || summary.Removed != 0 {
			t.Errorf("the sync has ended with %+v, %v", summary, err)
		}
		after := b.all(projects)
		if after[fresh] == "" {
			t.Error("what the upstream added did not arrive")
		}
		for label := range before {
			if after[label] == "" {
				t.Errorf("%s was removed", label)
			}
		}
		for _, project := range projects[:5] {
			p := b.page(project)
			if !slices.Equal(p.names, []string{wheelOf(project)}) {
				t.Errorf("the page of %s is %v with %v", project, p, p.names)
				continue
			}
			if a := b.get(p.files[0].url); !a.whole() {
				t.Errorf("the file of %s: %v", project, a)
			}
			if got := b.problems().of(project); len(got) == 0 || !strings.Contains(got[0].Reason, keptBack) {
				t.Errorf("the status names of %s\n%s", project, got)
			}
		}
		b.sound()
	}
	summary, err := b.sync(app.SyncOptions{AcceptRemovals: true})
	if !errors.Is(err, app.ErrIncomplete) || summary.Removed != 5 {
		t.Errorf("the sync that follows has ended with %+v, %v", summary, err)
	}
	for _, project := range projects[:5] {
		if here := b.holdings(project); len(here) > 0 {
			t.Errorf("of %s there are here %v", project, here)
		}
	}
	b.sound()
}

// TestEverythingGone: an upstream that says of every project that it is empty,
// or not there, takes nothing away, whether it is asked by a pass or by clients.
func TestEverythingGone(t *testing.T) {
	t.Parallel()
	for _, lie := range []upstreamtest.Lie{upstreamtest.EmptyPage(), upstreamtest.Status(404, "")} {
		for _, feed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, with a feed %t", lie.Name, feed), func(t *testing.T) {
				if testing.Short() && feed {
					t.Skip("one of them is enough to be quick")
				}
				b, up, projects := mirrored(t, 30, func(s *upstreamtest.Server) { s.Dialect.NoFeed, s.Dialect.NoSerials = !feed, !feed })
				before := b.all(projects)
				up.Tell(upstreamtest.OnPage("*"), lie, 0)
				// As long as the feed tells of no change, a pass does not ask.
				if _, err := b.sync(); errors.Is(err, syncer.ErrGuard) == feed {
					t.Errorf("the sync has ended with %v", err)
				}
				for _, project := range projects {
					p := b.page(project)
					if !slices.Equal(p.names, []string{wheelOf(project)}) {
						t.Errorf("the page of %s is %v with %v", project, p, p.names)
					}
				}
				if _, err := b.sync(); !errors.Is(err, syncer.ErrGuard) {
					t.Errorf("after clients have asked, the sync has ended with %v", err)
				}
				if after := b.all(projects); !maps.Equal(before, after) {
					t.Errorf("%d of %d blobs are left", len(after), len(before))
				}
				b.sound()
				up.Truth()
				b.synced()
				if left := b.problems(); len(left) > 0 || !maps.Equal(before, b.all(projects)) {
					t.Errorf("after the lie has ended:\n%s", left)
				}
			})
		}
	}
}

// TestOtherBytesUnderOneName: names on an index are for ever. Ours is kept and
// given out, and the status says so.
func TestOtherBytesUnderOneName(t *testing.T) {
	t.Parallel()
	b, up, projects := mirrored(t, 3)
	before := b.all(projects)
	other, err := upstreamtest.Wheel{Name: "hut-1", Version: "1.0", Payload: 5000, Seed: 99}.Build()
	must(t, err)
	must(t, up.Index.ReplaceFile("hut-1", wheelOf("hut-1"), other, upstreamtest.Facts{}))
	b.synced()
	if after := b.all(projects); !maps.Equal(before, after) {
		t.Errorf("here are %v, were %v", after, before)
	}
	f := b.page("hut-1").file(wheelOf("hut-1"))
	if a := b.get(f.url); f.sha256 != before[wheelOf("hut-1")] || digestOf(a.body) != f.sha256 {
		t.Errorf("given out is %v under %s", a, f.sha256)
	}
	got := b.problems()
	if len(got) != 1 || got[0].File != wheelOf("hut-1") || !strings.Contains(got[0].Reason, "ours is kept") || !strings.Contains(got[0].Reason, digestOf(other)) {
		t.Errorf("the status names\n%s", got)
	}
	b.sound()
}

package hardship

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
	"cheeseboard/syncer/wire"
)

// manyChanges is how many rows the feed grows by while the box is away.
const manyChanges = 100_000

// follows compares the pages that are stored with those of the upstream.
func (b *box) follows(x *upstreamtest.Index, projects []string) {
	b.Helper()
	wrong := 0
	for _, project := range projects {
		var here []string
		page, known, err := b.Store.Project(pypi.Name(project))
		must(b, err)
		if known {
			for i := range page.Files {
				here = append(here, page.Files[i].Filename)
			}
		}
		there := slices.Sorted(slices.Values(x.Filenames(project)))
		if slices.Sort(here); !slices.Equal(here, there) {
			if wrong++; wrong < 5 {
				b.Errorf("%s lists %q, the upstream %q", project, here, there)
			}
		}
	}
	if wrong > 0 {
		b.Errorf("%d of %d pages are not the upstream's", wrong, len(projects))
	}
}

// syncedButForGone makes a pass that may miss what the upstream no longer has, and
// nothing else.
func (b *box) syncedButForGone() {
	b.Helper()
	if _, err := b.sync(); err != nil && !errors.Is(err, app.ErrIncomplete) {
		b.Fatalf("sync: %v", err)
	}
	for _, p := range b.problems() {
		if p.Cause != wire.Gone {
			b.Errorf("%s: %s", p.Project, p.Reason)
		}
	}
}

// TestManyChanges is away for 100,000 changes, of which a few hundred matter, and
// comes back to a feed that is cut in the middle, repeats itself, whose times run
// backwards, and that gives some of its rows late, behind higher serials. In the
// end nothing is lost, and what follows costs next to nothing.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	changes := manyChanges
	if testing.Short() {
		changes /= 10
	}
	index := upstreamtest.NewIndex()
	var projects []string
	for i := range 150 {
		_, err := index.AddWheel(upstreamtest.Wheel{Name: fmt.Sprintf("Hut.%d", i), Version: "1.0"})
		must(t, err)
		projects = append(projects, fmt.Sprintf("hut-%d", i))
	}
	up := upstream(t, index)
	c := unhurried(t, up, projects...) // to list so many changes takes a busy machine its time
	c.Sync.RemovalGuard = 0.9
	b := open(t, c)
	b.synced()
	b.follows(index, projects)

	away(t, index, changes)
	var told []*upstreamtest.Told
	since := upstreamtest.OnFeed("changelog_since_serial")
	for lie, times := range map[string]int{"backwards": 0, "replay:1000": 0, "late:2": 0, "cut:150000": 2, "status:502": 1} {
		l, err := upstreamtest.ParseLie(lie)
		must(t, err)
		told = append(told, up.Tell(since, l, times))
	}
	up.Forget()
	b.syncedButForGone() // the feed fails once: then every page is asked for
	b.syncedButForGone()
	calls := up.Requests().On(since)
	t.Logf("%d changes: %d calls, %d bytes", changes, len(calls), calls.Body())
	for _, l := range told {
		if l.Count() == 0 {
			t.Errorf("%+v was never told", l)
		}
	}
	up.Truth()
	b.syncedButForGone()
	b.follows(index, projects)
	b.sound()
	b.close()
	b = open(t, c)
	for range 2 {
		up.Forget()
		// As the schedule makes it: whoever asks by hand has also those asked for again
		// that are gone.
		_, err := b.Engine.Sync(timeout(t), syncer.SyncOptions{})
		must(t, err)
		requests := up.Requests()
		t.Logf("nothing new: %d requests, %d bytes", len(requests), requests.Body())
		if len(requests) > 3 || requests.Body() > 20_000 {
			t.Errorf("nothing new costs %d requests and %d bytes: %v", len(requests), requests.Body(), requests.Paths())
		}
	}
	b.follows(index, projects)
}

// away changes an index in so many steps: most are of projects that nobody here
// wants.
func away(t *testing.T, x *upstreamtest.Index, changes int) {
	t.Helper()
	const each = 250 // one in so many steps matters
	for i := range changes {
		if i%each != each-1 {
			must(t, x.AddProject(fmt.Sprintf("Shed_%d", i)))
			continue
		}
		k := i / each
		name := fmt.Sprintf("hut-%d", k%150)
		var err error
		switch k % 6 {
		case 0, 1:
			_, err = x.AddWheel(upstreamtest.Wheel{Name: name, Version: fmt.Sprintf("2.%d", k)})
		case 2:
			err = x.SetStatus(name, "archived", "")
		case 3: // it is removed, and comes again under another spelling
			if err = x.RemoveProject(name); err == nil {
				_, err = x.AddWheel(upstreamtest.Wheel{Name: fmt.Sprintf("HUT_%d", k%150), Version: fmt.Sprintf("3.%d", k)})
			}
		case 4:
			if files := x.Filenames(name); len(files) > 1 {
				err = x.RemoveFile(name, files[0])
			}
		case 5: // some go for good
			if k%30 == 5 && len(x.Filenames(name)) > 0 {
				err = x.RemoveProject(name)
			}
		}
		must(t, err)
	}
}

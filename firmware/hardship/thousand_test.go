package hardship

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// TestOneBadAmongAThousand: of a thousand projects one can never be had, from the
// first sync on and then in other ways. The 999 others are there, what is new of
// them arrives, the feed is followed to its end, the status names the one, and
// another pass costs next to nothing.
func TestOneBadAmongAThousand(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a thousand are not quick")
	}
	const bad = "hut-500"
	index := upstreamtest.NewIndex()
	var projects []string
	for i := range 1000 {
		projects = append(projects, fmt.Sprintf("hut-%d", i))
		_, err := index.AddWheel(upstreamtest.Wheel{Name: projects[i], Version: "1.0"})
		must(t, err)
	}
	up := upstream(t, index, func(s *upstreamtest.Server) { s.Dialect.NoMetadata = true })
	c := settings(t, up, projects...)
	c.Upstream.StallTimeout = silence
	c.Sync.Connections = 16
	b := open(t, c)
	m := &multitude{box: b, up: up, bad: bad, projects: projects, version: "1.0"}
	m.pass("page:"+bad, "status:500", "broken", false)
	for i, way := range []struct {
		about, lie, cause string
		file              bool
	}{
		{"page:" + bad, "stale:1", "lie", false},
		{"file:" + bad, "flip:100", "lie", true},
		{"page:" + bad, "never-answer", "stalled", false},
		{"page:" + bad, "garbage", "lie", false},
	} {
		// Of twenty projects there is something new, the bad one among them.
		m.version = fmt.Sprintf("%d.0", i+2)
		m.fresh = nil
		for n := range 20 {
			name := projects[(500+n*37)%1000]
			_, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: m.version})
			must(t, err)
			m.fresh = append(m.fresh, name)
		}
		m.pass(way.about, way.lie, way.cause, way.file)
	}
}

// multitude is a box with very many projects, of which one is bad.
type multitude struct {
	*box
	up       *upstreamtest.Server
	bad      string
	projects []string
	fresh    []string // those of which there is a new release
	version  string
}

func (m *multitude) wheel(project, version string) string {
	return strings.ReplaceAll(project, "-", "_") + "-" + version + "-py3-none-any.whl"
}

// pass tells a lie about the bad project for ever, makes a pass and another one,
// and then has the upstream mended.
func (m *multitude) pass(about, lie, cause string, file bool) {
	m.Helper()
	_, err := m.up.TellText(about + " " + lie)
	must(m, err)
	begun := time.Now()
	summary, err := m.sync()
	took := time.Since(begun)
	if !errors.Is(err, app.ErrIncomplete) || summary.Failed != 1 {
		m.Errorf("%s %s: the sync has ended with %+v, %v", about, lie, summary, err)
	}
	fresh := m.fresh
	if fresh == nil {
		fresh = m.projects
	}
	missing := 0
	for _, project := range fresh {
		refs := m.holdings(project)
		if here := refs[m.wheel(project, m.version)] != ""; here == (project == m.bad) {
			missing++
		}
	}
	if missing > 0 {
		m.Errorf("%s %s: of %d projects %d are not as they should be", about, lie, len(fresh), missing)
	}
	m.named(about+" "+lie, cause, file)
	next := m.problems()[0].NextTry
	requests, received := m.again(syncer.SyncOptions{})
	tries, bytes := 0, int64(0)
	if time.Now().After(next) { // on a slow machine it was due
		tries, bytes = 3, 10_000
	}
	asked, more := m.again(syncer.SyncOptions{Now: true})
	// Two calls to the feed, and one for a page of which a file was wrong; where a
	// person wants it, the bad one's tries.
	if requests > 3+tries || received > 25_000+bytes || asked > 3+3 || more > 35_000 {
		m.Errorf("%s %s: the next pass has made %d requests for %d bytes, one by a person %d for %d", about, lie, requests, received, asked, more)
	}
	m.named(about+" "+lie, cause, file)
	m.Logf("%-30s the pass took %6v; the next one made %d requests and brought %d bytes, one by a person %d and %d",
		about+" "+lie, took.Round(10*time.Millisecond), requests, received, asked, more)
	m.up.Truth()
	m.synced()
	if left := m.problems(); len(left) > 0 || m.holdings(m.bad)[m.wheel(m.bad, m.version)] == "" {
		m.Errorf("%s %s: after it was mended, here is %v, and problems are left:\n%s", about, lie, m.holdings(m.bad), left)
	}
}

// named checks that the status names the bad project and nothing else.
func (m *multitude) named(what, cause string, file bool) {
	m.Helper()
	all := m.problems()
	label := ""
	if file {
		label = m.wheel(m.bad, m.version)
	}
	if len(all) != 1 || string(all[0].Project) != m.bad || all[0].File != label || string(all[0].Cause) != cause || all[0].Reason == "" || all[0].NextTry.IsZero() {
		m.Errorf("%s: the status names\n%s", what, all)
	}
}

// again makes another pass and counts what it costs. The feed must have been read
// to its end.
func (m *multitude) again(o syncer.SyncOptions) (requests int, received int64) {
	m.Helper()
	before := len(m.up.Requests())
	summary, err := m.Engine.Sync(timeout(m), o)
	must(m, err)
	all := m.up.Requests()[before:]
	// The window of serials that are read again ends at the last one.
	window := fmt.Sprintf("changelog_since_serial %d", m.up.Index.Serial()-2000)
	for _, call := range all.On(upstreamtest.OnFeed("*")).Calls() {
		if call != "changelog_last_serial" && call != window {
			m.Errorf("the feed was not followed to its end: %s, want %s", call, window)
		}
	}
	return len(all), summary.Received
}

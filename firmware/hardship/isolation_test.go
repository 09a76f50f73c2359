package hardship

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer/upstreamtest"
)

// village is an index of small projects "hut-0" to "hut-n".
func village(t testing.TB, n int) (*upstreamtest.Index, []string) {
	t.Helper()
	index := upstreamtest.NewIndex()
	var projects []string
	for i := range n {
		name := fmt.Sprintf("hut-%d", i)
		_, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: "1.0", Payload: 1000 * i})
		must(t, err)
		projects = append(projects, name)
	}
	return index, projects
}

// TestOneBadProject: of sixty projects one can never be had. The others arrive, and
// the one is not tried for ever; the status names the one, why, and when it is tried again.
func TestOneBadProject(t *testing.T) {
	t.Parallel()
	const bad = "hut-30"
	wheel := "hut_30-1.0-py3-none-any.whl"
	var running sync.WaitGroup // they wait more than they work
	defer running.Wait()
	for _, c := range []struct {
		name   string
		target upstreamtest.Target
		lie    upstreamtest.Lie
		file   string // that the status names; "" for the page
		cause  string
	}{
		{"500", upstreamtest.OnPage(bad), upstreamtest.Status(500, ""), "", "broken"},
		{"silence", upstreamtest.OnPage(bad), upstreamtest.NeverAnswer(), "", "stalled"},
		{"garbage", upstreamtest.OnPage(bad), upstreamtest.Garbage(), "", "lie"},
		{"hangs up", upstreamtest.OnPage(bad), upstreamtest.HangUp(), "", "cut"},
		{"a file that stalls", upstreamtest.OnFile(bad), upstreamtest.NeverAnswer(), wheel, "stalled"},
		{"a file of wrong bytes", upstreamtest.OnFile(bad), upstreamtest.FlipByte(100), wheel, "lie"},
	} {
		running.Go(func() {
			t.Run(c.name, func(t *testing.T) {
				if testing.Short() && c.name != "500" {
					t.Skip("one of them is enough to be quick")
				}
				index, projects := village(t, 60)
				up := upstream(t, index, func(s *upstreamtest.Server) { s.Dialect.NoMetadata = true })
				up.Tell(c.target, c.lie, 0)
				settings := settings(t, up, projects...)
				settings.Sync.Connections = 4
				if c.cause == "stalled" {
					settings.Upstream.StallTimeout = silence
				}
				b := open(t, settings)
				begun := time.Now()
				summary, err := b.sync()
				if !errors.Is(err, app.ErrIncomplete) || summary.Failed != 1 || summary.Projects != 60 {
					t.Errorf("the sync has ended with %+v, %v", summary, err)
				}
				// net/http asks again by itself where a kept connection turns out to be dead.
				if tries := len(up.Requests().On(c.target)); tries > 40 {
					t.Errorf("the bad one was asked for %d times", tries)
				}
				for _, project := range projects {
					_, here := b.holdings(project)[strings.ReplaceAll(project, "-", "_")+"-1.0-py3-none-any.whl"]
					if here != (project != bad) {
						t.Errorf("%s: here is %t", project, here)
					}
				}
				all := b.problems()
				if len(all) != 1 || all[0].Project != bad || all[0].File != c.file || string(all[0].Cause) != c.cause ||
					all[0].Reason == "" || !all[0].NextTry.After(begun) {
					t.Errorf("the status names\n%s", all)
				}
				b.sound()
				up.Truth()
				b.synced()
				if left := b.problems(); len(left) > 0 || len(b.holdings(bad)) != 1 {
					t.Errorf("after the upstream mended it, %v is here, and problems are left:\n%s", b.holdings(bad), left)
				}
			})
		})
	}
}

// TestClientsOfOthers: while one project's file never comes, clients that ask
// for other projects get them, at the latest when they come back as they are
// told: silence may be the line's, until a probe has found that it is not.
func TestClientsOfOthers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("its clients wait, as they are told to")
	}
	index, projects := village(t, 8)
	up := upstream(t, index)
	bad := projects[0]
	told := up.Tell(upstreamtest.OnFile(bad), upstreamtest.NeverAnswer(), 0)
	c := settings(t, up, bad)
	c.Upstream.StallTimeout = silence
	b := serve(t, c)
	<-told.Reached()
	for _, project := range projects[1:] {
		p := b.patiently(func() page { return b.page(project) })
		if !p.whole() || !slices.Equal(p.names, index.Filenames(project)) {
			t.Errorf("%s: %v %s", project, p, p.body)
			continue
		}
		a := b.patiently(func() page { return page{answer: b.get(p.files[0].url)} })
		if !a.whole() {
			t.Errorf("%s: %v %s", project, a, a.body)
		}
		if tries := told.Count(); tries < 3 { // one by one, so that they fall into several silences
			must(t, up.Wait(timeout(t), func(upstreamtest.Requests) bool { return told.Count() > tries }))
		}
	}
}

// patiently asks again after the time that a 503 names, five times, as pip does.
func (b *box) patiently(ask func() page) page {
	b.Helper()
	for tries := 0; ; tries++ {
		p := ask()
		seconds, err := strconv.Atoi(p.header.Get("Retry-After"))
		if p.status != http.StatusServiceUnavailable || err != nil || tries == 5 {
			return p
		}
		<-time.After(time.Duration(seconds) * time.Second)
	}
}

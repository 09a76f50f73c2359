package hardship

import (
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// feedTrials are the lies about the change feed, and whether a new release
// arrives in spite of them with the next pass.
var feedTrials = []struct {
	lie     string
	arrives bool
}{
	{"fault:-32500", true}, // too many requests: every page is asked for
	{"fault:1", true},
	{"replay:1000", true},
	{"backwards", true},
	{"gap:1", false},  // the rows that would tell of it are left out
	{"late:1", false}, // they come when the lie has ended
	{"never-answer", true},
	{"login-page", true},
	{"cut:50", true},
	{"garbage", true},
	{"status:500", true},
}

// TestFeedLies: a feed that lies can hide a change for as long as it does, and no
// longer. A client that asks for the page sees it at once.
func TestFeedLies(t *testing.T) {
	t.Parallel()
	for i, row := range feedTrials {
		if testing.Short() && i%4 > 0 {
			continue
		}
		t.Run(row.lie, func(t *testing.T) {
			index, projects := village(t, 3)
			up := upstream(t, index)
			c := settings(t, up, projects...)
			c.Upstream.StallTimeout = silence
			b := open(t, c)
			b.synced()
			newer, err := index.AddWheel(upstreamtest.Wheel{Name: "hut-1", Version: "2.0"})
			must(t, err)
			lie, err := upstreamtest.ParseLie(row.lie)
			must(t, err)
			told := up.Tell(upstreamtest.OnFeed("*"), lie, 0)
			b.synced()
			if _, here := b.holdings("hut-1")[newer]; here != row.arrives {
				t.Errorf("the new release is here: %t", here)
			}
			if told.Count() == 0 {
				t.Error("the lie was never told")
			}
			b.sound()
			up.Truth()
			b.synced()
			if _, here := b.holdings("hut-1")[newer]; !here || len(b.problems()) > 0 {
				t.Errorf("after the lie has ended it is here: %t, and problems are left:\n%s", here, b.problems())
			}
			b.honest(index, "hut-1")
		})
	}
}

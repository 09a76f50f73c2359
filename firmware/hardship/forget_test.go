package hardship

import (
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// TestFailureOfOtherBytes: what a page stated wrongly of a file that a client asked
// for is forgotten when the page states something else.
func TestFailureOfOtherBytes(t *testing.T) {
	t.Parallel()
	index := upstreamtest.NewIndex()
	name, err := index.AddWheel(upstreamtest.Wheel{Name: "brie", Version: "1.0", Payload: 10_000}) // small: a client waits until it is judged
	must(t, err)
	content, _ := index.Content(name)
	up := upstream(t, index)
	up.Tell(upstreamtest.OnPage("brie"), upstreamtest.WrongHashes(), 0)
	b := open(t, settings(t, up))
	f := b.page("brie").file(name)
	if a := b.get(f.url); a.whole() {
		t.Errorf("under a wrong digest: %v", a)
	}
	if got := b.problems(); len(got) != 1 || got[0].File != name {
		t.Errorf("the status names\n%s", got)
	}
	up.Truth()
	if f = b.page("brie").file(name); f.sha256 != digestOf(content) {
		t.Fatalf("the page states %s", f.sha256)
	}
	if left := b.problems(); len(left) > 0 {
		t.Errorf("after the page is another, the status names\n%s", left)
	}
}

package hardship

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/plan"
	"cheeseboard/syncer/upstreamtest"
)

// beyond is more than 32 bits can count.
const beyond int64 = 5 << 30

// TestFiveGigabytes follows the size of a file that is larger than 4 GiB through
// the plan, the download, the status and what a client is told. The file is not
// brought: after a megabyte the upstream falls silent.
func TestFiveGigabytes(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	size := int64(len(content)) + beyond
	up := upstream(t, index)
	up.Tell(upstreamtest.OnPage("brie"), upstreamtest.WrongSizes(beyond), 0)
	up.Tell(upstreamtest.OnFile(name), upstreamtest.WithoutLength(), 0)
	told := up.Tell(upstreamtest.OnFile(name), upstreamtest.StallAfter(1_000_000), 0)
	c := unhurried(t, up, "brie")
	if free, err := durable.Free(t.TempDir()); err != nil || free < 2*beyond {
		t.Skipf("the disk has no room for such a file: %d bytes are free (%v)", free, err)
	}

	// Above sync.max-file-size it is named and left alone.
	b := open(t, c)
	b.synced()
	if got := b.problems(); len(got) != 1 || got[0].Reason != name+" is larger than sync.max-file-size" {
		t.Errorf("the status names\n%s", got)
	}
	b.close()

	c.Sync.MaxFileSize = 1 << 40
	b = open(t, c)
	ended := make(chan error, 1)
	go func() { ended <- b.Sync(timeout(t), app.SyncOptions{}, func(app.Event) {}) }()
	<-told.Reached()
	f := b.page("brie").file(name)
	if f.size != size {
		t.Errorf("the page states %d bytes, want %d", f.size, size)
	}
	resp, err := b.ask(timeout(t), f.url, "Range", "bytes=100-")
	must(t, err)
	if resp.StatusCode != http.StatusPartialContent || resp.ContentLength != size-100 {
		t.Errorf("a client is told %d, %d bytes, %s", resp.StatusCode, resp.ContentLength, resp.Header.Get("Content-Range"))
	}
	part := make([]byte, 900_000)
	_, err = io.ReadFull(resp.Body, part)
	must(t, err)
	must(t, resp.Body.Close())
	if string(part) != string(content[100:100+len(part)]) {
		t.Error("a client gets other bytes")
	}
	s, err := b.Status()
	must(t, err)
	raw, err := json.Marshal(s)
	must(t, err)
	var read app.Status
	must(t, json.Unmarshal(raw, &read))
	if p := read.Sync.Progress; p.Bytes != size || p.BytesDone < int64(len(part)) || p.BytesDone >= size {
		t.Errorf("the progress is %d of %d bytes, want %d", p.BytesDone, p.Bytes, size)
	}
	// Its metadata may be on their way beside it.
	at := slices.IndexFunc(read.Partials, func(w app.Partial) bool { return w.Size == size })
	if at < 0 || read.Partials[at].Have < int64(len(part)) {
		t.Errorf("the partials are %+v", read.Partials)
	}
	b.close() // under the sync, which it ends
	if err := <-ended; err == nil {
		t.Error("a sync whose box was closed has ended well")
	}
}

// TestPlanOfFiveGigabytes: what is chosen keeps its size, whatever an int has.
func TestPlanOfFiveGigabytes(t *testing.T) {
	targets, err := plan.NewTargets([]string{"3.12"}, []string{plan.Any})
	must(t, err)
	digest := digestOf([]byte("x"))
	page := &pypi.Project{Name: "brie", Files: []pypi.File{{
		Filename: "brie-1.0-py3-none-any.whl", Size: beyond, Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: digest}},
	}}}
	want, err := pypi.ParseRequirement("brie")
	must(t, err)
	for limit, chosen := range map[int64]int{0: 1, beyond: 1, beyond - 1: 0, beyond & 0xffffffff: 0} {
		got := plan.Choose(page, []pypi.Requirement{want}, plan.Policy{Targets: targets, MaxFileSize: limit})
		if len(got.Choices) != chosen || chosen == 1 && got.Choices[0].File.Size != beyond {
			t.Errorf("with the limit %d: %+v", limit, got)
		}
	}
}

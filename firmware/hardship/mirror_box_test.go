package hardship

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/mirror"
	"cheeseboard/syncer/upstreamtest"
)

// TestMetadataFromMirror: core metadata come the same way.
func TestMetadataFromMirror(t *testing.T) {
	t.Parallel()
	index, name, _ := wheelhouse(t)
	up, other := upstream(t, index), upstream(t, index)
	up.Tell(upstreamtest.OnMetadata(name), upstreamtest.Status(404, ""), 0)
	s := settings(t, up, "brie")
	s.Upstream.Mirrors = []string{other.IndexURL()}
	b := open(t, s)
	b.synced()
	b.honest(index, "brie")
	if here := b.holdings("brie"); len(here) != 2 || len(other.Requests().On(upstreamtest.OnMetadata(name))) != 1 {
		t.Errorf("here is %v", here)
	}
	if f := b.page("brie").file(name); f.metadata == "" {
		t.Error("its metadata are not offered")
	}
	if got := other.Requests().On(upstreamtest.OnFile(name)); len(got) > 0 {
		t.Errorf("the mirror was asked for the wheel too: %q", got.Ranges())
	}
}

// TestClientSeesNoChange: a client that is given a file while it arrives does not
// notice that another goes on sending it.
func TestClientSeesNoChange(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	up, other := upstream(t, index), upstream(t, index)
	stalled := up.Tell(upstreamtest.OnFile(name), upstreamtest.StallAfter(cutOff), 0)
	up.Tell(upstreamtest.OnFile(name), upstreamtest.StopAt(cutOff), 0)
	s := settings(t, up)
	s.Upstream.Mirrors = []string{other.IndexURL()}
	b := open(t, s)
	f := b.page("brie").file(name)
	resp, err := b.ask(timeout(t), f.url)
	must(t, err)
	head := make([]byte, cutOff-200_000)
	_, err = io.ReadFull(resp.Body, head)
	must(t, err)
	stalled.Release()
	rest, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK || !bytes.Equal(append(head, rest...), content) {
		t.Errorf("status %d, %d bytes", resp.StatusCode, len(head)+len(rest))
	}
	if got := other.Requests().On(upstreamtest.OnFile(name)); len(got) != 1 || got[0].Range != fmt.Sprintf("bytes=%d-", cutOff) {
		t.Errorf("the mirror was asked for %q", got.Ranges())
	}
}

// TestBoxAsMirror: a box whose host of files is dead gets its files from another
// box, which brings nothing in for it.
func TestBoxAsMirror(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	_, err := index.AddWheel(upstreamtest.Wheel{Name: "brie", Version: "2.0"})
	must(t, err)
	up := upstream(t, index)
	a := open(t, settings(t, up, "brie==1.0"))
	a.synced()

	up.Forget()
	up.Tell(upstreamtest.OnPage("*"), upstreamtest.FilesOn("http://127.0.0.1:9"), 0)
	second := settings(t, up, "brie==1.0")
	second.Upstream.Mirrors = []string{a.url + "/simple/"}
	b := open(t, second)
	b.synced()
	b.honest(index, "brie")
	if here := b.holdings("brie"); len(here) != 2 {
		t.Errorf("here is %v\n%s", here, b.problems())
	}
	if got := up.Requests().On(upstreamtest.OnFile("*")); len(got) > 0 {
		t.Errorf("the upstream was asked for files: %q", got.Paths())
	}
	if got := up.Requests().On(upstreamtest.OnPage("brie")); len(got) != 1 {
		t.Errorf("%d pages were asked for: the other box looked too", len(got))
	}
	st, err := b.Status()
	must(t, err)
	if s := st.Sync.Sources[0]; s.Address != a.url+"/simple/" || s.Delivered < int64(len(content)) {
		t.Errorf("of the box the status says %+v", s)
	}
	// It says what it has, and no more, to one that asks as a mirror's client.
	if p := a.page("brie", mirror.HereOnly, "1"); len(p.names) != 1 || p.names[0] != name {
		t.Errorf("it offers %q", p.names)
	}
	if p := a.page("roquefort", mirror.HereOnly, "1"); p.status != http.StatusNotFound {
		t.Errorf("of what it does not know it says %v", p.answer)
	}
	if got := up.Requests().On(upstreamtest.OnPage("roquefort")); len(got) > 0 {
		t.Error("it asked the upstream for that")
	}
}

// TestMirrorWhileDown: while the line is down, clients are offered what a mirror
// has, and get it; what it has not is answered at once, and the line is said to be
// down all the same. A dead mirror changes nothing.
func TestMirrorWhileDown(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	missing, err := index.AddWheel(upstreamtest.Wheel{Name: "brie", Version: "2.0", Payload: 200_000})
	must(t, err)
	up := upstream(t, index)
	small := upstreamtest.NewIndex()
	must(t, small.AddFile("brie", name, content, upstreamtest.Facts{}))
	other := upstream(t, small)
	s := settings(t, up)
	s.Upstream.Mirrors = []string{other.IndexURL()}
	s.Pull.Wait = config.Duration(8e9)
	b := open(t, s)
	listed := b.page("brie") // the page is known, and nothing of it is here
	if len(listed.names) != 2 {
		t.Fatalf("it offers %q", listed.names)
	}
	must(t, up.Kill())
	b.down()
	p := b.page("brie")
	if len(p.names) != 1 || p.names[0] != name {
		t.Errorf("it offers %q, want what the mirror has", p.names)
	}
	if a := b.get(p.file(name).url); !a.whole() || !bytes.Equal(a.body, content) {
		t.Errorf("of the file it gives %v: %s", a, a.body[:min(200, len(a.body))])
	}
	if a := b.get(listed.file(missing).url); a.status != http.StatusNotFound && a.status != http.StatusServiceUnavailable {
		t.Errorf("of what nobody has it gives %v", a)
	}
	st, err := b.Status()
	must(t, err)
	if l := st.Sync.Line; l.Up || !strings.Contains(l.Sentence, "cannot be reached") || !strings.Contains(l.Sentence, "The mirror "+other.IndexURL()+" delivers files in its place.") {
		t.Errorf("of the line the status says %+v", l)
	}
	for _, p := range b.problems() {
		if p.File != "" {
			t.Errorf("it notes %s: %s", p.File, p.Reason)
		}
	}
	must(t, other.Kill())
	if a := b.get(listed.file(missing).url); a.whole() {
		t.Errorf("of what nobody has it gives %v", a)
	}
	b.sound()
}

// down lets the box find out that the line is.
func (b *box) down() {
	b.Helper()
	for b.Engine.Line.Up() {
		_ = b.Sync(timeout(b), app.SyncOptions{}, func(app.Event) {})
		b.page("brie")
		b.Engine.Line.Met(b.Engine.Prober.Ask(timeout(b)))
	}
}

// TestDeadMirrorIsNoOutage: a mirror that is dead, or lies, says nothing of the line.
func TestDeadMirrorIsNoOutage(t *testing.T) {
	t.Parallel()
	index, name, _ := wheelhouse(t)
	up, other := upstream(t, index), upstream(t, index)
	up.Tell(upstreamtest.OnFile(name), upstreamtest.Status(404, ""), 0)
	must(t, other.Kill())
	s := settings(t, up, "brie")
	s.Upstream.Mirrors = []string{other.IndexURL()}
	b := open(t, s)
	if _, err := b.sync(); err == nil {
		t.Error("a sync that lacks a file has ended well")
	}
	if v := b.Engine.Line.Verdict(); v.State != link.Well {
		t.Errorf("the line is %s: %s", v.State, v.Cause)
	}
	if got := b.problems().of("brie"); len(got) != 1 || got[0].Cause != "gone" {
		t.Errorf("it notes\n%s", got)
	}
}

// TestFilesHostDown: a box runs while its host of files is dead and a mirror
// delivers. It says both, and who lies is not blamed for the line.
func TestFilesHostDown(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	up, other := upstream(t, index), upstream(t, index)
	up.Tell(upstreamtest.OnPage("*"), upstreamtest.FilesOn("http://127.0.0.1:9"), 0)
	s := settings(t, up, "brie")
	s.Upstream.Mirrors = []string{other.IndexURL()}
	b := serve(t, s)
	ctx := timeout(t)
	for {
		changed := b.Engine.Line.Changed()
		if b.Engine.Line.Verdict().State == link.FilesDown {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the line is %s", b.Engine.Line.Verdict().State)
		}
	}
	b.Engine.WaitPass(ctx)
	sentence := b.Engine.Sentence()
	for _, want := range []string{"The files host 127.0.0.1:9 cannot be reached since ", "The mirror " + other.IndexURL() + " delivers files in its place."} {
		if !strings.Contains(sentence, want) {
			t.Errorf("it says %q, want %q in it", sentence, want)
		}
	}
	if a := b.get(b.page("brie").file(name).url); !a.whole() || !bytes.Equal(a.body, content) {
		t.Errorf("of the file it gives %v", a)
	}
	if got := b.problems(); len(got) > 0 {
		t.Errorf("it notes\n%s", got)
	}
}

// TestMirrorsOfOneAnother: two boxes that name one another do not wait for one
// another where neither has what is asked for.
func TestMirrorsOfOneAnother(t *testing.T) {
	t.Parallel()
	index, name, _ := wheelhouse(t)
	up := upstream(t, index)
	up.Tell(upstreamtest.OnPage("*"), upstreamtest.FilesOn("http://127.0.0.1:9"), 0)
	boxes := make([]*box, 2)
	fronts := make([]http.Handler, 2)
	var configs []app.Config
	for i := range boxes {
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fronts[i].ServeHTTP(w, r) }))
		t.Cleanup(front.Close)
		s := settings(t, up)
		s.Pull.Wait = config.Duration(8e9)
		s.Upstream.Mirrors = []string{front.URL + "/simple/"}
		configs = append(configs, s)
	}
	configs[0].Upstream, configs[1].Upstream = configs[1].Upstream, configs[0].Upstream
	for i := range boxes {
		boxes[i] = open(t, configs[i])
		fronts[i] = boxes[i].App.Handler()
	}
	var asking sync.WaitGroup
	for _, b := range boxes {
		asking.Go(func() {
			if a := b.get(b.page("brie").file(name).url); a.whole() {
				t.Errorf("of what nobody has it gives %v", a)
			}
		})
	}
	asking.Wait()
	for _, b := range boxes {
		st, err := b.Status()
		must(t, err)
		if s := st.Sync.Sources[0]; s.Failures > 0 || s.Delivered > 0 {
			t.Errorf("of the other box it says %+v", s)
		}
	}
}

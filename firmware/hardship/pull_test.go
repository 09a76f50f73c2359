package hardship

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstreamtest"
)

// wheelhouse is an index with one project, "brie", that has a wheel of 3 MB.
func wheelhouse(t testing.TB) (x *upstreamtest.Index, name string, content []byte) {
	t.Helper()
	x = upstreamtest.NewIndex()
	name, err := x.AddWheel(upstreamtest.Wheel{Name: "brie", Version: "1.0", Payload: 3_000_000})
	must(t, err)
	content, _ = x.Content(name)
	return x, name, content
}

// unhurried gives a stalling upstream time before it counts as silent.
func unhurried(t testing.TB, up *upstreamtest.Server, projects ...string) app.Config {
	t.Helper()
	c := settings(t, up, projects...)
	c.Upstream.StallTimeout = config.Duration(limit)
	return c
}

// TestOneDownload: however many ask, a file comes over the line once.
func TestOneDownload(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	up := upstream(t, index)
	up.SetBandwidth(4_000_000)
	b := open(t, settings(t, up))
	f := b.page("brie").file(name)
	var clients sync.WaitGroup
	for i := range 30 {
		clients.Go(func() {
			address := f.url
			want := digestOf(content)
			if i%3 == 0 {
				address, want = address+".metadata", f.metadata
			}
			if a := b.get(address); !a.whole() || digestOf(a.body) != want {
				t.Errorf("client %d: %v", i, a)
			}
		})
	}
	clients.Wait()
	if got := up.Requests().On(upstreamtest.OnFile("brie")); len(got) != 1 || got.Body() != int64(len(content)) {
		t.Errorf("the file was asked for %d times, %d bytes were sent", len(got), got.Body())
	}
	if got := up.Requests().On(upstreamtest.OnMetadata("brie")); len(got) != 1 {
		t.Errorf("its metadata was asked for %d times", len(got))
	}
	b.sound()
}

// TestResumeWhileArriving: a client that is cut off goes on where it stopped
// while the file is still arriving, and gets what it would get from the disk.
func TestResumeWhileArriving(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	up := upstream(t, index)
	told := up.Tell(upstreamtest.OnFile(name), upstreamtest.StallAfter(1_500_000), 1)
	b := open(t, unhurried(t, up))
	f := b.page("brie").file(name)
	first, err := b.ask(timeout(t), f.url)
	must(t, err)
	head := make([]byte, 200_000)
	_, err = io.ReadFull(first.Body, head)
	must(t, err)
	must(t, first.Body.Close())
	tag := first.Header.Get("ETag")
	if first.ContentLength != int64(len(content)) || tag != `"`+f.sha256+`"` {
		t.Errorf("while it arrives: length %d, ETag %s", first.ContentLength, tag)
	}
	// The upstream says nothing more: these see only what has arrived.
	for _, c := range []struct {
		condition string
		status    int
		from      int
	}{{tag, 206, 200_000}, {`"another"`, 200, 0}} {
		resp, err := b.ask(timeout(t), f.url, "Range", "bytes=200000-", "If-Range", c.condition)
		must(t, err)
		part := make([]byte, 300_000)
		_, err = io.ReadFull(resp.Body, part)
		must(t, err)
		if resp.StatusCode != c.status || !bytes.Equal(part, content[c.from:c.from+len(part)]) {
			t.Errorf("If-Range %s: status %d, %s", c.condition, resp.StatusCode, resp.Header.Get("Content-Range"))
		}
		must(t, resp.Body.Close())
	}
	// These wait for bytes that are still to come.
	var waiting sync.WaitGroup
	for _, span := range [][2]int{{200_000, len(content) - 1}, {2_500_000, 2_500_099}, {len(content) - 10, len(content) - 1}} {
		waiting.Go(func() {
			a := b.get(f.url, "Range", fmt.Sprintf("bytes=%d-%d", span[0], span[1]), "If-Range", tag)
			if a.status != 206 || !a.whole() || !bytes.Equal(a.body, content[span[0]:span[1]+1]) {
				t.Errorf("bytes %v: %v, %s", span, a, a.header.Get("Content-Range"))
			}
		})
	}
	told.Release()
	waiting.Wait()
	if a := b.get(f.url, "Range", fmt.Sprintf("bytes=%d-", len(content))); a.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("beyond the end: %v", a)
	}
	if got := up.Requests().On(upstreamtest.OnFile(name)); len(got) != 1 {
		t.Errorf("the upstream was asked %d times", len(got))
	}
}

// TestMismatchWhileStreaming: when the last byte turns out to be wrong, the
// client has not got it, and what it got does not look complete.
func TestMismatchWhileStreaming(t *testing.T) {
	t.Parallel()
	index, name, content := wheelhouse(t)
	up := upstream(t, index)
	up.Tell(upstreamtest.OnFile(name), upstreamtest.FlipByte(-1), 0)
	told := up.Tell(upstreamtest.OnFile(name), upstreamtest.StallAfter(int64(len(content))-1), 1)
	b := open(t, unhurried(t, up))
	f := b.page("brie").file(name)
	resp, err := b.ask(timeout(t), f.url)
	must(t, err)
	<-told.Reached()
	told.Release()
	got, err := io.ReadAll(resp.Body)
	must(t, resp.Body.Close())
	if err == nil || resp.ContentLength != int64(len(content)) || len(got) >= len(content) {
		t.Errorf("the client got %d of %d bytes, and %v", len(got), resp.ContentLength, err)
	}
	if len(got) == 0 || !bytes.HasPrefix(content, got) {
		t.Errorf("the %d bytes that it got are not the first of the file", len(got))
	}
	b.sound()
	up.Truth()
	b.get(f.url) // this may still be of the second download, which was wrong too
	if a := b.get(f.url); !a.whole() || digestOf(a.body) != digestOf(content) {
		t.Errorf("after the lie has ended: %v", a)
	}
}

// TestBadMetadataIsNotOffered: metadata that is advertised and cannot be had
// fails an installation with pip. It is left out from then on, until it can.
func TestBadMetadataIsNotOffered(t *testing.T) {
	t.Parallel()
	for _, lie := range []upstreamtest.Lie{upstreamtest.Status(404, ""), upstreamtest.FlipByte(10), upstreamtest.Status(403, "")} {
		t.Run(lie.Name, func(t *testing.T) {
			index, name, _ := wheelhouse(t)
			up := upstream(t, index)
			up.Tell(upstreamtest.OnMetadata(name), lie, 0)
			b := open(t, settings(t, up, "brie"))
			before := b.page("brie")
			f := before.file(name)
			if f.metadata == "" {
				t.Fatal("it is not advertised at first")
			}
			if a := b.get(f.url + ".metadata"); a.status != 404 {
				t.Errorf("the first client got %v", a)
			}
			after := b.page("brie", "If-None-Match", before.header.Get("ETag"))
			if after.status != 200 || after.file(name).metadata != "" || b.html("brie").file(name).metadata != "" {
				t.Errorf("it is still advertised: %v\n%s", after, after.body)
			}
			up.Truth()
			b.synced()
			if p := b.page("brie"); p.file(name).metadata != f.metadata {
				t.Errorf("after the lie has ended it is not advertised: %s", p.body)
			}
			if a := b.get(f.url + ".metadata"); !a.whole() || digestOf(a.body) != f.metadata {
				t.Errorf("after the lie has ended: %v", a)
			}
		})
	}
}

// TestSlowUpstream: a client waits for a sign of life no longer than pull.wait,
// and then gets what is here; the next one does not wait at all.
func TestSlowUpstream(t *testing.T) {
	t.Parallel()
	const wait = 4 * time.Second // far more than what is here takes
	var running sync.WaitGroup
	defer running.Wait()
	for _, trouble := range []struct {
		name  string
		begin func(*upstreamtest.Server)
	}{
		{"slow", func(s *upstreamtest.Server) { s.SetLatency(limit) }},
		{"swallows everything", func(s *upstreamtest.Server) { s.Blackhole(true) }},
		{"dead", func(s *upstreamtest.Server) { _ = s.Kill() }}, // it listens, so it can be killed
	} {
		running.Go(func() {
			t.Run(trouble.name, func(t *testing.T) {
				index, name, content := wheelhouse(t)
				_, err := index.AddWheel(upstreamtest.Wheel{Name: "brie", Version: "0.9"}) // not selected, so not here
				must(t, err)
				up := upstream(t, index)
				c := settings(t, up, "brie")
				c.Pull.Wait = config.Duration(wait)
				b := open(t, c)
				b.synced()
				trouble.begin(up)
				for i, most := range []time.Duration{2 * wait, wait, wait} {
					begun := time.Now()
					p := b.page("brie")
					if took := time.Since(begun); !p.whole() || took > most {
						t.Errorf("client %d got %v after %v", i, p, took)
					}
					if !slices.Equal(p.names, []string{name}) {
						t.Errorf("client %d was offered %v, which is more or less than what is here", i, p.names)
					}
				}
				f := b.page("brie").file(name)
				if a := b.get(f.url); !a.whole() || !bytes.Equal(a.body, content) {
					t.Errorf("the file: %v", a)
				}
				begun := time.Now()
				if a := b.get("/simple/unheard-of/"); a.status != 404 && a.status != 503 || time.Since(begun) > wait {
					t.Errorf("what is not here: %v after %v", a, time.Since(begun))
				}
			})
		})
	}
}

// TestTagsAcrossRefreshes: as long as nothing changes, nothing is sent twice: not
// to the client, not by the upstream, and not after a restart.
func TestTagsAcrossRefreshes(t *testing.T) {
	t.Parallel()
	index, name, _ := wheelhouse(t)
	up := upstream(t, index)
	c := settings(t, up)
	b := open(t, c)
	for _, form := range []string{pypi.ContentTypeJSON, pypi.ContentTypeLegacyHTML} {
		tag := b.get("/simple/brie/", "Accept", form).header.Get("ETag")
		ask := func(b *box) answer { return b.get("/simple/brie/", "Accept", form, "If-None-Match", tag) }
		up.Forget()
		if a := ask(b); tag == "" || a.status != 304 || len(a.body) > 0 {
			t.Errorf("%s: %v under %s", form, a, tag)
		}
		if got := up.Requests().On(upstreamtest.OnPage("brie")); len(got) != 1 || got[0].Status != 304 {
			t.Errorf("the upstream was asked: %v", got)
		}
		b.close()
		b = open(t, c)
		if a := ask(b); a.status != 304 {
			t.Errorf("%s after a restart: %v", form, a)
		}
		must(t, index.Yank("brie", name, "because of "+form))
		if a := ask(b); a.status != 200 || a.header.Get("ETag") == tag || !strings.Contains(string(a.body), "because of") {
			t.Errorf("%s after a change: %v", form, a)
		}
	}
}

// TestUnknownNames: names that nobody has leave nothing behind.
func TestUnknownNames(t *testing.T) {
	t.Parallel()
	index, _, _ := wheelhouse(t)
	up := upstream(t, index)
	c := settings(t, up)
	c.Pull.Fresh = config.Duration(time.Hour)
	b := open(t, c)
	for i := range 40 {
		if a := b.get(fmt.Sprintf("/simple/nobody-%d/", i/2)); a.status != 404 {
			t.Errorf("%v", a)
		}
	}
	if got := len(up.Requests().On(upstreamtest.OnPage("nobody-*"))); got != 20 {
		t.Errorf("the upstream was asked %d times for 20 names", got)
	}
	for _, path := range []string{"nobody-1/" + strings.Repeat("ab", 32) + "/nobody_1-1.0-py3-none-any.whl", "brie/" + strings.Repeat("ab", 32) + "/brie-1.0-py3-none-any.whl", "../../etc/passwd"} {
		if a := b.get("/files/" + path); a.status != 404 {
			t.Errorf("%s: %v", path, a)
		}
	}
	notes := 0
	for i := range 20 {
		note, err := b.Store.State(pypi.Name(fmt.Sprintf("nobody-%d", i)))
		must(t, err)
		if note != nil {
			notes++
		}
	}
	waiting, err := b.Store.Waiting()
	if names := b.names(); len(names) > 0 || notes > 0 || len(waiting) > 0 || err != nil || len(b.problems()) > 0 {
		t.Errorf("left behind are the pages %v, %d notes, partials %v, %v, problems\n%s", names, notes, waiting, err, b.problems())
	}
}

// TestWishesAreBounded: while the line is down names are remembered, for there is
// nobody to say that they are wrong; but only so many.
func TestWishesAreBounded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it asks for more than a thousand names")
	}
	const most = 1000
	index, _, _ := wheelhouse(t)
	up := upstream(t, index)
	must(t, up.Kill())
	c := settings(t, up)
	c.Pull.Wait = config.Duration(limit) // each waits until his wish is durable
	b := open(t, c)
	for i := range most + 50 {
		if a := b.get(fmt.Sprintf("/simple/nobody-%d/", i)); a.status != 404 && a.status != 503 {
			t.Fatalf("%v", a)
		}
	}
	notes := 0
	must(t, b.Store.Marked("wish", func(pypi.Name, time.Time) bool { notes++; return true }))
	if notes != most || len(b.names()) > 0 {
		t.Errorf("remembered are %d names, and the pages %v", notes, b.names())
	}
}

// TestWholeWithoutLength: all bytes are here, nobody has said how many there
// are, and the end does not come. They are not fetched again.
func TestWholeWithoutLength(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for silence to be noticed")
	}
	index, name, content := wheelhouse(t)
	up := upstream(t, index, func(s *upstreamtest.Server) { s.Dialect = upstreamtest.Dialect{HTMLOnly: true, Bare: true} })
	up.Tell(upstreamtest.OnFile(name), upstreamtest.WithoutLength(), 1)
	up.Tell(upstreamtest.OnFile(name), upstreamtest.StallAfter(int64(len(content))), 1)
	c := settings(t, up, "brie")
	c.Upstream.StallTimeout = silence
	b := open(t, c)
	b.synced()
	got := up.Requests().On(upstreamtest.OnFile(name))
	if sent := got.With(200).Body() + got.With(206).Body(); len(got) != 2 || sent != int64(len(content)) {
		t.Errorf("%d bytes were sent for %d in %v", sent, len(content), got)
	}
	b.honest(index, "brie")
	b.sound()
}

// TestShutdownInMidDownload is not parallel: it looks at all goroutines.
func TestShutdownInMidDownload(t *testing.T) {
	index, name, content := wheelhouse(t)
	up := upstream(t, index)
	told := up.Tell(upstreamtest.OnFile(name), upstreamtest.StallAfter(1_000_000), 1)
	c := unhurried(t, up, "brie")
	b := serve(t, c)
	<-told.Reached()
	f := b.page("brie").file(name)
	resp, err := b.ask(timeout(t), f.url)
	must(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 900_000))
	must(t, err)
	// What the upstream has sent may still be on its way: the last of it has arrived
	// when a client has got it.
	if a := b.get(f.url, "Range", "bytes=999999-999999"); a.status != http.StatusPartialContent || !a.whole() {
		t.Errorf("the last byte that was sent: %v", a)
	}
	begun := time.Now()
	b.close()
	if took := time.Since(begun); took > limit/2 { // the upstream stays silent for longer
		t.Errorf("the shutdown took %v", took)
	}
	if rest, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the client takes %d more bytes for the end of the file", len(rest))
	}
	must(t, resp.Body.Close())
	// A connection that is closed has its goroutines end, and waits for none of them.
	for ctx := timeout(t); ours() != ""; {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("goroutines are left:\n%s", ours())
		}
	}
	up.Truth()
	before := look(t, c.Data, leavings{})
	if size := before.size[digestOf(content)]; size != 1_000_000 || before.synced[digestOf(content)] != size {
		t.Errorf("kept are %d bytes, %d of them synced", size, before.synced[digestOf(content)])
	}
	up.Forget()
	b = open(t, c)
	b.synced()
	if got := up.Requests().On(upstreamtest.OnFile(name)); !slices.Equal(got.Ranges(), []string{"bytes=1000000-"}) {
		t.Errorf("the next sync asked for %q", got.Ranges())
	}
	b.sound()
}

// ours are the goroutines that run code of the engine or the store.
func ours() string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for one := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(one, "cheeseboard/syncer.") || strings.Contains(one, "cheeseboard/syncer/wire.") || strings.Contains(one, "cheeseboard/storage") || strings.Contains(one, "badger") {
			left = append(left, one)
		}
	}
	return strings.Join(left, "\n\n")
}

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

// TestLazyMetadata has a pip with fast-deps read the metadata of a wheel that has no
// .metadata beside it. Of a wheel that is here it asks for parts only: of one that it
// cannot use in the end, never for the whole. Of one that is not here it learns that
// parts would have to wait, and takes the whole, which comes from upstream once.
func TestLazyMetadata(t *testing.T) {
	t.Parallel()
	m := available(t)
	p := m.pips[len(m.pips)-1]
	const feature = "fast-deps"
	if compareVersions(p.version, "20.2") < 0 {
		t.Skipf("pip %s has no %s", p.version, feature)
	}
	index := upstreamtest.NewIndex()
	add := func(w upstreamtest.Wheel, bare bool) (filename string, size int) {
		t.Helper()
		content, err := w.Build()
		must(t, err)
		facts := upstreamtest.Facts{Metadata: w.Metadata(), HideMetadata: bare}
		must(t, index.AddFile(w.Name, w.Filename(), content, facts))
		return w.Filename(), len(content)
	}
	useless, size := add(upstreamtest.Wheel{Name: "lazy", Version: "2.0", Requires: []string{"rennet>=99"}, Payload: 2 * mebi}, true)
	useful, _ := add(upstreamtest.Wheel{Name: "lazy", Version: "1.0", Requires: []string{"rennet"}, Payload: 2 * mebi}, true)
	add(upstreamtest.Wheel{Name: "rennet", Version: "1.0"}, false)
	s := newSite(t, index)
	b := s.serve("--log-level", "debug")
	if a, err := ask(t.Context(), b.url+fileAddress(t, b, "lazy", useless), ""); err != nil || len(a.body) != size {
		t.Fatalf("the wheel does not come: status %d, %d of %d bytes (%v)", a.status, len(a.body), size, err)
	}
	// What is not here yet arrives slowly until pip has looked at it.
	s.upstream.SetBandwidth(mebi / 8)
	w := watch(t, b)
	go func() {
		answered(t.Context(), w, useful)
		s.upstream.SetBandwidth(0)
	}()
	out, err := p.command(t, p.venv(t), w.index(), "install", "--use-feature="+feature, "lazy").CombinedOutput()
	if err != nil {
		t.Fatalf("pip %s: %v\n%s", p.version, err, out)
	}
	b.quit()
	var sent int64
	parts, whole := 0, 0
	for _, q := range b.requests(useless) {
		switch {
		case q.agent != "pip/"+p.version || q.method == http.MethodHead:
		case q.status == http.StatusPartialContent:
			parts, sent = parts+1, sent+q.bytes
		default:
			whole++
		}
	}
	if parts == 0 || whole > 0 || sent > int64(size)/4 {
		t.Errorf("of a wheel of %d bytes that is here pip took %d parts, %d bytes, and the whole %d times", size, parts, sent, whole)
	}
	t.Logf("pip %s read the metadata from %d parts, %d of %d bytes", p.version, parts, sent, size)
	heads := 0
	for _, q := range b.requests(useful) {
		switch {
		case q.method == http.MethodHead:
			heads++
		case q.status != http.StatusOK:
			t.Errorf("a wheel that was not here: %+v", q)
		}
	}
	if heads == 0 {
		t.Error("pip did not ask what can be had of the wheel that was not here")
	}
	for _, filename := range []string{useless, useful} {
		if asked := s.upstream.Requests().On(upstreamtest.OnFile(filename)); len(asked) != 1 {
			t.Errorf("upstream was asked for %s %d times, want once: %v", filename, len(asked), asked.Ranges())
		}
	}
	s.sound()
}

// answered waits for the answer to the first request for a file.
func answered(ctx context.Context, w *witness, filename string) {
	for {
		list, changed := w.seen("/files/")
		for _, e := range list {
			if strings.HasSuffix(e.path, filename) && e.status != 0 {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// TestPartsOfWhatArrives asks for the end of a file that is not here, many times at
// once, as installers do that read a wheel's directory: all get those bytes, right
// ones, and there is one request upstream.
func TestPartsOfWhatArrives(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	b := s.serve()
	content, _ := s.upstream.Index.Content(stilton)
	address := b.url + fileAddress(t, b, "stilton", stilton)
	s.upstream.SetBandwidth(4 * mebi)
	const clients, end = 8, 10_000
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	results := make(chan error, clients)
	for range clients {
		go func() { results <- takeEnd(ctx, address, content, end) }()
	}
	for range clients {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if asked := s.upstream.Requests().On(upstreamtest.OnFile(stilton)); len(asked) != 1 || asked.Ranges()[0] != "" {
		t.Errorf("upstream was asked with the ranges %q, want once for the whole", asked.Ranges())
	}
	b.quit()
	s.sound()
}

// takeEnd asks for the last bytes of a file and compares them.
func takeEnd(ctx context.Context, address string, content []byte, n int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=-%d", n))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(got, content[len(content)-n:]) {
		return fmt.Errorf("the last %d bytes: %s, %d bytes", n, resp.Status, len(got))
	}
	return nil
}

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"cheeseboard/syncer/upstreamtest"
)

const (
	stilton = "stilton-1.0-py3-none-any.whl" // 4 MiB
	crowd   = 20                             // clients that want it at the same time
	trickle = 40 << 10                       // bytes per second until all of them have asked
)

// TestTogether has twenty pips ask at once for what is not here, over a line
// that is slow as long as not all of them have asked: one download feeds all.
func TestTogether(t *testing.T) {
	m := available(t)
	newest := m.pips[len(m.pips)-1]
	s := newSite(t, nil)
	s.upstream.SetBandwidth(trickle)
	b := s.serve()
	w := watch(t, b)
	want, ok := s.upstream.Index.Content(stilton)
	if !ok {
		t.Fatalf("upstream has no %s", stilton)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	pips := crowd
	if testing.Short() {
		pips = 4
	}
	folder := t.TempDir()
	var clients sync.WaitGroup
	failures := make([]error, crowd)
	for i := range crowd {
		if i >= pips {
			clients.Go(func() { failures[i] = download(ctx, w.index()+"stilton/", stilton) })
			continue
		}
		c := newest.command(t, newest.python.Path, w.index(), "download", "--no-deps", "--dest", filepath.Join(folder, strconv.Itoa(i)), "stilton")
		clients.Go(func() {
			out, err := c.CombinedOutput()
			if err != nil {
				failures[i] = fmt.Errorf("pip: %w\n%s", err, out)
				return
			}
			got, err := os.ReadFile(filepath.Join(folder, strconv.Itoa(i), stilton))
			if err == nil && !bytes.Equal(got, want) {
				err = errors.New("pip got other bytes")
			}
			failures[i] = err
		})
	}
	if err := w.wait(ctx, crowd, "/files/", ".whl"); err != nil {
		t.Errorf("not all %d clients asked for the file while it arrived: %v", crowd, err)
	}
	if done := s.upstream.Requests().On(upstreamtest.OnFile(stilton)).Body(); done >= int64(len(want)) {
		t.Errorf("the file was here before the last client asked for it")
	}
	s.upstream.SetBandwidth(2 << 20)
	clients.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Error(err)
	}
	for _, once := range []upstreamtest.Target{
		upstreamtest.OnPage("stilton"), upstreamtest.OnFile(stilton), upstreamtest.OnMetadata(stilton),
	} {
		if asked := s.upstream.Requests().On(once); len(asked) != 1 || asked[0].Method != http.MethodGet {
			t.Errorf("upstream was asked %d times for %v, want once: %+v", len(asked), once, asked)
		}
	}
	if asked := s.upstream.Requests().On(upstreamtest.OnFile("*")); len(asked) != 1 {
		t.Errorf("upstream gave the files %v, want one", asked.Paths())
	}
	b.quit()
	s.sound()
}

// download takes a file and its metadata from a page, as a client in Go would.
func download(ctx context.Context, address, filename string) error {
	p, err := readPage(ctx, address, formJSON)
	if err != nil {
		return err
	}
	i := slices.Index(p.filenames(), filename)
	if i < 0 {
		return fmt.Errorf("%s (status %d) does not list %s", address, p.status, filename)
	}
	return p.offers[i].check(ctx)
}

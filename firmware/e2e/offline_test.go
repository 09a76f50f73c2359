package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

const (
	atOnce     = 2 * time.Second         // for an answer over a line that refuses
	longest    = 2500 * time.Millisecond // for an answer over a line that swallows everything
	doubt      = 8 * time.Second         // until one failure counts as an outage
	reasonable = 20                      // letters that a reason has at least
)

// selection is what the boxes of these tests hold; the upstream has more of each.
const selection = `sync.projects=["parmesan<0.0.10", "cheddar"]`

// here is what a sync of the selection brings: project → the files of its page.
var here = map[string][]string{
	"parmesan": {"parmesan-0.0.9-py3-none-any.whl"},
	"cheddar":  {"cheddar-1.2.0-py3-none-any.whl"},
	"rennet":   {"rennet-1.1-py2.py3-none-any.whl"},
}

// onlyHere looks at every page in both forms: it must list what is here and
// nothing else, and all that it lists must be had.
func onlyHere(t *testing.T, b *box, limit time.Duration) {
	t.Helper()
	for project, filenames := range here {
		for _, form := range []string{formJSON, formHTML} {
			p, err := readPage(t.Context(), b.index()+project+"/", form)
			if err != nil || p.status != http.StatusOK {
				t.Errorf("%s as %s: status %d, %v: %s", project, form, p.status, err, p.body)
				continue
			}
			if got := p.filenames(); !slices.Equal(got, filenames) {
				t.Errorf("%s as %s lists %v, want %v", project, form, got, filenames)
			}
			if form == formJSON && len(p.versions) != len(filenames) {
				t.Errorf("%s states the versions %v for %v", project, p.versions, filenames)
			}
			if p.took > limit {
				t.Errorf("%s took %v, want at most %v", project, p.took, limit)
			}
			for _, o := range p.offers {
				if o.metadata == "" {
					t.Errorf("%s as %s states no metadata of %s, which is here", project, form, o.filename)
				}
				if err := o.check(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// refused asks for what cannot be had: the answer must come in time, be one of
// the statuses, and say why.
func refused(t *testing.T, address string, limit time.Duration, statuses ...int) {
	t.Helper()
	a, err := ask(t.Context(), address, formJSON)
	if err != nil {
		t.Errorf("%s: %v", address, err)
		return
	}
	if !slices.Contains(statuses, a.status) || len(a.body) < reasonable || a.took > limit {
		t.Errorf("%s: status %d after %v with the reason %q; want one of %v within %v, with a reason", address, a.status, a.took, a.body, statuses, limit)
	}
}

// denied asks for what cannot be had while the line is down. Each answer comes at
// once. The first may ask to come back, as one failure may be chance; before a
// client has done so often it is told that there is nothing to wait for.
func denied(t *testing.T, address string) {
	t.Helper()
	refused(t, address, atOnce, http.StatusNotFound, http.StatusServiceUnavailable)
	ctx, cancel := context.WithTimeout(t.Context(), doubt)
	defer cancel()
	if err := until(ctx, func() (bool, error) {
		a, err := ask(ctx, address, formHTML)
		if err == nil && a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "" {
			err = errors.New("503 without Retry-After")
		}
		return a.status == http.StatusNotFound, err
	}); err != nil {
		t.Errorf("%s is not denied: %v", address, err)
	}
	refused(t, address, atOnce, http.StatusNotFound)
}

// absentFile is the URL of a file that the upstream has and the box has not.
func absentFile(t *testing.T, b *box, s *site) string {
	t.Helper()
	p, err := readPage(t.Context(), s.upstream.IndexURL()+"parmesan/", formJSON)
	must(t, err)
	i := slices.Index(p.filenames(), "parmesan-0.0.36-py3-none-any.whl")
	if i < 0 {
		t.Fatal("upstream does not list parmesan 0.0.36")
	}
	return b.url + "/files/parmesan/" + p.offers[i].sha256 + "/" + p.offers[i].filename
}

// TestOnlyHereSinceStart starts a box whose upstream is gone already.
func TestOnlyHereSinceStart(t *testing.T) {
	s := newSite(t, nil, selection)
	s.succeed("sync")
	must(t, s.upstream.Kill())
	b := s.serve()
	onlyHere(t, b, atOnce)
	denied(t, b.index()+"camembert/")
	denied(t, b.index()+"no-such-cheese/")
	b.quit()
	s.sound()
}

// TestOnlyHereAfterKill takes the upstream away from a box that is serving, and
// gives it back.
func TestOnlyHereAfterKill(t *testing.T) {
	s := newSite(t, nil, selection, "pull.fresh=0s")
	s.succeed("sync")
	b := s.serve()
	p, err := readPage(t.Context(), b.index()+"parmesan/", formJSON)
	if err != nil || len(p.offers) != 36 {
		t.Errorf("while the line is good the page lists %v (%v), want all 36 files", p.filenames(), err)
	}
	absent := absentFile(t, b, s)
	must(t, s.upstream.Kill())
	onlyHere(t, b, atOnce)
	denied(t, b.index()+"camembert/")
	denied(t, absent)

	must(t, s.upstream.Revive())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := until(ctx, func() (bool, error) {
		p, err := readPage(ctx, b.index()+"parmesan/", formHTML)
		return len(p.offers) == 36, err
	}); err != nil {
		t.Errorf("the line is back and the page does not list all files again: %v", err)
	}
	b.quit()
	s.sound()
}

// until asks again and again, a few times a second.
func until(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestBlackhole has the line swallow everything under a box that is serving: no
// client waits long, neither alone nor in a crowd, and pip still installs.
func TestBlackhole(t *testing.T) {
	s := newSite(t, nil, selection, "pull.fresh=0s")
	s.succeed("sync")
	b := s.serve()
	absent := absentFile(t, b, s)
	s.upstream.Blackhole(true)

	// The first clients that ask after the line fell silent are those who wait.
	var clients sync.WaitGroup
	const each = 5
	failures := make(chan error, 4*each)
	for range each {
		for path, statuses := range map[string][]int{
			b.index() + "parmesan/":       {http.StatusOK},
			b.index():                     {http.StatusOK},
			b.index() + "no-such-cheese/": {http.StatusNotFound, http.StatusServiceUnavailable},
			absent:                        {http.StatusNotFound, http.StatusServiceUnavailable},
		} {
			clients.Go(func() {
				a, err := ask(t.Context(), path, formJSON)
				switch {
				case err != nil:
					failures <- err
				case !slices.Contains(statuses, a.status) || a.took > longest:
					failures <- fmt.Errorf("%s: status %d after %v, want one of %v within %v: %s", path, a.status, a.took, statuses, longest, a.body)
				}
			})
		}
	}
	clients.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}

	onlyHere(t, b, longest)
	refused(t, b.index()+"camembert/", longest, http.StatusNotFound, http.StatusServiceUnavailable)
	refused(t, absent, longest, http.StatusNotFound, http.StatusServiceUnavailable)
	if m, err := machine(); err == nil && len(m.pips) > 0 {
		newest := m.pips[len(m.pips)-1]
		c := newest.command(t, newest.venv(t), b.index(), "install", "parmesan")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("pip over a line that swallows everything: %v\n%s", err, out)
		}
	}
	b.quit()
	s.sound()
}

// TestUnknownProject asks an upstream that is there for what it does not have.
func TestUnknownProject(t *testing.T) {
	s := newSite(t, nil)
	b := s.serve()
	refused(t, b.index()+"no-such-cheese/", atOnce, http.StatusNotFound)
	refused(t, b.index()+"limburger/nothing", atOnce, http.StatusNotFound)
	if asked := s.upstream.Requests().On(upstreamtest.OnPage("no-such-cheese")); len(asked) != 1 {
		t.Errorf("upstream was asked %d times", len(asked))
	}
	refused(t, b.index()+"no-such-cheese/", atOnce, http.StatusNotFound)
	if asked := s.upstream.Requests().On(upstreamtest.OnPage("no-such-cheese")); len(asked) != 1 {
		t.Errorf("upstream was asked again for a project that it had just denied")
	}
	a, err := ask(t.Context(), b.index()+"no-such-cheese/", formHTML)
	if err != nil || !strings.Contains(string(a.body), "no-such-cheese") {
		t.Errorf("the reason does not name the project: %s (%v)", a.body, err)
	}
	b.quit()
}

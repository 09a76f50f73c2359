package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/syncer/wire"
)

// Over plain http a portal's page arrives as if it were the index.
func TestPortalBeforeAPlainIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		watch(t, w, testPlain, func(l *Line) {
			for _, s := range []step{allWell, hotel, allWell} {
				w.set(s.change)
				follow(t, l, s)
			}
		})
	})
}

func TestNothingIsAskedWhileAllIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &Line{Now: w.now}
		l.Met(w.request(t.Context(), testIndex, testIndex+"stilton/"))
		before := w.asked
		if v := l.Verdict(); v.State != Well || !v.Probe.IsZero() {
			t.Errorf("a probe is due: %+v", v)
		}
		p := NewProber(testIndex, w)
		p.Resolver, p.Root, p.Now, p.Built = w, w.root, w.now, time.Now()
		if w.asked != before {
			t.Error("a prober asks by itself")
		}
		p.Round(t.Context(), l.Verdict(), l.Met) // somebody wants to know
		if w.asked != before+1 || l.Verdict().State != Well {
			t.Errorf("a round of a line that is well asked %d times: %s", w.asked-before, l.Sentence())
		}
	})
}

func TestARoundEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func(w *world) { w.index, w.files = Stalled, Stalled })
		p := NewProber(testIndex, w)
		p.Resolver, p.Root = w, w.root
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		var seen []Observation
		p.Round(ctx, Verdict{Files: "https://files.example/"}, func(o Observation) { seen = append(seen, o) })
		if d := time.Since(began); d != time.Second {
			t.Errorf("it took %s", d)
		}
		for _, o := range seen {
			if o.About == Index || o.About == Files {
				t.Errorf("what we ended ourselves is put down to the upstream: %+v", o)
			}
		}
	})
}

// rounds runs one round with the client that the engine uses, over loopback.
func rounds(t *testing.T, index string, files string) map[Subject]Observation {
	t.Helper()
	client, err := wire.NewClient(wire.Options{Connect: time.Second, Stall: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	p := NewProber(index, client)
	p.Root, p.Patience = t.TempDir(), 2*time.Second
	out := make(map[Subject]Observation)
	p.Round(t.Context(), Verdict{Files: files}, func(o Observation) {
		if !o.Probe {
			t.Errorf("not marked as a probe's: %+v", o)
		}
		out[o.About] = o
	})
	return out
}

func page(kind, body string, code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		_, _ = fmt.Fprint(w, body) // a probe may have gone by now
	}
}

func TestRoundsOverLoopback(t *testing.T) {
	const html, js = "text/html; charset=utf-8", "application/vnd.pypi.simple.v1+json"
	list := `<!DOCTYPE html><html><head><title>Simple index</title></head><body>` + strings.Repeat(`<a href="/simple/stilton/">stilton</a><br>`, 5000) + `</body></html>`
	gone := httptest.NewServer(nil)
	gone.Close()
	moved := httptest.NewServer(page(html, list, 200))
	t.Cleanup(moved.Close)
	for name, tc := range map[string]struct {
		answer  http.HandlerFunc
		fault   Fault
		passage Known
	}{
		"json":           {page(js, "{}", 200), None, CannotTell},
		"an old index":   {page(html, list, 200), None, CannotTell},
		"an empty index": {page(html, `<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.0"></head><body></body></html>`, 200), None, CannotTell},
		"a login page":   {page(html, loginPage, 200), LoginWanted, CannotTell},
		"511":            {page(html, loginPage, 511), LoginWanted, CannotTell},
		"no list":        {page(html, loginPage, 404), None, CannotTell},
		"an error":       {page(html, "<html>oops</html>", 502), Status, CannotTell},
		"an error, and a login page": {func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				page(html, loginPage, 200)(w, r)
				return
			}
			w.WriteHeader(503)
		}, Status, No},
		"a redirect away": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(gone.URL, "127.0.0.1", "localhost", 1)+"/login", http.StatusFound)
		}, Unreachable, No},
		"an index that moved": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(moved.URL, "127.0.0.1", "localhost", 1)+"/simple/", http.StatusFound)
		}, None, CannotTell},
		"a redirect to itself": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, gone.URL+"/simple/", http.StatusMovedPermanently)
		}, Unreachable, Yes},
		"a cut":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Cut, CannotTell},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Stalled, CannotTell},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.answer)
			defer server.Close()
			o := rounds(t, server.URL+"/simple/", "")
			if got := o[Index]; got.Fault != tc.fault || got.Host != server.Listener.Addr().String() {
				t.Errorf("the index: %+v, want the fault %d", got, tc.fault)
			}
			if got := o[Passage]; got.Known != tc.passage {
				t.Errorf("the passage: %+v, want %d", got, tc.passage)
			}
			if (o[Index].Answered > 0) != (tc.fault == None || tc.fault == Status || tc.fault == LoginWanted) {
				t.Errorf("an answer after %s", o[Index].Answered)
			}
			for _, s := range []Subject{Carrier, Route} {
				if _, looked := o[s]; looked {
					t.Error("an upstream on this machine needs no cable")
				}
			}
		})
	}
}

func TestFilesAreAskedWhenTheyFail(t *testing.T) {
	index := httptest.NewServer(page("application/vnd.pypi.simple.v1+json", "{}", 200))
	defer index.Close()
	files := httptest.NewServer(page("text/plain", "", 403))
	o := rounds(t, index.URL+"/simple/", files.URL+"/")
	if got := o[Files]; got.Fault != None || got.Host != files.Listener.Addr().String() {
		t.Errorf("it answers: %+v", got)
	}
	files.Close()
	if got := rounds(t, index.URL+"/simple/", files.URL+"/")[Files]; got.Fault != Unreachable {
		t.Errorf("it is gone: %+v", got)
	}
}

type resolver func(ctx context.Context, host string) ([]string, error)

func (r resolver) LookupHost(ctx context.Context, host string) ([]string, error) { return r(ctx, host) }

func TestLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProber("https://pypi.example:8443/simple/", nil)
		for name, tc := range map[string]struct {
			err  error
			want Known
		}{
			"found": {nil, Yes}, "not found": {&net.DNSError{Err: "no such host", IsNotFound: true}, No}, "silent": {context.DeadlineExceeded, No},
		} {
			p.Resolver = resolver(func(ctx context.Context, host string) ([]string, error) {
				if host != "pypi.example" {
					t.Errorf("%s: asks for %q", name, host)
				}
				if errors.Is(tc.err, context.DeadlineExceeded) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return nil, tc.err
			})
			if o := p.lookup(t.Context()); o.About != Names || o.Known != tc.want {
				t.Errorf("%s: %+v", name, o)
			}
		}
		if o := NewProber("https://192.0.2.7/simple/", nil).lookup(t.Context()); o.Known != CannotTell {
			t.Errorf("an address was looked up: %+v", o)
		}
	})
}

func TestClock(t *testing.T) {
	now := epoch
	p := NewProber(testIndex, nil)
	p.Now, p.Built = func() time.Time { return now }, epoch.Add(-24*time.Hour)
	for name, tc := range map[string]struct {
		now, date time.Time
		want      Known
	}{
		"nothing to compare":   {epoch, time.Time{}, CannotTell},
		"before it was made":   {time.Unix(300, 0), time.Time{}, No},
		"as another host says": {epoch, epoch.Add(time.Hour), Yes},
		"a year behind":        {epoch, epoch.AddDate(1, 0, 0), No},
		"a year ahead":         {epoch.AddDate(1, 0, 0), epoch, No},
		"both in 1970":         {time.Unix(300, 0), time.Unix(300, 0), No},
	} {
		now = tc.now
		if o := p.clock(tc.date); o.About != Clock || o.Known != tc.want {
			t.Errorf("%s: %+v", name, o)
		}
	}
	p.Built, now = time.Time{}, oldest.Add(-time.Second)
	if o := p.clock(time.Time{}); o.Known != No {
		t.Errorf("before there was any box: %+v", o)
	}
}

package upstream_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstream"
	ut "cheeseboard/syncer/upstreamtest"
	"cheeseboard/syncer/wire"
)

// dairy starts a lying upstream and an index that asks it.
func dairy(t testing.TB, dialect ut.Dialect, maxPage int64) (*ut.Server, *upstream.Index) {
	t.Helper()
	server := ut.NewServer(ut.SampleIndex(1))
	server.Dialect = dialect
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, asker(t, server.IndexURL(), maxPage, patient)
}

// How much silence is borne: by who wants an answer, from a busy machine too, and
// by who waits for the silence itself.
const (
	patient   = time.Minute
	impatient = 500 * time.Millisecond
)

func asker(t testing.TB, address string, maxPage int64, stall time.Duration) *upstream.Index {
	t.Helper()
	client, err := wire.NewClient(wire.Options{Stall: stall, Connect: patient})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	x, err := upstream.New(address, client, maxPage)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// askFor asks for a page without validators, for no longer than a test may last.
func askFor(t testing.TB, x *upstream.Index, name pypi.Name) (*upstream.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	a, err := x.Project(ctx, name, upstream.Validators{}, nil)
	var p *wire.Problem
	if err != nil && (!errors.As(err, &p) || a != nil) {
		t.Errorf("%s: the error %v is no problem of the line, or comes with an answer", name, err)
	}
	if err == nil && (a.Project == nil || a.Project.Name != name) {
		t.Fatalf("asked for %s, got %+v", name, a.Project)
	}
	return a, err
}

// TestDialectsAgree reads every project in each dialect: what a dialect can say
// is the same in all of them, field for field.
func TestDialectsAgree(t *testing.T) {
	honest, truth := dairy(t, ut.Dialect{}, 0)
	names := append(honest.Index.Projects(), "limburger")
	for what, dialect := range map[string]ut.Dialect{
		"html":           {HTMLOnly: true},
		"html, relative": {HTMLOnly: true, RelativeURLs: true},
		"json, relative": {RelativeURLs: true},
		"no gzip":        {NoGzip: true},
		"html, no gzip":  {HTMLOnly: true, NoGzip: true},
		"no serials":     {NoSerials: true},
		"no metadata":    {NoMetadata: true, HTMLOnly: true},
		"bare":           {Bare: true},
		"bare html":      {Bare: true, HTMLOnly: true, NoSerials: true},
	} {
		server, x := dairy(t, dialect, 0)
		for _, name := range names {
			want, err := askFor(t, truth, name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := askFor(t, x, name)
			if err != nil || len(got.Refused) != 0 {
				t.Errorf("%s, %s: %v, refused %v", what, name, err, got)
				continue
			}
			if diff := cmp.Diff(sayable(*want.Project, dialect, honest.URL()), sayable(*got.Project, dialect, server.URL())); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", what, name, diff)
			}
		}
	}
}

// sayable takes from a page what a dialect cannot say, and the server's address.
func sayable(p pypi.Project, d ut.Dialect, address string) pypi.Project {
	p.Files = slices.Clone(p.Files)
	for i := range p.Files {
		f := &p.Files[i]
		f.URL = strings.TrimPrefix(f.URL, address)
		if d.HTMLOnly || d.Bare {
			f.Size, f.UploadTime = pypi.SizeUnknown, time.Time{}
		}
		if d.NoMetadata {
			f.CoreMetadata = pypi.CoreMetadata{}
		}
		if d.HTMLOnly {
			f.GPGSig = pypi.File{}.GPGSig
		}
	}
	if d.HTMLOnly || d.Bare {
		p.Versions = nil
	}
	if d.Bare {
		p.Status = pypi.Status{}
	}
	if d.NoSerials {
		p.LastSerial = 0
	}
	return p
}

func TestNotModified(t *testing.T) {
	server, x := dairy(t, ut.Dialect{}, 0)
	first, err := askFor(t, x, "cheddar")
	if err != nil || first.Validators.ETag == "" || first.Validators.LastModified == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	headers := 0
	ask := func(v upstream.Validators) *upstream.Answer {
		t.Helper()
		a, err := x.Project(t.Context(), "cheddar", v, func() { headers++ })
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, v := range []upstream.Validators{first.Validators, {ETag: first.Validators.ETag}, {LastModified: first.Validators.LastModified}} {
		if a := ask(v); !a.NotModified || a.Project != nil || a.Validators != v {
			t.Errorf("with %+v: %+v", v, a)
		}
	}
	if err := server.Index.Yank("cheddar", server.Index.Filenames("cheddar")[0], "rancid"); err != nil {
		t.Fatal(err)
	}
	if a := ask(first.Validators); a.NotModified || a.Project == nil || a.Validators == first.Validators {
		t.Errorf("a page that has changed: %+v", a)
	}
	if headers != 4 {
		t.Errorf("of 4 answers %d were told of", headers)
	}
	// Who sent no validators cannot be told that nothing has changed.
	server.Tell(ut.OnPage("cheddar"), ut.Status(http.StatusNotModified, ""), 1)
	if _, err := askFor(t, x, "cheddar"); wire.CauseOf(err) != wire.Lie {
		t.Errorf("304 out of nothing: %v", err)
	}
}

// TestPageLies tells every lie about a page, in JSON and in HTML.
func TestPageLies(t *testing.T) {
	const page = "cheddar"
	type want struct {
		json, html wire.Cause // "": an answer
	}
	both := func(c wire.Cause) want { return want{c, c} }
	for _, c := range []struct {
		lie  ut.Lie
		want want
	}{
		{ut.LoginPage(), both(wire.Lie)},
		{ut.Garbage(), both(wire.Lie)},
		{ut.Half(), both(wire.Cut)},
		{ut.CutAfter(0), both(wire.Cut)},
		{ut.CutAfter(300), both(wire.Cut)},
		{ut.ResetAfter(300), both(wire.Cut)},
		{ut.EndAfter(0), both(wire.Cut)},
		{ut.EndAfter(300), both(wire.Cut)},
		{ut.EndChunkedAfter(300), both(wire.Cut)},
		{ut.HangUp(), both(wire.Cut)},
		{ut.StallAfter(0), both(wire.Stalled)},
		{ut.StallAfter(300), both(wire.Stalled)},
		{ut.NeverAnswer(), both(wire.Stalled)},
		{ut.Endless(), both(wire.Lie)},
		{ut.RedirectLoop(), both(wire.Lie)},
		{ut.RedirectTo("file:///etc/passwd"), both(wire.Lie)},
		{ut.RedirectTo("http://user:secret@127.0.0.1:9/"), both(wire.Lie)},
		{ut.RedirectTo("/simple/stilton/"), both(wire.Lie)},
		{ut.RedirectTo("/simple/"), both(wire.Lie)},
		{ut.RedirectTo("http://127.0.0.1:1/simple/cheddar/"), both(wire.Unreachable)},
		{ut.WrongType("text/plain"), both(wire.Lie)},
		{ut.WrongType("image/png"), both(wire.Lie)},
		{ut.WrongType(""), both(wire.Lie)},
		{ut.WrongType("application/json"), want{"", wire.Lie}},
		{ut.WrongType("application/vnd.pypi.simple.v1+json"), want{"", wire.Lie}},
		{ut.WrongType("text/html"), want{wire.Lie, ""}},
		{ut.WrongType("application/vnd.pypi.simple.v2+json"), both(wire.Lie)},
		{ut.APIVersion("2.0"), both(wire.Lie)},
		{ut.APIVersion("1.99"), both("")},
		{ut.APIVersion("one"), both(wire.Lie)},
		{ut.HTMLAsJSON(), want{wire.Lie, ""}},
		{ut.GzipBomb(64), both(wire.Lie)},
		{ut.Status(404, ""), both(wire.Gone)},
		{ut.Status(410, ""), both(wire.Gone)},
		{ut.Status(403, ""), both(wire.Refused)},
		{ut.Status(401, ""), both(wire.Refused)},
		{ut.Status(429, "7"), both(wire.Busy)},
		{ut.Status(503, ""), both(wire.Busy)},
		{ut.Status(500, ""), both(wire.Broken)},
		{ut.Status(502, ""), both(wire.Broken)},
		{ut.Status(204, ""), both(wire.Lie)},
		{ut.Status(206, ""), both(wire.Lie)},
	} {
		for _, html := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,html=%v", strings.ReplaceAll(c.lie.Name, "/", "|"), html), func(t *testing.T) {
				t.Parallel() // most of them wait for silence
				server, x := dairy(t, ut.Dialect{HTMLOnly: html}, 1<<20)
				told := server.Tell(ut.OnPage(page), c.lie, 0)
				cause := c.want.json
				if html {
					cause = c.want.html
				}
				hasty := x
				if cause == wire.Stalled {
					hasty = asker(t, server.IndexURL(), 1<<20, impatient)
				}
				a, err := askFor(t, hasty, page)
				if got := wire.CauseOf(err); got != cause || err == nil && len(a.Project.Files) != len(server.Index.Filenames(page)) {
					t.Errorf("cause %q (%v), want %q", got, err, cause)
				}
				if told.Count() == 0 {
					t.Error("nothing was told")
				}
				// It is the page's fault, or passes: others are answered.
				server.Truth()
				for _, name := range []pypi.Name{page, "stilton"} {
					if _, err := askFor(t, x, name); err != nil {
						t.Errorf("afterwards, %s: %v", name, err)
					}
				}
			})
		}
	}
}

func TestRetryAfterIsHanded(t *testing.T) {
	server, x := dairy(t, ut.Dialect{}, 0)
	for value, want := range map[string]time.Duration{"120": 2 * time.Minute, "": 0, "soon": 0, "99999999": 24 * time.Hour} {
		server.Tell(ut.OnPage("feta"), ut.Status(429, value), 1)
		_, err := askFor(t, x, "feta")
		var p *wire.Problem
		if !errors.As(err, &p) || p.Cause != wire.Busy || p.RetryAfter != want && value != "99999999" || p.RetryAfter > 24*time.Hour {
			t.Errorf("Retry-After %q: %+v", value, p)
		}
	}
}

// TestHostileEntries takes the honest files of a hostile page, and no other.
func TestHostileEntries(t *testing.T) {
	for _, html := range []bool{false, true} {
		server, x := dairy(t, ut.Dialect{HTMLOnly: html}, 0)
		server.Tell(ut.OnPage("cheddar"), ut.Hostile(), 0)
		a, err := askFor(t, x, "cheddar")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range a.Project.Files {
			names = append(names, f.Filename)
			if err := pypi.CheckFilename(f.Filename); err != nil || !strings.HasPrefix(f.URL, "http://") {
				t.Errorf("html=%v: taken was %+v (%v)", html, f, err)
			}
		}
		want := server.Index.Filenames("cheddar")
		extra := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(want, n) })
		// In HTML the address names the file, and the size is not stated: entries
		// that are hostile only in these are honest there.
		if len(names)-len(extra) != len(want) || len(a.Refused) == 0 || len(extra) > 0 && !html {
			t.Errorf("html=%v: taken were %q beside the honest; %d were refused", html, extra, len(a.Refused))
		}
	}
}

// TestOldPage hands on a page that is behind, with its serial: who knows what to
// expect can tell.
func TestOldPage(t *testing.T) {
	server, x := dairy(t, ut.Dialect{}, 0)
	before, err := askFor(t, x, "stilton")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Index.Yank("stilton", server.Index.Filenames("stilton")[0], "mouldy"); err != nil {
		t.Fatal(err)
	}
	now, err := askFor(t, x, "stilton")
	if err != nil || now.Project.LastSerial <= before.Project.LastSerial {
		t.Fatalf("serial %d after %d (%v)", now.Project.LastSerial, before.Project.LastSerial, err)
	}
	server.Tell(ut.OnPage("stilton"), ut.Stale(1), 1)
	old, err := askFor(t, x, "stilton")
	if err != nil || old.Project.LastSerial != before.Project.LastSerial {
		t.Errorf("the old page has serial %d, want %d (%v)", old.Project.LastSerial, before.Project.LastSerial, err)
	}
}

// TestTakenAway reads pages from which the files are gone: they are valid, and
// what to believe is for others to decide.
func TestTakenAway(t *testing.T) {
	server, x := dairy(t, ut.Dialect{}, 0)
	server.Tell(ut.OnPage("feta"), ut.EmptyPage(), 1)
	if a, err := askFor(t, x, "feta"); err != nil || len(a.Project.Files) != 0 || a.Project.Status.State != pypi.StatusActive {
		t.Errorf("empty: %+v, %v", a, err)
	}
	server.Tell(ut.OnPage("feta"), ut.Quarantined("malware"), 1)
	want := pypi.Status{State: pypi.StatusQuarantined, Reason: "malware"}
	if a, err := askFor(t, x, "feta"); err != nil || len(a.Project.Files) != 0 || a.Project.Status != want {
		t.Errorf("quarantined: %+v, %v", a, err)
	}
}

// TestBombIsBounded unpacks no more of a bomb than a page may have.
func TestBombIsBounded(t *testing.T) {
	const maxPage = 1 << 20
	server, x := dairy(t, ut.Dialect{}, maxPage)
	server.Tell(ut.OnPage("cheddar"), ut.GzipBomb(256), 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := askFor(t, x, "cheddar")
	runtime.ReadMemStats(&after)
	if wire.CauseOf(err) != wire.Lie {
		t.Errorf("the bomb gives %v", err)
	}
	// The server's part, which packs the bomb, is in it too.
	if used := after.TotalAlloc - before.TotalAlloc; used > 24*maxPage {
		t.Errorf("%d MB were allocated for a page of at most %d MB", used>>20, maxPage>>20)
	}
}

// TestSizeLimit reads pages around the limit, packed and not.
func TestSizeLimit(t *testing.T) {
	const limit = 20_000
	for _, packed := range []bool{false, true} {
		for _, size := range []int{limit - 1, limit, limit + 1, 10 * limit} {
			body := []byte(`{"meta":{"api-version":"1.1"},"name":"x","files":[],"versions":[]}`)
			body = append(body, bytes.Repeat([]byte(" "), size-len(body))...)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", pypi.ContentTypeJSON)
				var to io.Writer = w
				if packed {
					w.Header().Set("Content-Encoding", "gzip")
					z := gzip.NewWriter(w)
					defer func() { _ = z.Close() }() // the reader may have gone
					to = z
				}
				_, _ = to.Write(body) // likewise
			}))
			_, err := askFor(t, asker(t, server.URL+"/simple/", limit, patient), "x")
			if (err == nil) != (size <= limit) || err != nil && wire.CauseOf(err) != wire.Lie {
				t.Errorf("%d bytes, packed %v: %v", size, packed, err)
			}
			server.Close()
		}
	}
}

// TestHeadersThatLie sends headers that must not be kept or believed.
func TestHeadersThatLie(t *testing.T) {
	header := http.Header{}
	asked := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header
		for k, v := range header {
			w.Header()[k] = v
		}
		_, _ = io.WriteString(w, `{"meta":{"api-version":"1.1","_last-serial":7},"name":"x","files":[],"versions":[]}`)
	}))
	defer server.Close()
	x := asker(t, server.URL+"/simple", 0, patient)
	if x.Address() != server.URL+"/simple/" {
		t.Errorf("address %s", x.Address())
	}
	for _, c := range []struct {
		key, value string
		ok         bool
		etag       string
		serial     int64
	}{
		{"X-Pypi-Last-Serial", "9", true, "", 9},
		{"X-Pypi-Last-Serial", "3", true, "", 7},
		{"X-Pypi-Last-Serial", "-1", true, "", 7},
		{"X-Pypi-Last-Serial", "99999999999999999999", true, "", 7},
		{"Etag", `W/"weak"`, true, `W/"weak"`, 7},
		{"Etag", `"` + strings.Repeat("x", 5000) + `"`, true, "", 7},
		{"Etag", "\"caf\xe9\"", true, "", 7},
		{"Content-Encoding", "br", false, "", 0},
		{"Content-Encoding", "gzip", false, "", 0}, // it is not
		{"Content-Encoding", "identity", true, "", 7},
	} {
		header = http.Header{"Content-Type": {pypi.ContentTypeJSON}, c.key: {c.value}}
		a, err := askFor(t, x, "x")
		if h := <-asked; h.Get("Accept-Encoding") != "gzip" || !strings.HasPrefix(h.Get("Accept"), pypi.ContentTypeJSON) {
			t.Errorf("asked with %v", h)
		}
		if !c.ok {
			if wire.CauseOf(err) != wire.Lie {
				t.Errorf("%s %.40q: %v", c.key, c.value, err)
			}
			continue
		}
		if err != nil || a.Validators.ETag != c.etag || a.Project.LastSerial != c.serial {
			t.Errorf("%s %.40q: %+v, serial %d (%v)", c.key, c.value, a.Validators, a.Project.LastSerial, err)
		}
	}
	header = http.Header{"Content-Type": {pypi.ContentTypeJSON}, "X-Much": {strings.Repeat("x", 2<<20)}}
	if _, err := askFor(t, x, "x"); wire.CauseOf(err) != wire.Lie {
		t.Errorf("a header of 2 MB: %v", err)
	}
	<-asked
}

func TestAddressIsChecked(t *testing.T) {
	for _, address := range []string{"pypi.org/simple", "ftp://x.example/", "http://", "http://[::1", "/simple/"} {
		if _, err := upstream.New(address, nil, 0); err == nil || !strings.Contains(err.Error(), strconv.Quote(address)) {
			t.Errorf("%q: %v", address, err)
		}
	}
	x, err := upstream.New("", nil, 0)
	if err != nil || x.Address() != upstream.PyPI {
		t.Errorf("no address: %v (%v)", x, err)
	}
	x, err = upstream.New("https://x.example/pypi/simple?a=b#c", nil, 0)
	if err != nil || x.Address() != "https://x.example/pypi/simple/" {
		t.Errorf("address %v (%v)", x, err)
	}
}

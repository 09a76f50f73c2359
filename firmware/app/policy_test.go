package app

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/httpd"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// front is what clients see of a follower.
func (f *follower) front() http.Handler {
	return httpd.New(httpd.Deps{
		Index: frontIndex{f.Engine, f.store, &journal{store: f.store}, space{}}, Source: frontFiles{f.Engine, f.store, &visits{}, space{}},
		Legacy: frontLegacy{f.store, f.Engine, space{}},
	})
}

// ask makes a request for JSON.
func (f *follower) ask(path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", "http://box.example"+path, nil)
	r.Header.Set("Accept", "application/vnd.pypi.simple.v1+json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.front().ServeHTTP(w, r)
	return w
}

// offered is what a page and PyPI's older API list.
type offered struct {
	Versions []string `json:"versions"`
	Notes    []string `json:"_notes"`
	Files    []struct {
		Filename string `json:"filename"`
	} `json:"files"`
	etag string
}

func (f *follower) offered(name string) (o offered) {
	f.t.Helper()
	w := f.ask("/simple/" + name + "/")
	if w.Code != 200 {
		f.t.Fatalf("%s: %d %s", name, w.Code, w.Body)
	}
	f.must(json.Unmarshal(w.Body.Bytes(), &o))
	o.etag = w.Header().Get("ETag")
	if again := f.ask("/simple/"+name+"/", "If-None-Match", o.etag); again.Code != 304 {
		f.t.Errorf("%s: a page that did not change is answered %d", name, again.Code)
	}
	return o
}

func (o offered) names() []string {
	out := []string{}
	for _, f := range o.Files {
		out = append(out, f.Filename)
	}
	return out
}

// releases are those of PyPI's older API.
func (f *follower) releases(name string) []string {
	f.t.Helper()
	var doc struct {
		Releases map[string]any `json:"releases"`
	}
	f.must(json.Unmarshal(f.ask("/pypi/"+name+"/json").Body.Bytes(), &doc))
	out := []string{}
	for v := range doc.Releases {
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

// fileURL is where a file stands on this box.
func (f *follower) fileURL(name, filename string) string {
	content, _ := f.server.Index.Content(filename)
	return fmt.Sprintf("/files/%s/%s/%s", name, pypi.Digest(sha256.Sum256(content)), filename)
}

// ruled is a follower of one project with a release of each age, in days.
func ruled(t *testing.T, rules config.Policy, ages ...int) (f *follower, files []string) {
	t.Helper()
	f = follow(t, 1, upstreamtest.Dialect{})
	f.config = func(c *Config) { c.Policy = rules; c.Sync.Latest = 0 }
	files = f.server.Index.Filenames("curd-0000")
	for range ages[1:] {
		files = append(files, f.change("curd-0000"))
	}
	for i, age := range ages {
		f.must(f.server.Index.SetUploadTime("curd-0000", files[i], f.clock().Add(-time.Duration(age)*day)))
	}
	f.restart()
	return f, files
}

const day = 24 * time.Hour

// TestCooldown holds that a file is neither offered, nor given out, nor fetched before
// it is of age, and that pages and their tags change when it is.
func TestCooldown(t *testing.T) {
	t.Parallel()
	f, files := ruled(t, config.Policy{MinAge: config.Duration(7 * day)}, 30, 5, 1)
	requests := f.pass(syncer.SyncOptions{})
	if got := requests.On(upstreamtest.OnFile("*")).Paths(); len(got) == 0 || strings.Contains(strings.Join(got, " "), files[1]) {
		t.Errorf("the pass fetched %v", got)
	}
	check := func(of int) offered {
		t.Helper()
		o := f.offered("curd-0000")
		if !slices.Equal(o.names(), files[:of]) || len(o.Versions) != of || len(o.Notes) != len(files)-of {
			t.Errorf("of %v these are offered: %+v", files, o)
		}
		for i, file := range files {
			w := f.ask(f.fileURL("curd-0000", file))
			if i < of && w.Code != 200 || i >= of && (w.Code != 404 || !strings.Contains(w.Body.String(), "held back until 2026-03-")) {
				t.Errorf("%s: %d %s", file, w.Code, w.Body)
			}
			if w := f.ask(f.fileURL("curd-0000", file) + ".metadata"); (w.Code == 200) != (i < of) {
				t.Errorf("%s.metadata: %d", file, w.Code)
			}
		}
		if got := f.releases("curd-0000"); len(got) != of {
			t.Errorf("the older API lists %v", got)
		}
		return o
	}
	young := check(1)
	if html := f.ask("/simple/curd-0000/?format=text/html").Body.String(); strings.Count(html, "<a ") != 1 || strings.Count(html, "<p>") != 2 || !strings.Contains(html, "policy.min-age") {
		t.Errorf("the page for people: %s", html)
	}
	older := f.ask("/pypi/curd-0000/json").Header().Get("ETag")
	f.restart()
	if o := check(1); o.etag != young.etag {
		t.Errorf("a restart changes the tag from %s to %s", young.etag, o.etag)
	}
	f.sleep(2*day - time.Second)
	check(1)
	f.sleep(time.Second) // the second one is of age
	f.pass(syncer.SyncOptions{})
	if o := check(2); o.etag == young.etag {
		t.Error("a file came of age, and the tag stayed")
	}
	if etag := f.ask("/pypi/curd-0000/json").Header().Get("ETag"); etag == older {
		t.Error("a file came of age, and the tag of the older API stayed")
	}
	f.sleep(30 * day)
	check(3) // the last one is pulled through
}

// TestCooldownOfWhatIsHere holds back also what was fetched before there was a rule,
// and lets out what is allowed.
func TestCooldownOfWhatIsHere(t *testing.T) {
	t.Parallel()
	f, files := ruled(t, config.Policy{}, 30, 1)
	f.pass(syncer.SyncOptions{})
	free := f.offered("curd-0000")
	if len(free.Files) != 2 || free.Notes != nil {
		t.Fatalf("without rules: %+v", free)
	}
	f.config = func(c *Config) { c.Policy.MinAge = config.Duration(7 * day) }
	f.restart()
	if o := f.offered("curd-0000"); !slices.Equal(o.names(), files[:1]) || o.etag == free.etag {
		t.Errorf("with a cooldown: %+v", o)
	}
	f.config = func(c *Config) {
		c.Policy = config.Policy{MinAge: config.Duration(7 * day), Allow: []string{"curd-0000==2.0 # mends a hole"}}
	}
	f.restart()
	if o := f.offered("curd-0000"); !slices.Equal(o.names(), files) {
		t.Errorf("with one version allowed: %+v", o)
	}
	f.must(f.server.Kill())
	f.config = nil
	f.restart()
	f.sleep(time.Hour)
	if o := f.offered("curd-0000"); !slices.Equal(o.names(), files) {
		t.Errorf("without rules and without a line: %+v", o)
	}
}

// TestBlocked holds that what is blocked is not offered, not given out and not
// fetched, and that whoever asks is told why.
func TestBlocked(t *testing.T) {
	t.Parallel()
	f := follow(t, 3, upstreamtest.Dialect{})
	second := f.change("curd-0001")
	content, _ := f.server.Index.Content(f.server.Index.Filenames("curd-0002")[0])
	f.config = func(c *Config) {
		c.Policy.Block = []string{"Curd_0000 # a typosquat", "curd-0001>=2 # it loses data", "sha256:" + pypi.Digest(sha256.Sum256(content)).String() + " # a trojan"}
	}
	f.restart()
	requests := f.pass(syncer.SyncOptions{})
	if pages := requests.On(upstreamtest.OnPage("curd-0000")); len(pages) != 0 {
		t.Errorf("the page of a blocked project was asked for: %v", pages.Paths())
	}
	if status, err := f.Status(); err != nil || !slices.ContainsFunc(status.Problems, func(p syncer.Problem) bool {
		return p.Project == "curd-0000" && strings.Contains(p.Reason, "a typosquat")
	}) {
		t.Errorf("the status does not say why a project of the selection is not here: %+v, %v", status.Problems, err)
	}
	why := map[string]string{
		"/simple/curd-0000/":                                             "curd-0000 is blocked on this cheeseboard: a typosquat",
		"/pypi/curd-0000/json":                                           "a typosquat",
		f.fileURL("curd-0001", second):                                   "it loses data",
		f.fileURL("curd-0001", second) + ".metadata":                     "it loses data",
		f.fileURL("curd-0002", f.server.Index.Filenames("curd-0002")[0]): "a trojan",
	}
	for path, want := range why {
		if w := f.ask(path); w.Code != 404 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if o := f.offered("curd-0001"); len(o.Files) != 1 || len(o.Versions) != 1 || len(o.Notes) != 1 {
		t.Errorf("a project with a blocked version: %+v", o)
	}
	if o := f.offered("curd-0002"); len(o.Files) != 0 || len(o.Notes) != 1 {
		t.Errorf("a project with a blocked file: %+v", o)
	}
	if got := f.releases("curd-0001"); !slices.Equal(got, []string{"1.0"}) {
		t.Errorf("the older API lists %v", got)
	}
	for _, r := range requests.On(upstreamtest.OnFile("*")) {
		if strings.Contains(r.Path, "curd_0000") || strings.Contains(r.Path, "curd_0002") || strings.Contains(r.Path, second) {
			t.Errorf("what is blocked was fetched: %s", r.Path)
		}
	}
}

// TestBlockedLater blocks what is here, and takes that back.
func TestBlockedLater(t *testing.T) {
	t.Parallel()
	f := follow(t, 2, upstreamtest.Dialect{})
	f.pass(syncer.SyncOptions{})
	before, list := f.offered("curd-0000"), f.ask("/simple/")
	f.config = func(c *Config) { c.Policy.Block = []string{"curd-0000 # no"} }
	f.restart()
	for _, path := range []string{"/simple/curd-0000/", f.fileURL("curd-0000", before.names()[0]), "/pypi/curd-0000/json"} {
		if w := f.ask(path); w.Code != 404 || !strings.Contains(w.Body.String(), ": no") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	w := f.ask("/simple/", "If-None-Match", list.Header().Get("ETag"))
	if w.Code != 200 || strings.Contains(w.Body.String(), "curd-0000") || !strings.Contains(w.Body.String(), "curd-0001") {
		t.Errorf("the root list: %d %s", w.Code, w.Body)
	}
	f.config = nil
	f.restart()
	f.must(f.server.Kill())
	if o := f.offered("curd-0000"); !slices.Equal(o.names(), before.names()) {
		t.Errorf("what was blocked for a while: %+v", o)
	}
	if w := f.ask("/simple/"); !strings.Contains(w.Body.String(), "curd-0000") {
		t.Errorf("the root list: %d %s", w.Code, w.Body)
	}
}

// TestCooldownEndsWhatIsAnsweredAgain holds that an answer which is kept is not given
// any more when a file comes of age, although nothing was stored.
func TestCooldownEndsWhatIsAnsweredAgain(t *testing.T) {
	t.Parallel()
	f, _ := ruled(t, config.Policy{MinAge: config.Duration(7 * day)}, 30, 5)
	f.pass(syncer.SyncOptions{})
	f.config = func(c *Config) {
		c.Policy.MinAge = config.Duration(7 * day)
		c.Pull.Enabled = false
	}
	f.restart()
	view, err := f.Page(t.Context(), "curd-0000")
	f.must(err)
	if view.Still == nil || !view.Still() {
		t.Fatal("a page that does not change is not answered again")
	}
	f.sleep(2*day - time.Second)
	if !view.Still() {
		t.Error("no file has come of age, and the page is not answered again")
	}
	f.sleep(time.Second)
	if view.Still() {
		t.Error("a file has come of age, and the page is answered as it was")
	}
}

package app_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// publish starts an index of wheels, written as "name version" or, with what they
// need, "name version: requirement, requirement".
func publish(t *testing.T, wheels ...string) *upstreamtest.Server {
	t.Helper()
	index := upstreamtest.NewIndex()
	server := upstreamtest.NewServer(index)
	for i, text := range wheels {
		text, needs, _ := strings.Cut(text, ": ")
		name, version, _ := strings.Cut(text, " ")
		w := upstreamtest.Wheel{Name: name, Version: version, Seed: uint64(i) + uint64(len(wheels))<<8}
		if needs != "" {
			w.Requires = strings.Split(needs, ", ")
		}
		if _, err := index.AddWheel(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// office is a box with PyPI's stand-in as the default index, and corp beside it.
type office struct {
	t            *testing.T
	public, corp *upstreamtest.Server
	config       app.Config
	*app.App
}

func newOffice(t *testing.T, public, corp *upstreamtest.Server, projects ...string) *office {
	o := &office{t: t, public: public, corp: corp, config: boxConfig(public, t.TempDir(), projects)}
	o.config.Index = []config.Index{{Name: "corp", URL: corp.IndexURL(), Projects: []string{"corp-*"}}}
	o.open()
	t.Cleanup(o.close)
	return o
}

func (o *office) open() {
	o.t.Helper()
	var err error
	if o.App, err = app.Open(o.config, slog.New(slog.DiscardHandler)); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) close() {
	o.t.Helper()
	if err := o.Close(); err != nil {
		o.t.Error(err)
	}
}

// restart opens the box anew, with other rules for corp.
func (o *office) restart(patterns ...string) {
	o.t.Helper()
	o.close()
	o.config.Index = nil
	if len(patterns) > 0 {
		o.config.Index = []config.Index{{Name: "corp", URL: o.corp.IndexURL(), Projects: patterns}}
	}
	o.open()
}

func (o *office) sync() syncer.Summary {
	o.t.Helper()
	s, err := syncBox(o.t, o.App)
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

// ask asks for a page and follows redirects, as clients do. It gives what was
// answered and, with a slash on both sides, from where.
func (o *office) ask(path string) (w *httptest.ResponseRecorder, at string) {
	o.t.Helper()
	for range 3 {
		w = httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://box.example"+path, nil)
		r.Header.Set("Accept", "application/vnd.pypi.simple.v1+json, application/vnd.pypi.integrity.v1+json")
		o.Handler().ServeHTTP(w, r)
		to := w.Header().Get("Location")
		if to == "" {
			break
		}
		u, err := r.URL.Parse(to)
		if err != nil {
			o.t.Fatal(err)
		}
		path = u.RequestURI()
	}
	return w, path
}

// want asks and compares the status; the answer must hold, or with ! not hold, texts.
func (o *office) want(path string, status int, texts ...string) {
	o.t.Helper()
	w, at := o.ask(path)
	if w.Code != status {
		o.t.Errorf("%s: %d from %s, want %d: %s", path, w.Code, at, status, w.Body)
	}
	for _, text := range texts {
		text, not := strings.CutPrefix(text, "!")
		if strings.Contains(w.Body.String(), text) == not {
			o.t.Errorf("%s (from %s): %s in %s is %t", path, at, text, w.Body, !not)
		}
	}
}

// file gives the address of a file of an index at a front.
func file(server *upstreamtest.Server, front, project, filename string) string {
	content, _ := server.Index.Content(filename)
	return fmt.Sprintf("%s/files/%s/%x/%s", front, project, sha256.Sum256(content), filename)
}

// TestConfusion holds that a project comes from one index only: whoever publishes a
// higher version under the same name in the other one is never heard.
func TestConfusion(t *testing.T) {
	public := publish(t, "corp-tools 99.0", "requests 2.0")
	corp := publish(t, "corp-tools 1.0", "requests 99.0")
	o := newOffice(t, public, corp)
	for round := range 2 { // pulled through, and then from the disk
		o.want("/corp/simple/corp-tools/", 200, "corp_tools-1.0", "!corp_tools-99.0")
		o.want("/simple/corp-tools/", 200, "corp_tools-1.0", "!corp_tools-99.0") // it leads there
		o.want("/simple/requests/", 200, "requests-2.0", "!requests-99.0")
		o.want("/corp/simple/requests/", 404, "requests belongs to the default index", "/simple/", "[[index]]")
		o.want(file(public, "", "corp-tools", "corp_tools-99.0-py3-none-any.whl"), 404, "corp-tools belongs to the index corp")
		o.want(file(public, "/corp", "corp-tools", "corp_tools-99.0-py3-none-any.whl"), 404, "names no")
		o.want(file(corp, "/corp", "requests", "requests-99.0-py3-none-any.whl"), 404, "requests belongs to the default index")
		o.want(file(corp, "", "requests", "requests-99.0-py3-none-any.whl"), 404)
		o.want(file(corp, "", "corp-tools", "corp_tools-1.0-py3-none-any.whl"), 404, "stands at /corp/simple/")
		w, _ := o.ask(file(corp, "/corp", "corp-tools", "corp_tools-1.0-py3-none-any.whl"))
		if content, _ := corp.Index.Content("corp_tools-1.0-py3-none-any.whl"); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), content) {
			t.Errorf("the file of the right index: %d, %d bytes", w.Code, w.Body.Len())
		}
		w, _ = o.ask(file(public, "", "requests", "requests-2.0-py3-none-any.whl"))
		if content, _ := public.Index.Content("requests-2.0-py3-none-any.whl"); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), content) {
			t.Errorf("the file of the default index: %d, %d bytes", w.Code, w.Body.Len())
		}
		o.want("/pypi/corp-tools/json", 404, "belongs to the index corp")
		o.want("/simple/", 200, "requests", "!corp-tools")
		o.want("/corp/simple/", 200, "corp-tools", "!requests")
		o.want("/search?format=json&q=corp", 200, `"names":["corp-tools"]`)
		o.want("/project/corp-tools", 200, "of the index corp", `href="../corp/simple/corp-tools/"`, "1.0", "!99.0", "!requests")
		o.want("/project/requests", 200, "2.0", "!99.0")
		if round > 0 {
			break
		}
		if err := errors.Join(public.Kill(), corp.Kill()); err != nil {
			t.Fatal(err)
		}
		o.restart("corp-*")
	}
	if asked := public.Requests().On(upstreamtest.OnPage("corp-tools")); len(asked) != 0 {
		t.Errorf("the public index was asked for a name of ours: %v", asked.Paths())
	}
	if asked := corp.Requests().On(upstreamtest.OnPage("requests")); len(asked) != 0 {
		t.Errorf("ours was asked for a public name: %v", asked.Paths())
	}
}

// TestDeadIndexFallsNowhere holds that a name of an index that cannot be reached is
// not looked for elsewhere.
func TestDeadIndexFallsNowhere(t *testing.T) {
	public, corp := publish(t, "corp-tools 99.0", "requests 2.0"), publish(t, "corp-tools 1.0")
	if err := corp.Kill(); err != nil {
		t.Fatal(err)
	}
	o := newOffice(t, public, corp)
	w, at := o.ask("/simple/corp-tools/")
	if w.Code == 200 || at != "/corp/simple/corp-tools/" || strings.Contains(w.Body.String(), "99.0") {
		t.Errorf("%d from %s: %s", w.Code, at, w.Body)
	}
	o.want("/simple/requests/", 200, "requests-2.0") // and holds nobody else up
}

// TestRulesChange moves a name between indexes and back.
func TestRulesChange(t *testing.T) {
	public, corp := publish(t, "tools 99.0"), publish(t, "tools 1.0")
	o := newOffice(t, public, corp, "tools")
	o.restart()
	o.sync()
	o.want("/simple/tools/", 200, "tools-99.0")
	before, err := o.Status()
	if err != nil || before.Cache.Bytes != 0 {
		t.Errorf("what is selected is pinned: %+v, %v", before.Cache, err)
	}
	o.restart("tools") // now it is ours
	if s, err := o.Status(); err != nil || s.Cache.Bytes == 0 {
		t.Errorf("what was held of the other index is only cached from now on: %+v, %v", s.Cache, err)
	}
	o.want("/simple/tools/", 200, "tools-1.0", "!tools-99.0")
	o.sync()
	if err := corp.Kill(); err != nil {
		t.Fatal(err)
	}
	o.want("/corp/simple/tools/", 200, "tools-1.0", "!tools-99.0")
	o.restart() // and public again
	if err := public.Kill(); err != nil {
		t.Fatal(err)
	}
	o.want("/simple/tools/", 200, "tools-99.0", "!tools-1.0")
	o.want("/corp/simple/tools/", 404)
	o.want("/simple/", 200, `"tools"`, "!@")
	if err := o.Verify(t.Context(), app.VerifyOptions{}, func(app.Event) {}); err != nil {
		t.Error(err)
	}
}

// TestSelectionOverIndexes has each index bring its part of the selection, and of
// what the files of the other need.
func TestSelectionOverIndexes(t *testing.T) {
	public := publish(t, "requests 2.0: idna", "idna 3.0", "numpy 2.0: corp-blas", "corp-base 99.0", "corp-blas 99.0")
	corp := publish(t, "corp-tools 1.0: requests, corp-base", "corp-base 1.0: numpy", "corp-blas 0.1", "idna 99.0", "requests 99.0")
	o := newOffice(t, public, corp, "corp-tools")
	sum := o.sync()
	if sum.Files != 6 || sum.Failed != 0 || !sum.Complete {
		t.Errorf("the sync brought %+v", sum)
	}
	for _, s := range []*upstreamtest.Server{public, corp} {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		for name, version := range map[string]string{"corp-tools": "1.0", "corp-base": "1.0", "corp-blas": "0.1", "requests": "2.0", "idna": "3.0", "numpy": "2.0"} {
			o.want("/simple/"+name+"/", 200, strings.ReplaceAll(name, "-", "_")+"-"+version, "!99.0")
		}
		if s, err := o.Status(); err != nil || s.Cache.Bytes != 0 || s.Store.Files != 6 {
			t.Errorf("all of it is held: %+v %+v %v", s.Store, s.Cache, err)
		}
	}
	check()
	o.restart("corp-*")
	o.want("/simple/numpy/", 200, "numpy-2.0")
	status, err := o.Status()
	if err != nil || len(status.Indexes) != 1 || status.Indexes[0].Name != "corp" || status.Indexes[0].Sync.Selected != 1 || status.Sync.Selected != 0 {
		t.Errorf("status: %+v, %v", status, err)
	}
	if _, err := syncBox(t, o.App); err != nil {
		t.Logf("a sync without a line: %v", err) // it finds what is here
	}
	check()
}

// TestBackupOfIndexes carries all of them over.
func TestBackupOfIndexes(t *testing.T) {
	public, corp := publish(t, "tools 99.0"), publish(t, "corp-tools 1.0", "tools 1.0")
	o := newOffice(t, public, corp, "corp-tools", "tools")
	o.sync()
	o.close()
	path := filepath.Join(t.TempDir(), "box.backup")
	if _, err := app.RunBackup(t.Context(), o.config, slog.New(slog.DiscardHandler), path, nil); err != nil {
		t.Fatal(err)
	}
	if err := restoreFile(t, o.config, path, app.RestoreOptions{Replace: true}, func(app.Event) {}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*upstreamtest.Server{public, corp} {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	o.open()
	o.want("/simple/corp-tools/", 200, "corp_tools-1.0")
	o.want("/simple/tools/", 200, "tools-99.0", "!tools-1.0")
	o.want(file(corp, "/corp", "corp-tools", "corp_tools-1.0-py3-none-any.whl"), 200)
}

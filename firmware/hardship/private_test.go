package hardship

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cheeseboard/firmware/app"
	"cheeseboard/syncer/upstreamtest"
)

// token makes a token for uploading in the box that serves.
func (b *box) token(c app.Config) string {
	b.Helper()
	made, err := app.RunToken(timeout(b), c, logTo(b, nil), app.TokenOrder{Add: &app.NewToken{Name: "tester", Scope: app.TokenUpload}})
	must(b, err)
	return made.Secret
}

// upload sends a distribution as twine does.
func (b *box) upload(token, name, version, filename string, content []byte, fields ...string) answer {
	b.Helper()
	kind := "bdist_wheel"
	if !strings.HasSuffix(filename, ".whl") {
		kind = "sdist"
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i+1 < len(fields); i += 2 {
		must(b, form.WriteField(fields[i], fields[i+1]))
	}
	for _, f := range [][2]string{
		{":action", "file_upload"}, {"protocol_version", "1"}, {"name", name}, {"version", version},
		{"filetype", kind}, {"sha256_digest", digestOf(content)},
	} {
		must(b, form.WriteField(f[0], f[1]))
	}
	part, err := form.CreateFormFile("content", filename)
	must(b, err)
	_, err = part.Write(content)
	must(b, err)
	must(b, form.Close())
	req, err := http.NewRequestWithContext(timeout(b), http.MethodPost, b.url+"/legacy/", &body)
	must(b, err)
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.SetBasicAuth("__token__", token)
	resp, err := b.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, a.err = io.ReadAll(resp.Body)
	check(b, resp.Body.Close())
	return a
}

func builtWheel(t testing.TB, w upstreamtest.Wheel) []byte {
	t.Helper()
	content, err := w.Build()
	must(t, err)
	return content
}

// TestOwnNames: an upstream publishes packages under names that are this box's own.
// Whatever clients ask, whatever is selected and whatever the upstream tells: it is
// never asked for them, and nothing of it is given out.
func TestOwnNames(t *testing.T) {
	t.Parallel()
	index := upstreamtest.NewIndex()
	for _, w := range []upstreamtest.Wheel{
		{Name: "acme-x", Version: "99.0", Requires: []string{"evil"}}, {Name: "acme-y", Version: "99.0"},
		{Name: "honest", Version: "1.0", Requires: []string{"acme-x", "acme-z", "curd"}},
		{Name: "curd", Version: "1.0"}, {Name: "evil", Version: "1.0"},
	} {
		_, err := index.AddWheel(w)
		must(t, err)
	}
	theirs, mirror := upstream(t, index), upstream(t, index)
	c := settings(t, theirs, "honest", "acme-x", "acme-y")
	c.Private.Names = []string{"acme-*"}
	c.Sync.Names, c.Sync.Pages = true, true
	c.Upstream.Mirrors = []string{mirror.IndexURL()}
	b := serve(t, c)
	token := b.token(c)

	ours := upstreamtest.Wheel{Name: "Acme.X", Version: "1.0", Requires: []string{"curd"}, RequiresPython: ">=3.8"}
	content := builtWheel(t, ours)
	if a := b.upload(token, "Acme.X", "1.0", ours.Filename(), content, "requires_python", ">=3.8"); !a.whole() {
		t.Fatalf("%v %s", a, a.body)
	}
	b.synced()
	_, err := index.AddWheel(upstreamtest.Wheel{Name: "acme-x", Version: "100.0"}) // the feed tells
	must(t, err)
	b.synced()

	for _, alive := range []bool{true, false} {
		if !alive {
			must(t, theirs.Kill())
			b.get("/simple/nobody-has-it/")
		}
		p := b.page("acme-x")
		if !p.whole() || !slices.Equal(p.names, []string{ours.Filename()}) || p.files[0].sha256 != digestOf(content) || p.files[0].metadata == "" {
			t.Fatalf("upstream alive %t: %v %+v", alive, p, p.files)
		}
		if h := b.html("acme-x"); !h.whole() || !slices.Equal(h.names, p.names) {
			t.Errorf("as HTML: %v %v", h, h.names)
		}
		if a := b.get(p.files[0].url); !a.whole() || digestOf(a.body) != digestOf(content) {
			t.Errorf("the file: %v", a)
		}
		if a := b.get(p.files[0].url + ".metadata"); !a.whole() || !bytes.Equal(a.body, ours.Metadata()) {
			t.Errorf("its metadata: %v %s", a, a.body)
		}
		for _, name := range []string{"acme-y", "acme-z", "Acme_Y"} {
			if a := b.get("/simple/" + name + "/"); a.status != http.StatusNotFound || !bytes.Contains(a.body, []byte("own names")) {
				t.Errorf("%s: %v %s", name, a, a.body)
			}
		}
		evil, _ := index.Content("acme_x-99.0-py3-none-any.whl")
		if a := b.get("/files/acme-x/" + digestOf(evil) + "/acme_x-99.0-py3-none-any.whl"); a.status != http.StatusNotFound {
			t.Errorf("the upstream's file: %v %s", a, a.body)
		}
		if a := b.get("/pypi/acme-y/json"); a.status != http.StatusNotFound {
			t.Errorf("the older JSON API: %v %s", a, a.body)
		}
	}
	for _, name := range b.names() {
		if strings.HasPrefix(name, "acme-") && name != "acme-x" || name == "evil" && len(b.holdings(name)) > 0 {
			t.Errorf("%s is here", name)
		}
	}
	if len(b.holdings("curd")) == 0 {
		t.Error("what a private package needs, and is selected, is not here")
	}
	for _, server := range []*upstreamtest.Server{theirs, mirror} {
		for _, r := range server.Requests() {
			if strings.Contains(r.Path+r.Query+r.Call, "acme") {
				t.Errorf("it was asked for %s %s %s", r.Path, r.Query, r.Call)
			}
		}
	}
	b.sound()
}

// TestNamesBecomeOurs: a name that was mirrored is taken for our own by the settings.
// What came from the upstream goes, and comes no more; what was uploaded stays ours
// when the settings are lost.
func TestNamesBecomeOurs(t *testing.T) {
	t.Parallel()
	index, projects := village(t, 12)
	c := settings(t, upstream(t, index), projects...)
	b := open(t, c)
	b.synced()
	b.close()

	all := c
	all.Private.Names = []string{"hut-*"}
	if _, err := app.Open(all, logTo(t, nil)); err == nil || !strings.Contains(err.Error(), "private.names matches 12 projects") {
		t.Fatalf("settings that take everything away: %v", err)
	}
	one := c
	one.Private.Names = []string{"Hut_3"}
	b = serve(t, one)
	if a := b.get("/simple/hut-3/"); a.status != http.StatusNotFound {
		t.Errorf("what was mirrored is served: %v %s", a, a.body)
	}
	if len(b.holdings("hut-3")) > 0 || slices.Contains(b.names(), "hut-3") {
		t.Error("what was mirrored is here")
	}
	w := upstreamtest.Wheel{Name: "hut-3", Version: "0.1"}
	if a := b.upload(b.token(one), "hut-3", "0.1", w.Filename(), builtWheel(t, w)); !a.whole() {
		t.Fatalf("%v %s", a, a.body)
	}
	b.synced()
	b.close()

	b = open(t, c) // private.names is lost
	b.synced()
	if p := b.page("hut-3"); !p.whole() || !slices.Equal(p.names, []string{w.Filename()}) {
		t.Errorf("%v %v", p, p.names)
	}
	if p := b.page("hut-4"); !p.whole() || len(p.names) != 1 {
		t.Errorf("%v %v", p, p.names)
	}
	b.sound()
}

// TestUploadRules: what may be uploaded, and what is answered, against a box that
// serves.
func TestUploadRules(t *testing.T) {
	t.Parallel()
	c := settings(t, upstream(t, upstreamtest.NewIndex()))
	c.Private.Names, c.Private.MaxFileSize = []string{"acme-*"}, 100_000
	c.Policy.MinAge = c.Sync.Interval // what is our own need not come of age
	b := serve(t, c)
	token := b.token(c)
	one := upstreamtest.Wheel{Name: "acme-x", Version: "1.0"}
	content := builtWheel(t, one)
	other := one
	other.Payload = 100
	foreign := upstreamtest.Wheel{Name: "requests", Version: "1.0"}
	large := upstreamtest.Wheel{Name: "acme-x", Version: "2.0", Payload: 200_000}
	sdist := upstreamtest.Sdist{Name: "acme-x", Version: "1.0"}
	source, err := sdist.Build()
	must(t, err)
	for _, step := range []struct {
		what          string
		token         string
		name, version string
		filename      string
		content       []byte
		fields        []string
		status        int
		why           string
	}{
		{"a wrong token", token + "x", "acme-x", "1.0", one.Filename(), content, nil, 401, "token"},
		{"another metadata version", token, "acme-x", "1.0", one.Filename(), content, []string{"metadata_version", "2.4"}, 400, "metadata"},
		{"another requires_python", token, "acme-x", "1.0", one.Filename(), content, []string{"requires_python", ">=3"}, 400, "requires_python"},
		{"words for a wheel", token, "acme-x", "1.0", one.Filename(), []byte("words"), nil, 400, "zip"},
		{"a wheel", token, "acme-x", "1.0", one.Filename(), content, nil, 200, "here"},
		{"the same again", token, "Acme_X", "1.0", one.Filename(), content, nil, 200, "already"},
		{"other bytes", token, "acme-x", "1.0", one.Filename(), builtWheel(t, other), nil, 400, "already exist"},
		{"the same bytes as another version", token, "acme-x", "1.1", "acme_x-1.1-py3-none-any.whl", content, nil, 400, "not called after"},
		{"a sdist", token, "acme-x", "1.0", sdist.Filename(), source, nil, 200, "here"},
		{"somebody else's name", token, "requests", "1.0", foreign.Filename(), builtWheel(t, foreign), nil, 403, "not one of this box's own names"},
		{"too large", token, "acme-x", "2.0", large.Filename(), builtWheel(t, large), nil, 413, "at most 100000"},
	} {
		a := b.upload(step.token, step.name, step.version, step.filename, step.content, step.fields...)
		if a.status != step.status || !bytes.Contains(a.body, []byte(step.why)) {
			t.Errorf("%s: %v %s; want %d %q", step.what, a, a.body, step.status, step.why)
		}
	}
	p := b.page("acme-x")
	if !p.whole() || len(p.files) != 2 || p.file(one.Filename()).metadata == "" || p.file(sdist.Filename()).metadata != "" {
		t.Fatalf("%v %+v", p, p.files)
	}
	var times struct {
		Files []struct {
			At string `json:"upload-time"`
		} `json:"files"`
	}
	must(t, json.Unmarshal(p.body, &times))
	if len(times.Files) != 2 || times.Files[0].At == "" {
		t.Errorf("no upload time: %s", p.body)
	}
	if entries, err := filepath.Glob(filepath.Join(c.Data, "partial", "*")); err != nil || len(entries) > 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}

	// The disk loses the wheel: it is named, and the same bytes mend it.
	name := digestOf(content)
	must(t, os.Remove(filepath.Join(c.Data, "blobs", name[:2], name)))
	if a := b.get(p.file(one.Filename()).url); a.status != http.StatusNotFound || !bytes.Contains(a.body, []byte("uploaded again")) {
		t.Errorf("a lost file: %v %s", a, a.body)
	}
	status, err := b.Status()
	must(t, err)
	if !strings.Contains(status.Health.Summary, one.Filename()) || !strings.Contains(status.Health.Action, "upload") {
		t.Errorf("%+v", status.Health)
	}
	if a := b.upload(token, "acme-x", "1.0", one.Filename(), content); !a.whole() {
		t.Errorf("%v %s", a, a.body)
	}
	if a := b.get(p.file(one.Filename()).url); !a.whole() {
		t.Errorf("%v %s", a, a.body)
	}
	b.sound()
}

package webui_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cheeseboard/httpd/webui"
	"cheeseboard/storage/pypi"

	"golang.org/x/net/html"
)

func find(_ context.Context, name pypi.Name) (webui.Project, error) {
	switch name {
	case "broken":
		return webui.Project{}, errors.New("disk on fire")
	case "brie":
		return webui.Project{
			Name: name, Status: "archived", Reason: "<b>old</b>", Notes: []string{"2 files are held back"}, Listed: 3, Here: 1, Bytes: 1_234_567,
			Versions: []webui.ProjectVersion{
				{Version: "2.0", Uploaded: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Files: 2, Here: 1},
				{Version: "1.0", Files: 1, Yanked: true, Reason: `it "smells"`},
			}, MoreVersions: 7,
			Files: []webui.ProjectFile{{Name: "brie-2.0.tar.gz", Size: 1_234_567, Href: "../../files/brie/00/brie-2.0.tar.gz"}}, MoreFiles: 1,
		}, nil
	case "corp-tools":
		return webui.Project{Name: name, Index: "corp"}, nil
	}
	return webui.Project{}, &webui.Absent{Reason: "Nothing is known of <it>."}
}

// sound holds what is true for every page: no scripts, nothing that is loaded, and a
// policy that allows its style and nothing else.
func sound(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	policy := w.Header().Get("Content-Security-Policy")
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "img", "link", "iframe", "object":
			t.Errorf("the page has a %s", n.Data)
		case "style":
			sum := sha256.Sum256([]byte(n.FirstChild.Data))
			if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
				t.Errorf("the policy %s does not allow the style: %s", policy, want)
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" {
				t.Errorf("%s has %s", n.Data, a.Key)
			}
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}
}

func TestProjectPage(t *testing.T) {
	h := webui.NewProjects("cellar", find, nil)
	for _, c := range []struct {
		path   string
		status int
		to     string
		texts  []string
	}{
		{"/project/brie", 200, "", []string{
			"<h1>brie</h1>", "archived</strong>: &lt;b&gt;old", "2 files are held back", "1 file is here, 1.2 MB, of 3 files", "2026-01-02", "✓ 1", "yanked: it &#34;smells&#34;",
			"7 older versions", `href="../simple/brie/"`, `href="../files/brie/00/brie-2.0.tar.gz"`, "And 1 more",
		}},
		{"/project/corp-tools", 200, "", []string{`href="../corp/simple/corp-tools/"`, "of the index corp", "There are none"}},
		{"/project/other", 404, "", []string{"Nothing is known of &lt;it&gt;."}},
		{"/project/broken", 500, "", nil},
		{"/project/Old.Brie", 301, "/project/old-brie", nil},
		{"/project/brie/", 301, "/project/brie", nil},
		{"/project/", 404, "", nil},
		{"/project/a/b", 404, "", nil},
	} {
		r := httptest.NewRequest("GET", "http://box.example"+c.path, nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
		if u, err := r.URL.Parse(w.Header().Get("Location")); c.to != "" && (err != nil || u.Path != c.to) {
			t.Errorf("%s leads to %v", c.path, u)
		}
		for _, text := range c.texts {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s lacks %s: %s", c.path, text, w.Body)
			}
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			sound(t, w)
		}
		head := httptest.NewRecorder()
		h.ServeHTTP(head, httptest.NewRequest("HEAD", "http://box.example"+c.path, nil))
		if head.Code != w.Code || head.Body.Len() > 0 || head.Header().Get("Content-Length") != w.Header().Get("Content-Length") {
			t.Errorf("HEAD %s: %d %v", c.path, head.Code, head.Header())
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/project/brie", nil))
	if w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestPageTellsTheState(t *testing.T) {
	state := webui.State{
		Health: "The disk is <nearly> full.", Line: "The internet is there.", Projects: 1, Files: 2, Bytes: 999_950, Addresses: []string{"http://cheeseboard.local/", "http://192.168.1.5/"}, Mistakes: []string{"cheeseboard.toml:3:1: <what>"},
		Indexes: []webui.IndexState{{Name: "corp", Projects: "corp-*", Line: "It is down."}},
	}
	for about, h := range map[string]http.Handler{
		"with its state":     webui.New("cellar", func() (webui.State, error) { return state, nil }, nil),
		"without":            webui.New("cellar", nil, nil),
		"state not be known": webui.New("cellar", func() (webui.State, error) { return state, errors.New("disk on fire") }, nil),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://box.example/", nil))
		sound(t, w)
		if w.Code != 200 || w.Body.Len() > 10<<10 || strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%s: %d, %d bytes", about, w.Code, w.Body.Len())
		}
		for _, text := range []string{"The disk is &lt;nearly&gt; full.", "The internet is there.", "2 files of 1 project, 1.0 MB", "cheeseboard.toml:3:1: &lt;what&gt;", "http://cheeseboard.local/ · http://192.168.1.5/", `<a href="corp/simple/">corp</a>`, "corp-*"} {
			if strings.Contains(w.Body.String(), text) != (about == "with its state") {
				t.Errorf("%s: %s: %s", about, text, w.Body)
			}
		}
	}
}

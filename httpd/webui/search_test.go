package webui_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"cheeseboard/httpd/webui"
	"cheeseboard/storage/pypi"

	"github.com/google/go-cmp/cmp"
)

func TestSearch(t *testing.T) {
	find := func(words string, limit int) (webui.Found, error) {
		switch words {
		case "":
			return webui.Found{}, fmt.Errorf("%w: type a part of a name", webui.ErrQuery)
		case "broken":
			return webui.Found{}, errors.New("disk on fire")
		case "none":
			return webui.Found{}, nil
		}
		if limit < 2 {
			t.Errorf("the limit is %d", limit)
		}
		return webui.Found{Names: []pypi.Name{"brie", "old-brie"}, More: true}, nil
	}
	h := webui.NewSearch("cellar", find, slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		words     string
		status    int
		want, not string
	}{
		{"brie", 200, `<a href="project/old-brie">old-brie</a>`, "No project"},
		{"brie", 200, "There are more", "<script"},
		{`"><script>alert(1)</script>`, 200, "&lt;script&gt;", "<script"},
		{"none", 200, "No project is known here", "<li>"},
		{"", 400, "type a part of a name", "<li>"},
		{"broken", 500, "The search failed", "fire"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/search?q="+url.QueryEscape(c.words), nil))
		body := w.Body.String()
		if w.Code != c.status || !strings.Contains(body, c.want) || strings.Contains(body, c.not) || !strings.Contains(body, "cellar") {
			t.Errorf("%q: %d\n%s", c.words, w.Code, body)
		}
	}
	for words, want := range map[string]webui.Found{
		"brie": {Query: "brie", Names: []pypi.Name{"brie", "old-brie"}, More: true},
		"none": {Query: "none", Names: []pypi.Name{}},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/search?format=json&q="+words, nil))
		var got webui.Found
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || !cmp.Equal(got, want) {
			t.Errorf("%s: %d %s (%v)", words, w.Code, w.Body, err)
		}
	}
	for method, want := range map[string]int{"HEAD": 200, "POST": 405} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/search?q=brie", nil))
		if w.Code != want || method == "HEAD" && w.Body.Len() > 0 {
			t.Errorf("%s: %d, %d bytes", method, w.Code, w.Body.Len())
		}
	}
}

package app_test

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"testing"

	"cheeseboard/httpd/webui"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstreamtest"
)

// TestSearchFindsWhatIsHere searches by HTTP before and after a sync, and for a
// project that has come since.
func TestSearchFindsWhatIsHere(t *testing.T) {
	server, names := many(t, 5)
	box := openBox(t, server, t.TempDir(), names)
	defer closeBox(t, box)
	search := func(query string) []pypi.Name {
		t.Helper()
		w := httptest.NewRecorder()
		box.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/search?format=json&q="+query, nil))
		var found webui.Found
		if err := json.Unmarshal(w.Body.Bytes(), &found); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		return found.Names
	}
	if got := search("curd"); len(got) > 0 {
		t.Errorf("before anything is here: %v", got)
	}
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	if got := search("CURD_00"); len(got) != 5 || got[0] != "curd-000" {
		t.Errorf("after a sync: %v", got)
	}
	if _, err := server.Index.AddWheel(upstreamtest.Wheel{Name: "curdle", Version: "1.0"}); err != nil {
		t.Fatal(err)
	}
	box.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/simple/curdle/", nil))
	if got := search("curdl"); !slices.Equal(got, []pypi.Name{"curdle"}) {
		t.Errorf("after a client asked for it: %v", got)
	}
	w := httptest.NewRecorder()
	box.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/search?q=", nil))
	if w.Code != 400 {
		t.Errorf("an empty search gives %d", w.Code)
	}
}

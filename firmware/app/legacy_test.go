package app_test

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestLegacyHasNoProjectInQuarantine holds that the older API, which has no word for
// it, answers as PyPI does: 404; the page says why.
func TestLegacyHasNoProjectInQuarantine(t *testing.T) {
	server, names := many(t, 2)
	box := openBox(t, server, t.TempDir(), names)
	defer closeBox(t, box)
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	ask := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "http://box.example"+path, nil)
		r.Header.Set("Accept", "application/vnd.pypi.simple.v1+json")
		box.Handler().ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/pypi/curd-000/json", "/pypi/curd-000/1.0/json"} {
		if get, head := ask("GET", path), ask("HEAD", path); get.Code != 200 || head.Code != 200 || head.Body.Len() > 0 {
			t.Errorf("%s: GET %d, HEAD %d with %d bytes", path, get.Code, head.Code, head.Body.Len())
		}
	}
	if err := server.Index.SetStatus("curd-000", "quarantined", "malware"); err != nil {
		t.Fatal(err)
	}
	if _, err := syncBox(t, box); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/pypi/curd-000/json", "/pypi/curd-000/1.0/json"} {
		if w := ask("GET", path); w.Code != 404 || !strings.Contains(w.Body.String(), "malware") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask("GET", "/pypi/curd-001/json"); w.Code != 200 {
		t.Errorf("another project: %d", w.Code)
	}
	w := ask("GET", "/simple/curd-000/")
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, `"files":[]`) || !strings.Contains(body, `{"status":"quarantined","reason":"malware"}`) {
		t.Errorf("the page: %d %s", w.Code, body)
	}
}

package indexes_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"cheeseboard/httpd/indexes"
	"cheeseboard/storage/pypi"
)

func TestHandler(t *testing.T) {
	front := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "%s %s?%s", name, r.URL.Path, r.URL.RawQuery) // a recorder takes everything
		})
	}
	owner := func(name pypi.Name) string {
		if name == "corp-tools" {
			return "corp"
		}
		return ""
	}
	h := indexes.New(front("default"), []indexes.Index{{Name: "corp", Front: front("corp")}}, owner)
	for _, c := range []struct {
		method, path string
		status       int
		want         string // the body, or where it leads
	}{
		{"GET", "/simple/", 200, "default /simple/?"},
		{"GET", "/simple/brie/?format=x", 200, "default /simple/brie/?format=x"},
		{"GET", "/", 200, "default /?"},
		{"GET", "/corporation/simple/", 200, "default /corporation/simple/?"},
		{"GET", "/corp/simple/", 200, "corp /simple/?"},
		{"GET", "/corp/simple/corp-tools/?a=b", 200, "corp /simple/corp-tools/?a=b"},
		{"GET", "/corp/simple/brie/", 200, "corp /simple/brie/?"},
		{"GET", "/corp/files/corp-tools/0/x.whl", 200, "corp /files/corp-tools/0/x.whl?"},
		{"GET", "/corp", 302, "/corp/simple/"},
		{"GET", "/corp/", 302, "/corp/simple/"},
		{"GET", "/corp/pypi", 404, ""},
		{"POST", "/corp/pypi", 405, ""},
		{"GET", "/corp/corp/simple/", 404, ""},
		// As some clients join addresses. The index's own front would lead to the default one.
		{"GET", "/corp/simple//brie/?a=b", 307, "/corp/simple/brie/?a=b"},
		{"GET", "/corp//simple/brie", 307, "/corp/simple/brie"},
		{"GET", "/corp/simple/./brie/../curd/", 307, "/corp/simple/curd/"},
		{"GET", "/corp/simple/%2e%2e/%2e%2e/simple/brie/", 307, "/corp/simple/brie/"},
		{"POST", "/corp/simple//brie/", 405, ""},
		{"GET", "/corp/..%2f..%2fetc", 307, "/corp/etc"}, // where nothing is
		{"GET", "/corp/etc", 404, ""},
		{"GET", "/simple/corp-tools/", 302, "/corp/simple/corp-tools/"},
		{"HEAD", "/simple/corp-tools/", 302, "/corp/simple/corp-tools/"},
		{"GET", "/simple/corp-tools", 302, "/corp/simple/corp-tools/"},
		{"GET", "/simple/Corp_Tools/?format=text/html", 302, "/corp/simple/corp-tools/?format=text/html"},
		{"POST", "/simple/corp-tools/", 405, ""},
		{"GET", "/simple/corp-tools/more", 200, "default /simple/corp-tools/more?"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, "http://box.example"+c.path, nil)
		h.ServeHTTP(w, r)
		got := w.Body.String()
		if to := w.Header().Get("Location"); to != "" {
			u, err := r.URL.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			got = u.RequestURI()
		}
		if w.Code != c.status || c.want != "" && got != c.want {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, w.Code, got, c.status, c.want)
		}
	}
}

package integrity_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cheeseboard/httpd/integrity"
	"cheeseboard/storage/pypi"
)

type source struct{ err error }

func (s source) Provenance(_ context.Context, name pypi.Name, filename string) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	if name != "holy-grail" || filename != "holy_grail-1.0-py3-none-any.whl" {
		return nil, &integrity.Missing{Reason: "There is none."}
	}
	return []byte(`{"version":1}`), nil
}

func TestHandler(t *testing.T) {
	const file = "/holy_grail-1.0-py3-none-any.whl/provenance"
	h := integrity.New(source{}, nil)
	for _, c := range []struct {
		method, path, accept string
		status               int
		want                 string // Content-Type, or where it leads
	}{
		{"GET", "/integrity/holy-grail/1.0" + file, "", 200, integrity.ContentType},
		{"GET", "/integrity/holy-grail/1.0" + file, "*/*", 200, integrity.ContentType},
		{"GET", "/integrity/holy-grail/1.0" + file, "application/json", 200, "application/json"},
		{"GET", "/integrity/holy-grail/1.0" + file, integrity.ContentType + ", application/json;q=0.1", 200, integrity.ContentType},
		{"GET", "/integrity/holy-grail/1.0" + file, "text/html", 406, "text/plain; charset=utf-8"},
		{"GET", "/integrity/holy-grail/1.0" + file, integrity.ContentType + ";q=0", 406, "text/plain; charset=utf-8"},
		{"GET", "/integrity/holy-grail/1.0.0" + file, "", 200, integrity.ContentType},
		{"GET", "/integrity/holy-grail/1.0" + file + "/", "", 200, integrity.ContentType},
		{"GET", "/integrity/Holy.Grail/1.0" + file, "", 301, "/integrity/holy-grail/1.0" + file},
		{"GET", "/integrity/Holy.Grail/1.0" + file + "/", "", 301, "/integrity/holy-grail/1.0" + file},
		{"GET", "/integrity/holy-grail/2.0" + file, "", 404, "text/plain; charset=utf-8"},
		{"GET", "/integrity/other/1.0" + file, "", 404, "text/plain; charset=utf-8"},
		{"GET", "/integrity/holy-grail/1.0/..%2fx/provenance", "", 404, "text/plain; charset=utf-8"},
		{"GET", "/integrity/holy-grail/1.0/holy_grail-1.0.tar.gz/provenance", "", 404, "text/plain; charset=utf-8"},
		{"GET", "/integrity/", "", 404, "text/plain; charset=utf-8"},
		{"HEAD", "/integrity/holy-grail/1.0" + file, "", 200, integrity.ContentType},
		{"POST", "/integrity/holy-grail/1.0" + file, "", 405, "text/plain; charset=utf-8"},
	} {
		r := httptest.NewRequest(c.method, "http://box.example"+c.path, nil)
		if c.accept != "" {
			r.Header.Set("Accept", c.accept)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Header().Get("Content-Type")
		if to := w.Header().Get("Location"); to != "" {
			u, err := r.URL.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			got = u.RequestURI()
		}
		if w.Code != c.status || got != c.want || c.method == "HEAD" && (w.Body.Len() > 0 || w.Header().Get("Content-Length") != "13") {
			t.Errorf("%s %s (%s): %d %q, want %d %q", c.method, c.path, c.accept, w.Code, got, c.status, c.want)
		}
		if w.Code == 200 {
			r.Header.Set("If-None-Match", w.Header().Get("ETag"))
			again := httptest.NewRecorder()
			if h.ServeHTTP(again, r); again.Code != 304 {
				t.Errorf("%s: again %d", c.path, again.Code)
			}
		}
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{&integrity.Missing{Reason: "Soon.", RetryAfter: time.Second}, 503},
		{context.DeadlineExceeded, 503},
		{errors.New("secret"), 500},
	} {
		w := httptest.NewRecorder()
		integrity.New(source{c.err}, nil).ServeHTTP(w, httptest.NewRequest("GET", "/integrity/a/1/a-1.zip/provenance", nil))
		if w.Code != c.status || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

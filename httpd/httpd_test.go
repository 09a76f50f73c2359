package httpd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cheeseboard/httpd"
	"cheeseboard/httpd/simple"
)

func TestRoutes(t *testing.T) {
	b := newBox(t, 100)
	server := httptest.NewServer(b.handler(nil))
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	tests := []struct {
		method, path string
		status       int
		location     string
	}{
		{"GET", "/", 200, ""},
		{"GET", "/simple/", 200, ""},
		{"GET", "/simple", 301, "simple/"},
		{"GET", "/simple?a=b", 301, "simple/?a=b"},
		{"GET", "/simple/demo/", 200, ""},
		{"GET", "/simple/demo", 301, "demo/"},
		{"GET", "/simple/De_Mo/?format=x&y", 301, "../de-mo/?format=x&y"},
		{"GET", "/simple/other/", 404, ""},
		{"GET", "/simple/%2e%2e/", 404, ""},
		{"GET", "/simple/..%2f..%2fetc/", 404, ""},
		{"GET", b.fileURL(), 200, ""},
		{"GET", b.fileURL() + "/", 404, ""},
		{"GET", b.fileURL() + ".metadata", 404, ""},
		{"GET", "/files/", 404, ""},
		{"GET", "/files", 307, "/files/"},
		{"GET", "/healthz", 200, ""},
		{"GET", "/healthz/", 404, ""},
		{"GET", "/nothing", 404, ""},
		{"POST", "/nothing", 405, ""},
		{"POST", "/", 405, ""},
		{"POST", "/simple/", 405, ""},
		{"DELETE", b.fileURL(), 405, ""},
		{"PUT", "/healthz", 405, ""},
		{"GET", "/" + strings.Repeat("a", 5000), 414, ""},
		{"GET", "//evil.example/..", 307, "/"},
		{"GET", "//evil.example/simple", 307, "/evil.example/simple"},
	}
	for _, tt := range tests {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // nothing of it is needed
		if res.StatusCode != tt.status || res.Header.Get("Location") != tt.location {
			t.Errorf("%s %.60s: %d to %q, want %d to %q", tt.method, tt.path, res.StatusCode, res.Header.Get("Location"), tt.status, tt.location)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s %.60s: headers %v", tt.method, tt.path, res.Header)
		}
		if (tt.status == 405) != (res.Header.Get("Allow") == "GET, HEAD") {
			t.Errorf("%s %.60s: Allow %q", tt.method, tt.path, res.Header.Get("Allow"))
		}
	}
}

func TestHeadersThatAreTooLarge(t *testing.T) {
	b := newBox(t, 100)
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpd.NewServer(b.handler(nil), nil, httpd.Limits{})
	server.Start()
	defer server.Close()
	for size, want := range map[int]int{10 << 10: 200, 30 << 10: 431} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Long", strings.Repeat("a", size))
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // nothing of it is needed
		if res.StatusCode != want {
			t.Errorf("%d bytes of headers: %d, want %d", size, res.StatusCode, want)
		}
	}
}

func TestHealth(t *testing.T) {
	h := httpd.New(httpd.Deps{Index: newBox(t, 1), Source: newBox(t, 1), Health: func() (int, any) {
		return 503, map[string]string{"disk": "full"}
	}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	var got map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 503 || got["disk"] != "full" {
		t.Errorf("%d %q %v", w.Code, w.Body, err)
	}
	if w.Result().Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", w.Result().Header)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("HEAD", "/healthz", nil))
	if w.Code != 503 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", w.Code, w.Body)
	}
	h = httpd.New(httpd.Deps{Index: newBox(t, 1), Source: newBox(t, 1), Health: func() (int, any) { return 200, func() {} }})
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	if w.Code != 500 {
		t.Errorf("a value that does not encode: %d", w.Code)
	}
}

func TestPanicIsLoggedAndToldAs500(t *testing.T) {
	var log logBuffer
	b := newBox(t, 100)
	b.page = func() (simple.Page, error) { panic("secret of the inside") }
	w := httptest.NewRecorder()
	b.handler(newLog(&log)).ServeHTTP(w, httptest.NewRequest("GET", "/simple/demo/", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "secret of the inside") || !strings.Contains(log.String(), "httpd_test.go") {
		t.Errorf("log without the panic and its stack: %s", log.String())
	}
}

// bursting panics when it has been read for a while.
type bursting struct{ pausing }

func (r *bursting) Read(p []byte) (int, error) {
	if r.Len() < int(r.Size())/2 {
		panic("burst")
	}
	return r.pausing.Read(p)
}

func TestPanicInTheMiddleBreaksTheAnswerOff(t *testing.T) {
	var log logBuffer
	b := newBox(t, 100_000)
	b.open = func() io.ReadSeeker { return &bursting{pausing{bytes.NewReader(b.data), 0}} }
	server := httptest.NewServer(b.handler(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	res, err := server.Client().Get(server.URL + b.fileURL())
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close() // it was read to its end or failure
	}
	server.Close()
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client sees %v, want a broken answer", err)
	}
	for _, want := range []string{"panic=burst", "msg=request", "aborted=true", "status=200"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %s: %s", want, log.String())
		}
	}
}

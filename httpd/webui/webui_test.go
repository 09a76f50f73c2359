package webui_test

import (
	"crypto/tls"
	"net/http/httptest"
	"strings"
	"testing"

	"cheeseboard/httpd/webui"
)

func TestPageNamesTheAddressTheClientUsed(t *testing.T) {
	tests := []struct {
		host, trusted string // trusted is "" where the host is refused
	}{
		{"cheeseboard.local", "cheeseboard.local"},
		{"cheeseboard.local:8080", "cheeseboard.local"},
		{"192.0.2.7", "192.0.2.7"},
		{"192.0.2.7:80", "192.0.2.7"},
		{"[2001:db8::1]", "[2001:db8::1]"},
		{"[2001:db8::1]:8080", "[2001:db8::1]"},
		{"", ""},
		{"a;reboot", ""},
		{"$(reboot)", ""},
		{"<script>", ""},
		{"a b", ""},
		{"-rf", ""},
		{"a:http", ""},
		{"a:0", ""},
		{"[fe80::1%25eth0]:80", ""},
		{"[::1", ""},
		{"2001:db8::1", ""},
		{strings.Repeat("a", 254), ""},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = tt.host
		w := httptest.NewRecorder()
		webui.New("box & co", nil, nil).ServeHTTP(w, r)
		body := w.Body.String()
		if tt.trusted == "" {
			if w.Code != 400 || strings.Contains(body, "<") {
				t.Errorf("host %q: status %d, %q", tt.host, w.Code, body)
			}
			continue
		}
		for _, want := range []string{
			"python -m pip install --index-url http://" + tt.host + "/simple/ --trusted-host " + tt.trusted + " PACKAGE",
			"pip config set global.trusted-host " + tt.trusted + "<",
			`url = "http://` + tt.host + `/simple/"`,
			"<h1>box &amp; co</h1>",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("host %q: the page lacks %q", tt.host, want)
			}
		}
		if len(body) > 10<<10 || strings.Contains(body, "{{") || strings.Contains(body, "<script") {
			t.Errorf("host %q: %d bytes, or something is left in it", tt.host, len(body))
		}
	}
}

func TestPageOverTLSNeedsNoTrust(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = new(tls.ConnectionState)
	w := httptest.NewRecorder()
	webui.New("", nil, nil).ServeHTTP(w, r)
	if body := w.Body.String(); strings.Contains(body, "trusted") || !strings.Contains(body, "https://example.com/simple/") {
		t.Errorf("page over TLS: %s", body)
	}
}

func TestMethods(t *testing.T) {
	get, head, post := httptest.NewRecorder(), httptest.NewRecorder(), httptest.NewRecorder()
	h := webui.New("", nil, nil)
	h.ServeHTTP(get, httptest.NewRequest("GET", "/", nil))
	h.ServeHTTP(head, httptest.NewRequest("HEAD", "/", nil))
	h.ServeHTTP(post, httptest.NewRequest("POST", "/", nil))
	if head.Body.Len() != 0 || head.Result().Header.Get("Content-Length") != get.Result().Header.Get("Content-Length") {
		t.Errorf("HEAD: %v, %d bytes", head.Result().Header, head.Body.Len())
	}
	if post.Code != 405 {
		t.Errorf("POST: %d", post.Code)
	}
}

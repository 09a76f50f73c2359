package wire

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPeekDoesNotFollow(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Errorf("the redirect was followed to %s", r.URL)
		}
		if r.UserAgent() != "a test" {
			t.Errorf("user agent %q", r.UserAgent())
		}
		http.Redirect(w, r, "/login", http.StatusFound)
	}))
	defer server.Close()
	c := client(t, Options{UserAgent: "a test"})
	resp, err := c.Peek(t.Context(), server.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != "/login" {
		t.Errorf("got %s to %q", resp.Status, resp.Header.Get("Location"))
	}
	if c.Received() == 0 {
		t.Error("what a look costs is not counted")
	}
}

package app_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/firmware/health"
)

// TestBrokenAuthority: a box whose authority the disk has damaged serves without https,
// and says so. Nobody stands beside it to remove the file.
func TestBrokenAuthority(t *testing.T) {
	server := publish(t, "brie 1.0")
	c := boxConfig(server, t.TempDir(), nil)
	c.TLS.Address = "127.0.0.1:0"
	s := serveBox(t, c, nil)
	if at, fingerprint := s.Secure(); at == nil || fingerprint == "" {
		t.Fatalf("https is not served: %v %s", at, fingerprint)
	}
	s.end()
	kept := filepath.Join(c.Data, "authority.pem")
	whole, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	for what, raw := range map[string][]byte{"empty": nil, "cut": whole[:len(whole)/2], "zeros": make([]byte, len(whole))} {
		if err := os.WriteFile(kept, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s := serveBox(t, c, nil)
		resp, err := http.Get(s.url + "/simple/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // only its status counts
		if at, _ := s.Secure(); resp.StatusCode != http.StatusOK || at != nil {
			t.Errorf("%s: %s, https at %v", what, resp.Status, at)
		}
		if action := httpsAction(s); !strings.Contains(action, "remove authority.pem") {
			t.Errorf("%s: what is to be done is %q", what, action)
		}
		s.end()
		if left, err := os.ReadFile(kept); err != nil || string(left) != string(raw) {
			t.Errorf("%s: the file was touched (%v)", what, err)
		}
	}
	// What cannot be read may be sound.
	if err := errors.Join(os.Remove(kept), os.Mkdir(kept, 0o700)); err != nil {
		t.Fatal(err)
	}
	s = serveBox(t, c, nil)
	if action := httpsAction(s); action == "" || strings.Contains(action, "remove") {
		t.Errorf("it cannot be read: what is to be done is %q", action)
	}
	s.end()
}

// httpsAction is what people are told to do about https; "" where nothing is.
func httpsAction(s *served) string {
	for _, p := range s.Health.Verdict().Probes {
		if p.Name == "https" && p.Severity == health.Attention {
			return p.Action
		}
	}
	return ""
}

package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

var announcedPassphrase = regexp.MustCompile(`administration: /admin/, passphrase (\S+) `)

// passphrase waits until the box has shown the passphrase that it made.
func (b *box) passphrase() string {
	b.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		said, more := b.stdout.next()
		if m := announcedPassphrase.FindStringSubmatch(said); m != nil {
			return m[1]
		}
		select {
		case <-more:
		case <-b.ended:
			b.t.Fatal("the box has ended")
		case <-timer.C:
			b.t.Fatal("the box shows no passphrase")
		}
	}
}

// person is somebody with a browser.
func person(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &http.Client{Jar: jar}
}

func converse(t *testing.T, c *http.Client, r *http.Request) (status int, body string) {
	t.Helper()
	resp, err := c.Do(r)
	must(t, err)
	raw, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	return resp.StatusCode, string(raw)
}

func login(t *testing.T, c *http.Client, b *box, passphrase string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, b.url+"/admin/login", strings.NewReader(url.Values{"passphrase": {passphrase}}.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.url)
	return converse(t, c, r)
}

// TestAdministration logs in with the passphrase that the console shows once, has the
// box sync, and sets another passphrase, which ends the session.
func TestAdministration(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, "sync.projects=curd")
	b := s.serve()
	made := b.passphrase()
	c := person(t)
	state := func() int {
		r, err := http.NewRequest(http.MethodGet, b.url+"/admin/state", nil)
		must(t, err)
		status, _ := converse(t, c, r)
		return status
	}
	if status, body := login(t, c, b, "wrong "+made); status != http.StatusForbidden {
		t.Errorf("a wrong passphrase: %d %s", status, body)
	}
	if state() != http.StatusUnauthorized {
		t.Error("a wrong passphrase begins a session")
	}
	if status, body := login(t, c, b, made); status != http.StatusOK || !strings.Contains(body, "Sync now") {
		t.Fatalf("the right passphrase: %d %s", status, body)
	}
	before := len(s.upstream.Requests())
	r, err := http.NewRequest(http.MethodPost, b.url+"/admin/sync", nil)
	must(t, err)
	if status, body := converse(t, c, r); status != http.StatusOK {
		t.Errorf("sync: %d %s", status, body)
	}
	must(t, s.upstream.Wait(t.Context(), func(rs upstreamtest.Requests) bool { return len(rs) > before }))
	if state() != http.StatusOK {
		t.Error("the session has ended")
	}
	set := exec.Command(program(), s.args("passphrase")...)
	set.Env, set.Stdin = environment(), strings.NewReader("another passphrase\n")
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if state() != http.StatusUnauthorized {
		t.Error("the session goes on under another passphrase")
	}
	if status, body := login(t, c, b, "another passphrase"); status != http.StatusOK {
		t.Errorf("the new passphrase: %d %s", status, body)
	}
	b.quit()
	b = s.serve()
	if status, body := login(t, person(t), b, "another passphrase"); status != http.StatusOK {
		t.Errorf("after a restart: %d %s", status, body)
	}
	if strings.Contains(b.stdout.String(), "passphrase") {
		t.Error("it makes another passphrase")
	}
	b.quit()
}

// TestReadersShowTokens: with access.read nothing is given out without a token, and
// pip shows it.
func TestReadersShowTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, "access.read=token")
	token := strings.TrimSpace(s.succeed("token", "add", "--read", "laptops").stdout)
	b := s.serve()
	for _, path := range []string{"/", "/simple/", "/simple/curd/", "/files/curd/x/y", "/pypi/curd/json", "/healthz", "/search", "/metrics"} {
		for _, password := range []string{"", "wrong", token} {
			if password == "wrong" && path != "/" {
				continue // a few of these, and nobody is listened to for a while
			}
			r, err := http.NewRequest(http.MethodGet, b.url+path, nil)
			must(t, err)
			if password != "" {
				r.SetBasicAuth("__token__", password)
			}
			resp, err := http.DefaultClient.Do(r)
			must(t, err)
			must(t, resp.Body.Close())
			if (resp.StatusCode == http.StatusUnauthorized) == (password == token) {
				t.Errorf("%s with %q: %s", path, password, resp.Status)
			}
			if strings.Contains(resp.Header.Get("Cache-Control"), "public") {
				t.Errorf("%s may be kept by caches that many share", path)
			}
		}
	}
	r, err := http.NewRequest(http.MethodGet, b.url+"/admin/", nil)
	must(t, err)
	if status, _ := converse(t, http.DefaultClient, r); status != http.StatusOK {
		t.Errorf("/admin/ asks for a token: %d", status)
	}
	m := available(t)
	p := m.pips[len(m.pips)-1]
	pip := exec.Command(p.python.Path, "-m", "pip", "download", "--no-cache-dir", "--disable-pip-version-check", "--no-deps",
		"--index-url", strings.Replace(b.index(), "http://", "http://__token__:"+token+"@", 1), "--dest", t.TempDir(), "curd")
	pip.Env = environment("PYTHONPATH=" + p.folder)
	if out, err := pip.CombinedOutput(); err != nil {
		t.Errorf("pip with a token: %v\n%s", err, out)
	}
	b.quit()
}

package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/httpd/throttle"
)

// board is a box with a passphrase.
type board struct {
	epoch  atomic.Uint64
	synced atomic.Int32

	imported atomic.Int32
	clock    atomic.Int64 // what it was set to
	inside   atomic.Int32
	most     atomic.Int32
	unset    bool
	failing  error
}

func (b *board) Passphrase(s string) (bool, error) {
	if n := b.inside.Add(1); n > b.most.Load() {
		b.most.Store(n)
	}
	defer b.inside.Add(-1)
	if b.unset {
		return false, ErrUnset
	}
	return s == "open sesame", b.failing
}
func (b *board) Epoch() uint64 { return b.epoch.Load() }
func (b *board) State() (any, string, error) {
	return map[string]int{"files": 3}, "All is <well>.", b.failing
}
func (b *board) Sync() { b.synced.Add(1) }

// Import has a stick the first time.
func (b *board) Import() error {
	if b.imported.Add(1) > 1 {
		return errors.New("there is no USB stick here")
	}
	return nil
}
func (b *board) Clock(now time.Time) error {
	b.clock.Store(now.UnixMilli())
	return b.failing
}
func (b *board) Called(host string) bool {
	return host == "box.local" || host == "192.0.2.7" || host == "2001:db8::7"
}

// desk is a handler with a clock that a test moves.
type desk struct {
	*Handler
	board *board
	now   time.Time
}

func newDesk() *desk {
	d := &desk{board: &board{}, now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return d.now }
	d.Handler = New(Deps{Box: d.board, Now: clock, Throttle: throttle.New(throttle.Options{Now: clock})})
	return d
}

func request(method, path, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "http://box.local:8080"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (d *desk) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// login gives the value of the header Cookie for a session.
func (d *desk) login(t *testing.T) string {
	t.Helper()
	w := d.do(request("POST", "/admin/login", url.Values{"passphrase": {"open sesame"}}.Encode(), "Origin", "http://box.local:8080"))
	cookies := w.Result().Cookies()
	if w.Code != 303 || len(cookies) != 1 || w.Header().Get("Location") != "." {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != Path || c.Secure || len(c.Value) < 26 {
		t.Errorf("%+v", c)
	}
	return c.Name + "=" + c.Value
}

func TestSession(t *testing.T) {
	d := newDesk()
	if w := d.do(request("GET", "/admin/", "")); w.Code != 200 || !strings.Contains(w.Body.String(), `name="passphrase"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	cookie := d.login(t)
	w := d.do(request("GET", "/admin/", "", "Cookie", cookie))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "All is &lt;well&gt;.") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := d.do(request("GET", "/admin/state", "", "Cookie", cookie)); w.Code != 200 || w.Body.String() != "{\"files\":3}\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := d.do(request("POST", "/admin/sync", "", "Cookie", cookie)); w.Code != 303 || d.board.synced.Load() != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := d.do(request("POST", "/admin/import", "", "Cookie", cookie)); w.Code != 303 || d.board.imported.Load() != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := d.do(request("POST", "/admin/import", "", "Cookie", cookie)); w.Code != 409 || !strings.Contains(w.Body.String(), "Nothing is imported: there is no USB stick here.") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := d.do(request("POST", "/admin/logout", "", "Cookie", cookie)); w.Code != 303 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := d.do(request("GET", "/admin/state", "", "Cookie", cookie)); w.Code != 401 {
		t.Errorf("after the end of the session: %d %s", w.Code, w.Body)
	}
	secure := request("POST", "/admin/login", "passphrase=open+sesame")
	secure.TLS = httptest.NewRequest("GET", "https://box.local/", nil).TLS
	if w := d.do(secure); len(w.Result().Cookies()) != 1 || !w.Result().Cookies()[0].Secure {
		t.Errorf("over https: %v", w.Header())
	}
}

// TestSessionsEnd: by time, by a new passphrase, by too many others.
func TestSessionsEnd(t *testing.T) {
	d := newDesk()
	known := func(cookie string) bool {
		return d.do(request("GET", "/admin/state", "", "Cookie", cookie)).Code == 200
	}
	cookie := d.login(t)
	d.now = d.now.Add(sessionIdle + time.Second)
	if known(cookie) {
		t.Error("it goes on although nobody used it")
	}
	cookie = d.login(t)
	for range int(sessionLife/sessionIdle) + 1 {
		if !known(cookie) {
			t.Fatal("it ends while it is used")
		}
		d.now = d.now.Add(sessionIdle)
	}
	if known(cookie) {
		t.Error("it goes on for ever")
	}
	cookie = d.login(t)
	d.board.epoch.Add(1)
	if known(cookie) {
		t.Error("it goes on after a new passphrase was set")
	}
	cookie = d.login(t)
	for range maxSessions {
		d.now = d.now.Add(time.Second)
		d.login(t)
	}
	if known(cookie) || len(d.sessions) != maxSessions {
		t.Errorf("%d sessions", len(d.sessions))
	}
	if known("cheeseboard_session=") || known("cheeseboard_session=x") || known("other=x") {
		t.Error("anything is a session")
	}
}

// TestRefused lists who is turned away although he has a session: by rebinding, from
// another site, by another method.
func TestRefused(t *testing.T) {
	d := newDesk()
	cookie := d.login(t)
	for _, c := range []struct {
		what   string
		r      *http.Request
		status int
	}{
		{"no session", request("POST", "/admin/sync", ""), 401},
		{"no session, to import", request("POST", "/admin/import", ""), 401},
		{"a session that is made up", request("POST", "/admin/sync", "", "Cookie", cookieName+"=AAAAAAAAAAAAAAAAAAAAAAAAAA"), 401},
		{"a name of somebody else's", request("POST", "/admin/sync", "", "Cookie", cookie, "Host", "evil.example"), 421},
		{"the same with our port", request("GET", "/admin/", "", "Cookie", cookie, "Host", "evil.example:8080"), 421},
		{"a name that ends like ours", request("GET", "/admin/", "", "Cookie", cookie, "Host", "box.local.evil.example"), 421},
		{"another address", request("GET", "/admin/", "", "Cookie", cookie, "Host", "192.0.2.8"), 421},
		{"no host", request("GET", "/admin/", "", "Cookie", cookie, "Host", ""), 421},
		{"a user in the host", request("GET", "/admin/", "", "Cookie", cookie, "Host", "evil@box.local"), 421},
		{"a path in the host", request("GET", "/admin/", "", "Cookie", cookie, "Host", "box.local/x"), 421},
		{"a page of another site", request("POST", "/admin/sync", "", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"), 403},
		{"another port of this box", request("POST", "/admin/sync", "", "Cookie", cookie, "Origin", "http://box.local:9090"), 403},
		{"a page without an origin", request("POST", "/admin/sync", "", "Cookie", cookie, "Origin", "null"), 403},
		{"a login from another site", request("POST", "/admin/login", "passphrase=open+sesame", "Origin", "http://evil.example"), 403},
		{"a link that would act", request("GET", "/admin/sync", "", "Cookie", cookie), 405},
		{"a deletion", request("DELETE", "/admin/", "", "Cookie", cookie), 405},
		{"something else", request("GET", "/admin/x", "", "Cookie", cookie), 404},
		{"a form that is too long", request("POST", "/admin/login", "passphrase="+strings.Repeat("x", maxForm)), 400},
		{"no form", request("POST", "/admin/login", "%zz"), 400},
		{"a wrong passphrase", request("POST", "/admin/login", "passphrase=please"), 403},
		{"a passphrase in the address", request("POST", "/admin/login?passphrase=open+sesame", "x=y"), 403},
	} {
		w := d.do(c.r)
		if w.Code != c.status || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d %s, want %d", c.what, w.Code, w.Body, c.status)
		}
	}
	if d.board.synced.Load() != 0 {
		t.Error("somebody had it sync")
	}
	for _, host := range []string{"box.local", "BOX.local.:8080", "192.0.2.7:80", "[2001:db8::7]:8080", "[2001:db8::7]"} {
		if w := d.do(request("GET", "/admin/", "", "Host", host)); w.Code != 200 {
			t.Errorf("under %s: %d %s", host, w.Code, w.Body)
		}
	}
}

// TestBruteForce tries as fast as it can, from one address and from many: tries are
// few, one at a time, and the right one comes through later.
func TestBruteForce(t *testing.T) {
	d := newDesk()
	guess := func(from, text string) int {
		r := request("POST", "/admin/login", "passphrase="+text)
		r.RemoteAddr = from
		return d.do(r).Code
	}
	tried := 0
	for range 200 {
		if guess("192.0.2.1:99", "wrong") == 403 {
			tried++
		}
	}
	if tried > 5 {
		t.Errorf("one address tried %d times without waiting", tried)
	}
	if guess("192.0.2.1:100", "open+sesame") != 429 {
		t.Error("who has guessed does not wait for the right one")
	}
	var together sync.WaitGroup
	var many atomic.Int32
	for i := range 300 {
		together.Go(func() {
			if guess(fmt.Sprintf("198.51.%d.%d:1", i/250, i%250), "wrong") == 403 {
				many.Add(1)
			}
		})
	}
	together.Wait()
	if n := many.Load(); n > 40 {
		t.Errorf("300 addresses tried %d times in no time", n)
	}
	if d.board.most.Load() > 1 {
		t.Errorf("%d passphrases were tried at once", d.board.most.Load())
	}
	d.now = d.now.Add(10 * time.Minute)
	if got := guess("192.0.2.1:101", "open+sesame"); got != 303 {
		t.Errorf("the right one, later: %d", got)
	}
}

func TestLoginFails(t *testing.T) {
	d := newDesk()
	d.board.unset = true
	if w := d.do(request("POST", "/admin/login", "passphrase=x")); w.Code != 403 || !strings.Contains(w.Body.String(), "cheeseboard passphrase") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	d.board.unset, d.board.failing = false, errors.New("secret path")
	if w := d.do(request("POST", "/admin/login", "passphrase=x")); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestClock sets the clock from a browser, and only within a session and from the
// box's own page.
func TestClock(t *testing.T) {
	d := newDesk()
	session := d.login(t)
	ask := func(form string, headers ...string) *httptest.ResponseRecorder {
		return d.do(request("POST", "/admin/clock", form, headers...))
	}
	const form = "now=1795400000123"
	if w := ask(form, "Origin", "http://box.local:8080"); w.Code != 401 {
		t.Errorf("without a session: %d", w.Code)
	}
	if w := ask(form, "Cookie", session, "Origin", "http://evil.example"); w.Code != 403 {
		t.Errorf("from another site: %d", w.Code)
	}
	for _, bad := range []string{"", "now=", "now=yesterday", "now=99999999999999999999"} {
		if w := ask(bad, "Cookie", session, "Origin", "http://box.local:8080"); w.Code != 400 || !strings.Contains(w.Body.String(), "did not say") {
			t.Errorf("%q: %d %s", bad, w.Code, w.Body)
		}
	}
	if d.board.clock.Load() != 0 {
		t.Error("the clock was set all the same")
	}
	if w := ask(form, "Cookie", session, "Origin", "http://box.local:8080"); w.Code != 303 || d.board.clock.Load() != 1795400000123 {
		t.Errorf("%d %s, set to %d", w.Code, w.Body, d.board.clock.Load())
	}
	d.board.failing = errors.New("the clock is right <already>")
	if w := ask(form, "Cookie", session, "Origin", "http://box.local:8080"); w.Code != 400 || !strings.Contains(w.Body.String(), "The clock was not set: the clock is right &lt;already&gt;") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	d.board.failing = nil
	scriptsMayRun(t, d.do(request("GET", "/admin/", "", "Cookie", session)), 1)
}

// scriptsMayRun wants so many scripts on a page, each named in its policy.
func scriptsMayRun(t *testing.T, w *httptest.ResponseRecorder, number int) {
	t.Helper()
	parts := strings.Split(w.Body.String(), "<script>")[1:]
	if len(parts) != number {
		t.Errorf("the page has %d scripts, want %d", len(parts), number)
	}
	for _, part := range parts {
		script, _, _ := strings.Cut(part, "</script>")
		sum := sha256.Sum256([]byte(script))
		if want := " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(w.Header().Get("Content-Security-Policy"), want) {
			t.Errorf("no browser runs the script of the page: %s is not in %s", want, w.Header().Get("Content-Security-Policy"))
		}
	}
}

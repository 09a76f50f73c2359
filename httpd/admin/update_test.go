package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var errRefused = errors.New("the bundle is for <another> board")

// press is an Updater that takes what begins with "good".
type press struct {
	got   []byte
	again bool
	size  int64
}

func (p *press) Updatable() string      { return "Version 1.2.0 runs from slot 2." }
func (p *press) Refused(err error) bool { return errors.Is(err, errRefused) }

func (p *press) Update(_ context.Context, bundle io.Reader, size int64, again bool, say func(string, int64, int64)) (string, error) {
	p.again, p.size = again, size
	head := make([]byte, 4)
	if _, err := io.ReadFull(bundle, head); err != nil {
		return "", err
	}
	say("write", 4, 8)
	if string(head) != "good" {
		return "", errRefused
	}
	rest, err := io.ReadAll(bundle)
	p.got = append(head, rest...)
	say("write", 8, 8)
	if bytes.HasSuffix(rest, []byte("corrupt")) {
		return "", errRefused
	}
	say("check", 4, 8)
	say("check", 8, 8)
	return "Version 1.3.0 is installed.", err
}

func updateDesk(t *testing.T) (d *desk, p *press, session string) {
	t.Helper()
	d, p = newDesk(), &press{}
	d.Updates = p
	return d, p, d.login(t)
}

func TestUpdate(t *testing.T) {
	d, p, session := updateDesk(t)
	put := func(body string, header ...string) *httptest.ResponseRecorder {
		return d.do(request("PUT", "/admin/update?again=1", body, header...))
	}
	if w := put("good bundle"); w.Code != 401 || p.got != nil {
		t.Errorf("without a session: %d %s", w.Code, w.Body)
	}
	if w := put("good bundle", "Cookie", session, "Origin", "http://evil.example"); w.Code != 403 || p.got != nil {
		t.Errorf("from another site: %d %s", w.Code, w.Body)
	}
	w := put("good bundle", "Cookie", session)
	const want = `{"stage":"check","done":4,"total":8}
{"stage":"check","done":8,"total":8}
{"installed":"Version 1.3.0 is installed."}
`
	if w.Code != 200 || w.Body.String() != want || string(p.got) != "good bundle" || !p.again || p.size != 11 {
		t.Errorf("%d %s; got %q, %+v", w.Code, w.Body, p.got, p)
	}
	if w := put("wrong bundle", "Cookie", session); w.Code != 422 || !strings.Contains(w.Body.String(), "Nothing was installed: the bundle is for") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := put("good bundle, but corrupt", "Cookie", session); w.Code != 422 {
		t.Errorf("what shows at the end: %d %s", w.Code, w.Body)
	}
	if w := put("go", "Cookie", session); w.Code != 500 || !strings.Contains(w.Body.String(), "Nothing was installed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	d.Updates = nil
	if w := put("good bundle", "Cookie", session); w.Code != 404 {
		t.Errorf("where there is nothing to update: %d %s", w.Code, w.Body)
	}
}

// TestUpdateForm sends the form of the page, as a browser without scripts does.
func TestUpdateForm(t *testing.T) {
	d, p, session := updateDesk(t)
	page := d.do(request("GET", "/admin/", "", "Cookie", session))
	if !strings.Contains(page.Body.String(), "Version 1.2.0 runs from slot 2.") {
		t.Errorf("the page: %s", page.Body)
	}
	scriptsMayRun(t, page, 2)
	post := func(field, content string) *httptest.ResponseRecorder {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile(field, "cheeseboard.update")
		if err == nil {
			_, err = io.WriteString(part, content)
		}
		if err = errors.Join(err, form.Close()); err != nil {
			t.Fatal(err)
		}
		r := request("POST", "/admin/update", "", "Cookie", session, "Content-Type", form.FormDataContentType())
		r.Body = io.NopCloser(&body)
		return d.do(r)
	}
	if w := post("bundle", "good bundle"); w.Code != 200 || !strings.Contains(w.Body.String(), "Version 1.3.0 is installed.") || string(p.got) != "good bundle" {
		t.Errorf("%d %s; got %q", w.Code, w.Body, p.got)
	}
	if w := post("bundle", "wrong bundle"); w.Code != 422 || !strings.Contains(w.Body.String(), "for &lt;another&gt; board") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post("other", "good bundle"); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestUpdateIsDrained refuses at the beginning what is still being sent: the sender has
// to see the answer.
func TestUpdateIsDrained(t *testing.T) {
	d, _, session := updateDesk(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "box.local"
		d.ServeHTTP(w, r)
	}))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/admin/update", bytes.NewReader(make([]byte, 24<<20)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", session)
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != 422 || !strings.Contains(string(body), "Nothing was installed") {
		t.Errorf("%s %s, %v", resp.Status, body, err)
	}
}

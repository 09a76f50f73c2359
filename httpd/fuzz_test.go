package httpd_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"cheeseboard/httpd"
	"cheeseboard/httpd/admin"
	"cheeseboard/httpd/files"
	"cheeseboard/httpd/simple"
	"cheeseboard/httpd/upload"
	"cheeseboard/storage/pypi"
)

// watchful fails the test when it is asked for something that was not checked.
type watchful struct {
	*box
	t *testing.T
}

func (w watchful) Page(ctx context.Context, name pypi.Name) (simple.Page, error) {
	if n, err := pypi.ParseName(string(name)); err != nil || n != name {
		w.t.Errorf("asked for the project %q", name)
	}
	return w.box.Page(ctx, name)
}

func (w watchful) Open(ctx context.Context, ref files.Ref) (*files.Content, error) {
	if n, err := pypi.ParseName(string(ref.Name)); err != nil || n != ref.Name || pypi.CheckFilename(ref.Filename) != nil || path.Base(ref.Filename) != ref.Filename {
		w.t.Errorf("asked for the file %+v", ref)
	}
	return w.box.Open(ctx, ref)
}

// nobody may upload.
type nobody struct{}

func (nobody) Uploader(string) (upload.Key, bool) { return upload.Key{}, false }

// shutBox is one to which nobody has the passphrase.
type shutBox struct{ t *testing.T }

func (shutBox) Passphrase(string) (bool, error) { return false, nil }
func (shutBox) Epoch() uint64                   { return 0 }
func (shutBox) Called(host string) bool         { return host == "box.local" }
func (b shutBox) State() (any, string, error) {
	b.t.Error("the state was told without a session")
	return nil, "", nil
}
func (b shutBox) Sync() { b.t.Error("somebody acted without a session") }
func (b shutBox) Import() error {
	b.t.Error("somebody imported without a session")
	return nil
}
func (b shutBox) Clock(time.Time) error {
	b.t.Error("somebody set the clock without a session")
	return nil
}

// FuzzRoute: no request that net/http can read makes the front panic, ask its
// parts for something unchecked, or send the client to another host.
func FuzzRoute(f *testing.F) {
	b := newBox(f, 100)
	b.open = func() io.ReadSeeker { return bytes.NewReader(b.data) }
	for _, target := range []string{"/", "*", "//", "/simple", "/simple/", "/simple/demo/", "/simple/De_mo", "/simple//evil.example/", "//evil.example/simple",
		"/simple/../../x", "/simple/%2e%2e%2f/", "/simple/?format=x", `/simple/\evil.example\`, "/files/..%2f..%2fetc%2fpasswd", b.fileURL(), b.fileURL() + ".metadata",
		strings.Replace(b.fileURL(), wheel, "..%2fx", 1), strings.Replace(b.fileURL(), "demo/", "%64emo/", 1), "http://evil.example/simple/Demo", "/healthz?x",
		"/ca.crt", "/legacy", "/legacy/", "/admin", "/admin/", "/admin/sync", "/admin/../admin/state", "http://box.local/admin/"} {
		f.Add("GET", target, "Accept: text/html")
	}
	f.Add("CONNECT", "evil.example:80", "Range: bytes=0-")
	f.Add("POST", "/admin/login", "Content-Type: application/x-www-form-urlencoded")
	f.Add("POST", "/legacy/", "Authorization: Basic X190b2tlbl9fOng=")
	f.Add("OPTIONS", "*", "If-None-Match: *")
	f.Fuzz(func(t *testing.T, method, target, line string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: box\r\n" + line + "\r\n\r\n")))
		if err != nil {
			return
		}
		var log logBuffer
		out := httptest.NewRecorder()
		x := watchful{b, t}
		httpd.New(httpd.Deps{
			Index: x, Source: x, Log: newLog(&log), Root: func() []byte { return []byte("root") },
			Upload: upload.New(upload.Deps{Keys: nobody{}}), Admin: admin.New(admin.Deps{Box: shutBox{t: t}}),
		}).ServeHTTP(out, r)
		if out.Code >= 500 || strings.Contains(log.String(), "panic") {
			t.Fatalf("%q: %d %s", target, out.Code, log.String())
		}
		location := out.Result().Header.Get("Location")
		if to, err := url.Parse(location); err != nil || to.Host != "" || to.Scheme != "" || strings.HasPrefix(location, `/\`) {
			t.Fatalf("%q leads to %q", target, location)
		}
	})
}

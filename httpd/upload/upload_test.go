package upload

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/blake2b"

	"cheeseboard/storage/pypi"
)

// shelf keeps uploads in memory.
type shelf struct {
	kept  []File
	open  int
	full  bool
	keep  func(Bytes, File) error
	bytes []byte
}

type inMemory struct {
	bytes.Buffer
	shelf  *shelf
	closed bool
}

func (b *inMemory) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(b.Bytes()).ReadAt(p, at)
}
func (b *inMemory) Size() int64 { return int64(b.Len()) }

func (b *inMemory) Write(p []byte) (int, error) {
	if b.shelf.full {
		return 0, fmt.Errorf("write: %w", ErrFull)
	}
	return b.Buffer.Write(p)
}

func (b *inMemory) Close() error {
	if b.closed {
		return errors.New("closed twice")
	}
	b.closed = true
	b.shelf.open--
	return nil
}

func (s *shelf) Admit(name pypi.Name) error {
	if !strings.HasPrefix(string(name), "acme") {
		return &Refused{Status: 403, Reason: "not one of our names"}
	}
	return nil
}

func (s *shelf) Receive(int64) (Bytes, error) {
	s.open++
	return &inMemory{shelf: s}, nil
}

func (s *shelf) Keep(_ context.Context, b Bytes, f File) error {
	if s.keep != nil {
		return s.keep(b, f)
	}
	s.kept = append(s.kept, f)
	s.bytes = make([]byte, b.Size())
	_, err := b.ReadAt(s.bytes, 0)
	return err
}

type oneKey struct{}

const secret = "cheeseboard-secret"

func (oneKey) Uploader(token string) (Key, bool) {
	return Key{Name: "tester", May: func(n pypi.Name) bool { return n != "acme-others" }}, token == secret
}

// field is one part of a form; a file where filename is set.
type field struct{ name, value, filename string }

const wheel = "acme_x-1.0-py3-none-any.whl"

// goodForm is what twine sends of a wheel, in its order.
func goodForm(content string) []field {
	blake := blake2b.Sum256([]byte(content))
	return []field{
		{name: ":action", value: "file_upload"}, {name: "protocol_version", value: "1"},
		{name: "name", value: "Acme.X"}, {name: "version", value: "1.0.0"},
		{name: "filetype", value: "bdist_wheel"}, {name: "pyversion", value: "py3"},
		{name: "metadata_version", value: "2.1"}, {name: "summary", value: "Cheese"},
		{name: "classifiers", value: "A"}, {name: "classifiers", value: "B"},
		{name: "requires_python", value: ">=3.9, <4"},
		{name: "md5_digest", value: fmt.Sprintf("%x", md5.Sum([]byte(content)))},
		{name: "sha256_digest", value: fmt.Sprintf("%X", sha256.Sum256([]byte(content)))},
		{name: "blake2_256_digest", value: fmt.Sprintf("%x", blake)},
		{name: "content", value: content, filename: wheel},
	}
}

// with changes one field of a form, or adds it before the file; "" removes it.
func with(form []field, name, value string) []field {
	out := slices.DeleteFunc(slices.Clone(form), func(f field) bool { return f.name == name })
	if value != "" {
		out = slices.Insert(out, len(out)-1, field{name: name, value: value})
	}
	return out
}

func called(form []field, filename string) []field {
	out := slices.Clone(form)
	out[len(out)-1].filename = filename
	return out
}

func encode(t testing.TB, form []field) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range form {
		var part io.Writer
		var err error
		if f.filename != "" {
			part, err = w.CreateFormFile(f.name, f.filename)
		} else {
			part, err = w.CreateFormField(f.name)
		}
		if err == nil {
			_, err = io.WriteString(part, f.value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}

func request(t testing.TB, form []field) *http.Request {
	t.Helper()
	body, contentType := encode(t, form)
	r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.SetBasicAuth("__token__", secret)
	return r
}

func post(s *shelf, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	New(Deps{Keys: oneKey{}, Shelf: s, MaxSize: 10_000}).ServeHTTP(w, r)
	return w
}

func TestUpload(t *testing.T) {
	s := &shelf{}
	w := post(s, request(t, goodForm("bytes of a wheel")))
	if w.Code != 200 || len(s.kept) != 1 || s.open != 0 || string(s.bytes) != "bytes of a wheel" {
		t.Fatalf("%d %s: %+v", w.Code, w.Body, s)
	}
	f := s.kept[0]
	if f.Name != "acme-x" || f.Filename != wheel || f.By != "tester" || f.Digest != sha256.Sum256(s.bytes) {
		t.Errorf("%+v", f)
	}
	if err := f.Agrees([]byte("Metadata-Version: 2.1\nRequires-Python: >=3.9,<4\n")); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"Metadata-Version: 2.2\nRequires-Python: >=3.9,<4\n", "Metadata-Version: 2.1\n", "Metadata-Version: 2.1\nRequires-Python: >=3.8,<4\n"} {
		if err := f.Agrees([]byte(other)); !errors.As(err, new(*Refused)) {
			t.Errorf("%q: %v", other, err)
		}
	}

	first := goodForm("x") // the file before all else
	first = slices.Concat(first[len(first)-1:], first[:len(first)-1])
	if w := post(s, request(t, first)); w.Code != 200 {
		t.Errorf("the file first: %d %s", w.Code, w.Body)
	}
	sdist := called(with(goodForm("x"), "filetype", "sdist"), "acme-x-1.0.tar.gz")
	if w := post(s, request(t, sdist)); w.Code != 200 {
		t.Errorf("a sdist: %d %s", w.Code, w.Body)
	}
	bare := request(t, goodForm("x"))
	bare.URL.Path = "/legacy"
	if w := post(s, bare); w.Code != 200 {
		t.Errorf("without the slash: %d %s", w.Code, w.Body)
	}
	held := &shelf{keep: func(Bytes, File) error { return fmt.Errorf("keep: %w", ErrHeld) }}
	if w := post(held, request(t, goodForm("x"))); w.Code != 200 || !strings.Contains(w.Body.String(), "already") {
		t.Errorf("the same again: %d %s", w.Code, w.Body)
	}
}

// TestUploadRefuses lists what is not taken, with the answer. Nothing of it is kept,
// and nothing stays open.
func TestUploadRefuses(t *testing.T) {
	good := goodForm("bytes")
	many := slices.Clone(good)
	for range maxParts {
		many = append(many, field{name: "classifiers", value: "x"})
	}
	for _, c := range []struct {
		what   string
		form   []field
		status int
		why    string
	}{
		{"another action", with(good, ":action", "submit"), 400, "file_upload"},
		{"no action", with(good, ":action", ""), 400, "file_upload"},
		{"another protocol", with(good, "protocol_version", "2"), 400, "protocol"},
		{"no file", good[:len(good)-1], 400, "no file"},
		{"two files", append(slices.Clone(good), good[len(good)-1]), 400, "two files"},
		{"an empty file", with(goodForm(""), "x", "y"), 400, "empty"},
		{"a file that is too large", goodForm(strings.Repeat("x", 10_001)), 413, "at most"},
		{"a field twice", append([]field{{name: "name", value: "acme-y"}}, good...), 400, "twice"},
		{"a digest twice", append([]field{{name: "sha256_digest", value: "00"}}, good...), 400, "twice"},
		{"a long field", with(good, "version", strings.Repeat("1", maxField+1)), 400, "too long"},
		{"a long description", with(good, "description", strings.Repeat("x", maxFields+1)), 413, "more than"},
		{"many fields", many, 400, "fields"},
		{"a signature", with(good, "gpg_signature", "x"), 400, "PGP"},
		{"attestations", with(good, "attestations", "[]"), 400, "Attestations"},

		{"no name", with(good, "name", ""), 400, "name"},
		{"a bad name", with(good, "name", "../x"), 400, "name"},
		{"somebody else's name", called(with(good, "name", "requests"), "requests-1.0-py3-none-any.whl"), 403, "not one of our names"},
		{"a name that is not the token's", called(with(good, "name", "acme-others"), "acme_others-1.0-py3-none-any.whl"), 403, "not good for"},
		{"a file of another project", called(good, "acme_y-1.0-py3-none-any.whl"), 400, "does not go with"},
		{"a file of another version", called(good, "acme_x-1.1-py3-none-any.whl"), 400, "version"},
		{"a version that is none", with(good, "version", "one"), 400, "version"},
		{"no version", with(good, "version", ""), 400, "version"},
		{"a wheel that is said to be a sdist", with(good, "filetype", "sdist"), 400, "bdist_wheel"},
		{"an egg", called(with(good, "filetype", "bdist_egg"), "acme_x-1.0-py3.12.egg"), 400, "neither"},
		{"a zip", called(with(good, "filetype", "sdist"), "acme-x-1.0.zip"), 400, "neither"},

		{"a path", called(good, "../../"+wheel), 400, "characters"},
		{"an absolute path", called(good, "/etc/"+wheel), 400, "characters"},
		{"a path of Windows", called(good, `..\`+wheel), 400, "characters"},
		{"a line break", called(good, "acme_x-1.0\r\nX: y-py3-none-any.whl"), 400, ""},
		{"a zero byte", called(good, "acme_x-1.0\x00-py3-none-any.whl"), 400, ""},
		{"a percent sign", called(good, "acme_x-1.0-py3-none-any%2f.whl"), 400, "characters"},
		{"a hidden file", called(good, ".acme_x-1.0-py3-none-any.whl"), 400, "dot"},
		{"a long file name", called(good, "acme_x-1.0-py3-none-"+strings.Repeat("x", 300)+".whl"), 400, "longer"},

		{"no digest", with(with(with(good, "md5_digest", ""), "sha256_digest", ""), "blake2_256_digest", ""), 400, "no digest"},
		{"a wrong sha256", with(good, "sha256_digest", strings.Repeat("0", 64)), 400, "sha256_digest"},
		{"a wrong md5", with(good, "md5_digest", "x"), 400, "md5_digest"},
		{"a wrong blake2", with(good, "blake2_256_digest", strings.Repeat("a", 64)), 400, "blake2"},
	} {
		s := &shelf{}
		w := post(s, request(t, c.form))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.why) || len(s.kept) > 0 || s.open != 0 {
			t.Errorf("%s: %d %s (%d kept, %d open); want %d %q", c.what, w.Code, w.Body, len(s.kept), s.open, c.status, c.why)
		}
	}
}

// TestUploadFails tells apart what goes wrong behind the form.
func TestUploadFails(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		why    string
	}{
		{&Refused{Reason: "File already exists: x."}, 400, "already exist"}, // twine looks for this
		{ErrFull, 507, "full"},
		{ErrBusy, 503, "Try again"},
		{errors.New("secret path /srv/x"), 500, "log of the box"},
	} {
		s := &shelf{keep: func(Bytes, File) error { return c.err }}
		w := post(s, request(t, goodForm("x")))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.why) || strings.Contains(w.Body.String(), "secret") || s.open != 0 {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
	if w := post(&shelf{full: true}, request(t, goodForm("x"))); w.Code != 507 {
		t.Errorf("a disk that fills up: %d %s", w.Code, w.Body)
	}
}

func TestWhoMayUpload(t *testing.T) {
	change := func(edit func(*http.Request)) *http.Request {
		r := request(t, goodForm("x"))
		edit(r)
		return r
	}
	for _, c := range []struct {
		what   string
		r      *http.Request
		status int
	}{
		{"nobody", change(func(r *http.Request) { r.Header.Del("Authorization") }), 401},
		{"a wrong token", change(func(r *http.Request) { r.SetBasicAuth("__token__", secret+"x") }), 401},
		{"no token", change(func(r *http.Request) { r.SetBasicAuth("__token__", "") }), 401},
		{"another user", change(func(r *http.Request) { r.SetBasicAuth("root", secret) }), 401},
		{"a bearer", change(func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }), 401},
		{"a page of another site", change(func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), 403},
		{"a page of another origin", change(func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }), 403},
		{"a look", change(func(r *http.Request) { r.Method = http.MethodGet }), 405},
		{"a deletion", change(func(r *http.Request) { r.Method = http.MethodDelete }), 405},
		{"another form", change(func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }), 415},
		{"no boundary", change(func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data") }), 415},
		{"another boundary", change(func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }), 400},
		{"more than is taken", change(func(r *http.Request) { r.ContentLength = 1 << 40 }), 413},
		{"deeper down", change(func(r *http.Request) { r.URL.Path = "/legacy/x" }), 404},
	} {
		s := &shelf{}
		w := post(s, c.r)
		if w.Code != c.status || len(s.kept) > 0 || s.open != 0 {
			t.Errorf("%s: %d %s, want %d", c.what, w.Code, w.Body, c.status)
		}
		if challenge := w.Header().Get("WWW-Authenticate"); (c.status == 401) != (challenge != "") {
			t.Errorf("%s: WWW-Authenticate is %q", c.what, challenge)
		}
	}
}

// TestGuessingIsSlow: after a few wrong tokens even the right one has to wait.
func TestGuessingIsSlow(t *testing.T) {
	h := New(Deps{Keys: oneKey{}, Shelf: &shelf{}})
	last := 0
	for range 6 {
		r := request(t, goodForm("x"))
		r.SetBasicAuth("__token__", "wrong")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		last = w.Code
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(t, goodForm("x")))
	if last != 429 || w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d, then %d", last, w.Code)
	}
	other := request(t, goodForm("x"))
	other.RemoteAddr = "198.51.100.7:1"
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, other); w.Code != 200 {
		t.Errorf("somebody else: %d %s", w.Code, w.Body)
	}
}

// FuzzUpload sends any body: nothing stays open, and what is kept has the digest and
// the name that it should have.
func FuzzUpload(f *testing.F) {
	for _, form := range [][]field{goodForm("bytes"), with(goodForm("x"), "name", "requests"), called(goodForm("x"), "../x")} {
		body, contentType := encode(f, form)
		f.Add(body, contentType)
		f.Add(body[:len(body)/2], contentType)
	}
	f.Add([]byte("--x\r\n\r\n--x--"), "multipart/form-data; boundary=x")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		s := &shelf{}
		r := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.SetBasicAuth("__token__", secret)
		w := post(s, r)
		if s.open != 0 || w.Code < 200 || w.Code == 500 || (w.Code == 200) != (len(s.kept) == 1) {
			t.Fatalf("%d %s, %+v", w.Code, w.Body, s)
		}
		for _, kept := range s.kept {
			_, _, err := pypi.DistributionVersion(kept.Name, kept.Filename)
			if err != nil || kept.Digest != sha256.Sum256(s.bytes) || strings.ContainsAny(kept.Filename, "/\\\x00") {
				t.Errorf("%+v, %v", kept, err)
			}
		}
	})
}

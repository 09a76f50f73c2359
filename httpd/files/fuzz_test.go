package files_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"cheeseboard/httpd/files"
	"cheeseboard/storage/pypi"
)

// readParts reads a multipart/byteranges answer and checks each part's place in
// data of the given size.
func readParts(t testing.TB, res *http.Response, size int) []string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		t.Fatalf("Content-Type %q: %v", res.Header.Get("Content-Type"), err)
	}
	data := sample(size)
	var parts []string
	for mr := multipart.NewReader(res.Body, params["boundary"]); ; {
		part, err := mr.NextPart()
		if err == io.EOF {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		checkPart(t, part.Header.Get("Content-Range"), b, data)
		parts = append(parts, string(b))
	}
}

// checkPart compares the bytes of a 206 with what their Content-Range says.
func checkPart(t testing.TB, contentRange string, got, data []byte) {
	t.Helper()
	var from, to, size int
	if _, err := fmt.Sscanf(contentRange, "bytes %d-%d/%d", &from, &to, &size); err != nil {
		t.Fatalf("Content-Range %q: %v", contentRange, err)
	}
	if size != len(data) || from < 0 || to < from || to >= size || !bytes.Equal(got, data[from:to+1]) {
		t.Fatalf("%d bytes are not those of %q", len(got), contentRange)
	}
}

// FuzzRange: no Range header yields bytes that are not what the headers say.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-", "bytes=-1", "bytes=0-0,-1", "bytes=5-2", "bytes=1-2,3-4,5-6", "bytes=999-", "bytes= 1 - 2 ", "bits=0-1",
		"bytes=0-18446744073709551615", "bytes=9223372036854775807-", "bytes=-9223372036854775808", "bytes=,,,", "bytes=--1", "bytes=0-0,0-0,0-0"} {
		f.Add(seed, "", true)
		f.Add(seed, `"x"`, false)
	}
	data := sample(777)
	whole := stored(f)(data)
	f.Fuzz(func(t *testing.T, rangeHeader, ifRange string, onDisk bool) {
		source := &fakeSource{t: t, data: data, open: still}
		if onDisk {
			source.open, source.keepOpen = func([]byte) io.ReadSeeker { return whole }, true
		}
		r := httptest.NewRequest("GET", source.url(), nil)
		r.Header.Set("Range", rangeHeader)
		if ifRange != "" {
			r.Header.Set("If-Range", ifRange)
		}
		w := httptest.NewRecorder()
		files.New(source, nil).ServeHTTP(w, r)
		res := w.Result()
		switch {
		case res.StatusCode == http.StatusOK:
			if !bytes.Equal(w.Body.Bytes(), data) {
				t.Fatalf("%q: 200 with %d bytes", rangeHeader, w.Body.Len())
			}
		case res.StatusCode == http.StatusPartialContent && strings.HasPrefix(res.Header.Get("Content-Type"), "multipart/"):
			readParts(t, res, len(data))
		case res.StatusCode == http.StatusPartialContent:
			checkPart(t, res.Header.Get("Content-Range"), w.Body.Bytes(), data)
		case res.StatusCode != http.StatusRequestedRangeNotSatisfiable:
			t.Fatalf("%q: status %d", rangeHeader, res.StatusCode)
		}
		if n := res.Header.Get("Content-Length"); res.StatusCode < 300 && n != fmt.Sprint(w.Body.Len()) {
			t.Fatalf("%q: Content-Length %s, %d bytes", rangeHeader, n, w.Body.Len())
		}
	})
}

// FuzzRoute: no path makes the handler panic or ask its source for something
// that was not checked.
func FuzzRoute(f *testing.F) {
	source := &fakeSource{t: f, data: sample(10), open: still}
	good := source.url()
	for _, seed := range []string{good, good + ".metadata", good + "/", "/files/", "/files/..%2f..%2fetc/passwd", "/files/a/b/c/d",
		strings.Replace(good, wheel, "..%2f..%2fshadow", 1), strings.Replace(good, wheel, ".metadata", 1),
		strings.Replace(good, wheel, "%00", 1), strings.Replace(good, "numpy", "NumPy", 1), strings.ToUpper(good), "*", "", "//files//"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		raw, err := url.PathUnescape(path)
		if err != nil {
			raw = path
		}
		for _, p := range []string{path, raw} {
			source := &fakeSource{t: t, data: sample(10), open: still}
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path = p
			w := httptest.NewRecorder()
			files.New(source, nil).ServeHTTP(w, r)
			for _, ref := range source.asked {
				name, err := pypi.ParseName(string(ref.Name))
				if err != nil || name != ref.Name || pypi.CheckFilename(ref.Filename) != nil || strings.Contains(ref.Filename, "/") {
					t.Fatalf("%q asks for %+v", p, ref)
				}
			}
			if len(source.asked) == 0 && w.Code != http.StatusNotFound {
				t.Fatalf("%q: status %d without a look at the source", p, w.Code)
			}
		}
	})
}

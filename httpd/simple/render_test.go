package simple_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"cheeseboard/httpd/simple"
	"cheeseboard/storage/pypi"
)

func TestOnlyWhatCanBeDeliveredIsOffered(t *testing.T) {
	x := newIndex(t)
	md5, err := pypi.NewHash("md5", strings.Repeat("a", 32))
	if err != nil {
		t.Fatal(err)
	}
	x.project.Files = []pypi.File{
		{Filename: "demo-1.0.tar.gz", Hashes: hashes(t, 0), Size: 1, GPGSig: pypi.Yes},
		{Filename: "demo-1.1.tar.gz", Size: 1},
		{Filename: "demo-1.2.tar.gz", Hashes: pypi.Hashes{md5}, Size: 1},
		{Filename: "../demo-1.3.tar.gz", Hashes: hashes(t, 3), Size: 1},
		{Filename: "demo-1.4.tar.gz", Hashes: hashes(t, 4), Size: 1},
	}
	h := newHandler(x, nil)
	for _, accept := range []string{typeJSON, typeHTML} {
		got := body(t, do(h, "GET", "/simple/demo/", "Accept", accept))
		for _, want := range []string{"../../files/demo/demo-1.0.tar.gz", "../../files/demo/demo-1.4.tar.gz"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %s: %s", accept, want, got)
			}
		}
		for _, not := range []string{"demo-1.1", "demo-1.2", "demo-1.3", "gpg-sig"} {
			if strings.Contains(got, not) {
				t.Errorf("%s offers %s: %s", accept, not, got)
			}
		}
	}
	if len(x.project.Files) != 5 || x.project.Files[0].GPGSig != pypi.Yes {
		t.Error("the project of the index was changed")
	}
	x.project.Status.State, x.tag = pypi.StatusQuarantined, "g8"
	var page struct{ Files []any }
	if err := json.Unmarshal([]byte(body(t, do(h, "GET", "/simple/demo/", "Accept", typeJSON))), &page); err != nil || len(page.Files) != 0 {
		t.Errorf("a quarantined project offers %v, %v", page.Files, err)
	}
}

func TestOneRenderingForManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newIndex(t)
		gate := make(chan struct{})
		x.before = func() { <-gate }
		h := newHandler(x, nil)
		const clients = 30
		bodies := make([]string, clients)
		var group sync.WaitGroup
		for i := range clients {
			group.Go(func() { bodies[i] = body(t, do(h, "GET", "/simple/demo/", "Accept-Encoding", "gzip")) })
		}
		synctest.Wait() // all of them wait for the gate or for the one behind it
		close(gate)
		group.Wait()
		if x.loads.Load() != 1 || x.pages.Load() != clients {
			t.Errorf("%d clients: %d loads, %d looks at the index", clients, x.loads.Load(), x.pages.Load())
		}
		for _, b := range bodies {
			if b != bodies[0] || b == "" {
				t.Errorf("bodies differ: %.60q", b)
			}
		}
		do(h, "GET", "/simple/demo/", "Accept-Encoding", "gzip")
		do(h, "GET", "/simple/demo/", "Accept-Encoding", "gzip", "Accept", typeHTML) // the same bytes
		if x.loads.Load() != 1 {
			t.Errorf("a kept page was loaded again")
		}
		x.tag = "g8"
		do(h, "GET", "/simple/demo/", "Accept-Encoding", "gzip")
		if x.loads.Load() != 2 {
			t.Errorf("%d loads after the content has changed, want 2", x.loads.Load())
		}
	})
}

func TestErrorsAreNotKept(t *testing.T) {
	x := newIndex(t)
	h := newHandler(x, nil)
	x.loadErr = errors.New("the card does not answer")
	if res := do(h, "GET", "/simple/demo/"); res.StatusCode != 500 || strings.Contains(body(t, res), "card") || res.Header.Get("ETag") != "" {
		t.Errorf("a page that does not load: %d %v", res.StatusCode, res.Header)
	}
	x.loadErr = nil
	if res := do(h, "GET", "/simple/demo/"); res.StatusCode != 200 {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
	x.tag = "g8"
	x.before = func() { panic("a bug") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		do(h, "GET", "/simple/demo/")
	}()
	x.before = nil
	for range 10 { // a renderer that a panic took along would be missed soon
		x.tag += "x"
		if res := do(h, "GET", "/simple/demo/"); res.StatusCode != 200 {
			t.Errorf("after a panic: %d", res.StatusCode)
		}
	}
}

func TestKeptPagesStayInTheirRoom(t *testing.T) {
	x := newIndex(t)
	for i := range 40 {
		x.project.Files = append(x.project.Files, pypi.File{Filename: fmt.Sprintf("demo-2.%d.tar.gz", i), Hashes: hashes(t, i), Size: 1})
	}
	size := len(body(t, do(newHandler(x, nil), "GET", "/simple/demo/")))
	loads := func(room int, paths ...string) int64 {
		h := simple.New(simple.Deps{Index: x, Link: link, CacheBytes: int64(room)})
		before := x.loads.Load()
		for _, encoding := range paths {
			do(h, "GET", "/simple/demo/", "Accept-Encoding", encoding)
		}
		return x.loads.Load() - before
	}
	if got := loads(10*size, "identity", "gzip", "identity", "gzip"); got != 2 {
		t.Errorf("with room: %d loads, want 2", got)
	}
	if got := loads(size, "identity", "identity"); got != 2 {
		t.Errorf("a page larger than a quarter of the room: %d loads, want 2", got)
	}
	if got := loads(-1, "gzip", "gzip", "gzip"); got != 3 {
		t.Errorf("without room: %d loads, want 3", got)
	}
}

// manyNames gives a list that is too long to be held.
func manyNames(n int) []pypi.ListEntry {
	names := make([]pypi.ListEntry, n)
	for i := range names {
		// Digits of a product do not repeat, so that gzip cannot make much of them.
		names[i].Name = pypi.Name(fmt.Sprintf("p-%x", uint64(i+1)*0x9e3779b97f4a7c15))
	}
	return names
}

func TestLongListIsStreamed(t *testing.T) {
	x := newIndex(t)
	x.names = manyNames(50_000)
	server := httptest.NewServer(newHandler(x, nil))
	defer server.Close()
	for _, encoding := range []string{"gzip", "identity"} {
		for _, accept := range []string{typeJSON, typeHTML} {
			r := httptest.NewRequest("GET", server.URL+"/simple/", nil)
			r.RequestURI = ""
			r.Header.Set("Accept", accept)
			r.Header.Set("Accept-Encoding", encoding)
			get, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got := body(t, get)
			if get.ContentLength != -1 || get.Header.Get("X-PyPI-Last-Serial") != "99" || get.Header.Get("ETag") == "" {
				t.Errorf("%s in %s: length %d, %v", accept, encoding, get.ContentLength, get.Header)
			}
			if n := strings.Count(got, "p-"); n < len(x.names) || !strings.Contains(got, string(x.names[len(x.names)-1].Name)) {
				t.Errorf("%s in %s: %d names in %d bytes", accept, encoding, n, len(got))
			}
			if accept == typeJSON && !json.Valid([]byte(got)) {
				t.Errorf("in %s: the JSON is broken", encoding)
			}
			r.Method = "HEAD"
			head, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if head.StatusCode != 200 || head.Header.Get("ETag") != get.Header.Get("ETag") || head.Header.Get("Content-Type") != accept {
				t.Errorf("%s in %s: HEAD %d %v", accept, encoding, head.StatusCode, head.Header)
			}
		}
	}
}

func TestListThatFailsIsNeverWhole(t *testing.T) {
	x := newIndex(t)
	x.listErr = errors.New("the card does not answer")
	if res := do(newHandler(x, nil), "GET", "/simple/"); res.StatusCode != 500 || strings.Contains(body(t, res), "demo") {
		t.Errorf("a short list: %d", res.StatusCode)
	}
	x.names = manyNames(50_000)
	server := httptest.NewServer(newHandler(x, nil))
	defer server.Close()
	for _, encoding := range []string{"gzip", "identity"} {
		r := httptest.NewRequest("GET", server.URL+"/simple/", nil)
		r.RequestURI = ""
		r.Header.Set("Accept", typeJSON)
		r.Header.Set("Accept-Encoding", encoding)
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) == 0 {
			t.Errorf("in %s: %d bytes, then %v; want a broken answer", encoding, len(got), err)
		}
		if strings.HasSuffix(string(got), "]}") {
			t.Errorf("in %s: the list that failed has an end", encoding)
		}
	}
}

func TestShortListIsKept(t *testing.T) {
	x := newIndex(t)
	h := newHandler(x, nil)
	first := do(h, "GET", "/simple/", "Accept", typeJSON)
	second := do(h, "GET", "/simple/", "Accept", typeJSON)
	if a, b := body(t, first), body(t, second); a != b || !strings.Contains(a, `"demo"`) || second.Header.Get("Content-Length") == "" {
		t.Errorf("%q and %q", a, b)
	}
	if x.lists.Load() != 1 {
		t.Errorf("listed %d times, want once", x.lists.Load())
	}
}

// TestEqualPagesGiveEqualBytes: a strong entity tag says so, whatever was packed before.
func TestEqualPagesGiveEqualBytes(t *testing.T) {
	for _, encoding := range []string{"gzip", "zstd"} {
		x := newIndex(t)
		h := simple.New(simple.Deps{Index: x, Link: link, CacheBytes: -1})
		ask := func(path string) string {
			b, err := io.ReadAll(do(h, "GET", path, "Accept", typeJSON, "Accept-Encoding", encoding).Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		first := ask("/simple/demo/")
		_ = ask("/simple/")
		last := x.project.LastSerial
		x.project.LastSerial++
		if ask("/simple/demo/") == first {
			t.Errorf("%s: another page is the same", encoding)
		}
		x.project.LastSerial = last
		for range 5 {
			if ask("/simple/demo/") != first {
				t.Errorf("%s: the same page is another", encoding)
			}
		}
	}
}

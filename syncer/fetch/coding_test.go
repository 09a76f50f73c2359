package fetch

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"cheeseboard/syncer/wire"
)

// TestFileWithACodingOfItsOwn: a server of static files may say of a .tar.gz that it comes
// under the coding gzip, as Apache does with AddEncoding; its bytes are those of the
// file. What was packed on the way is refused.
func TestFileWithACodingOfItsOwn(t *testing.T) {
	content := bytes.Repeat([]byte("curd"), 10_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-tar")
		w.Header().Set("Content-Encoding", r.URL.Query().Get("coding"))
		if !r.URL.Query().Has("anew") {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
		_, _ = w.Write(content)
	}))
	defer server.Close()
	client, err := wire.NewClient(wire.Options{Stall: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	for _, c := range []struct {
		path string
		ok   bool
	}{
		{"/gouda-1.0.tar.gz?coding=x-gzip", true},
		{"/gouda-1.0.tgz?coding=gzip", true},
		{"/gouda-1.0.tar.gz?coding=gzip&anew", false},
		{"/gouda-1.0.tar.gz?coding=br", false},
		{"/gouda-1.0-py3-none-any.whl?coding=gzip", false},
		{"/gouda-1.0.zip?coding=gzip", false},
	} {
		m := &memory{size: int64(len(content))}
		f := Fetcher{Client: client, Patience: 1}
		err := f.Fetch(t.Context(), server.URL+c.path, m)
		if c.ok && (err != nil || !bytes.Equal(m.b, content)) {
			t.Errorf("%s: %d bytes, %v", c.path, len(m.b), err)
		}
		if !c.ok && (wire.CauseOf(err) != wire.Lie || len(m.b) > 0) {
			t.Errorf("%s is taken: %d bytes, %v", c.path, len(m.b), err)
		}
	}
}

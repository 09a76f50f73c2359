package files_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"cheeseboard/httpd/files"
)

// late is a file of which only the first bytes have arrived, until more do after a
// while, or it fails.
type late struct {
	*bytes.Reader
	ctx   context.Context
	here  int64
	after time.Duration // until all is here; 0: never
	begun time.Time
}

func (l *late) Open(ctx context.Context, ref files.Ref) (*files.Content, error) {
	l.ctx, l.begun = ctx, time.Now()
	return &files.Content{Reader: l, Size: l.Size(), Digest: ref.Digest}, nil
}

func (l *late) Read(p []byte) (int, error) {
	if at := l.Size() - int64(l.Len()); at < l.here {
		return l.Reader.Read(p[:min(int64(len(p)), l.here-at)])
	}
	var all <-chan time.Time
	if l.after > 0 {
		all = time.After(l.after - time.Since(l.begun))
	}
	select {
	case <-all:
		return l.Reader.Read(p)
	case <-l.ctx.Done():
		return 0, l.ctx.Err()
	}
}

// TestPartThatDoesNotArrive asks for parts of a file of which a tenth is here. What
// comes within some seconds is given; else the client is asked to come back, before it
// gives up by itself, and is not left with half an answer.
func TestPartThatDoesNotArrive(t *testing.T) {
	data := sample(100_000)
	digest := fmt.Sprintf("%x", sha256.Sum256(data))
	tests := []struct {
		name   string
		header map[string]string
		after  time.Duration
		status int
		from   int
		took   time.Duration
	}{
		{"it is here", map[string]string{"Range": "bytes=5000-5999"}, 0, 206, 5000, 0},
		{"it never comes", map[string]string{"Range": "bytes=-1000"}, 0, 503, 0, 10 * time.Second},
		{"it comes in time", map[string]string{"Range": "bytes=-1000"}, 4 * time.Second, 206, 99_000, 4 * time.Second},
		{"it comes later", map[string]string{"Range": "bytes=99000-99999"}, time.Minute, 503, 0, 10 * time.Second},
		{"who resumes waits too", map[string]string{"Range": "bytes=99000-", "If-Range": `"` + digest + `"`}, time.Minute, 503, 0, 10 * time.Second},
		{"who has it all", map[string]string{"Range": "bytes=-1000", "If-None-Match": `"` + digest + `"`}, 0, 304, 0, 0},
		{"a range beyond the end", map[string]string{"Range": "bytes=100000-"}, 0, 416, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				l := &late{Reader: bytes.NewReader(data), here: 10_000, after: tt.after}
				res := do(t, files.New(l, nil), http.MethodGet, "/files/numpy/"+digest+"/"+wheel, tt.header)
				got, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != tt.status || time.Since(begun) != tt.took {
					t.Fatalf("status %d after %v (%v), want %d after %v", res.StatusCode, time.Since(begun), err, tt.status, tt.took)
				}
				switch tt.status {
				case http.StatusPartialContent:
					if !bytes.Equal(got, data[tt.from:tt.from+1000]) {
						t.Errorf("%d bytes that are not those", len(got))
					}
				case http.StatusServiceUnavailable:
					if res.Header.Get("Retry-After") == "" || res.Header.Get("Cache-Control") == "public, max-age=365000000, immutable" || res.Header.Get("ETag") != "" {
						t.Errorf("%v", res.Header)
					}
				}
			})
		})
	}
}

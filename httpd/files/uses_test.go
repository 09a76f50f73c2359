package files_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"cheeseboard/httpd/files"
)

// TestUses holds what counts as a use of a file: an answer from its first byte on.
func TestUses(t *testing.T) {
	source := &fakeSource{t: t, data: sample(1000), open: func(b []byte) io.ReadSeeker { return bytes.NewReader(b) }}
	handler := files.New(counted{source}, nil)
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(source.data))
	for _, tt := range []struct {
		method, name, value string
		uses                int
	}{
		{"GET", "", "", 1},
		{"HEAD", "", "", 0},
		{"GET", "Range", "bytes=0-", 1},
		{"GET", "Range", "bytes=500-", 0},
		{"GET", "Range", "bytes=-10", 0},
		{"GET", "If-None-Match", tag, 0},
	} {
		source.used = 0
		do(t, handler, tt.method, source.url(), map[string]string{tt.name: tt.value})
		if source.used != tt.uses {
			t.Errorf("%s with %s %q counts as %d uses, want %d", tt.method, tt.name, tt.value, source.used, tt.uses)
		}
	}
}

// counted counts the uses of what a source gives.
type counted struct{ *fakeSource }

func (c counted) Open(ctx context.Context, ref files.Ref) (*files.Content, error) {
	content, err := c.fakeSource.Open(ctx, ref)
	if content != nil {
		content.Used = func() { c.used++ }
	}
	return content, err
}

package httpd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cheeseboard/httpd"
	"cheeseboard/httpd/files"
	"cheeseboard/httpd/simple"
	"cheeseboard/storage/pypi"
)

// box is a small catalogue: the project demo with one file, opened by open.
type box struct {
	data []byte
	open func() io.ReadSeeker
	page func() (simple.Page, error)
}

const wheel = "demo-1.0-py3-none-any.whl"

func (b *box) Page(_ context.Context, name pypi.Name) (simple.Page, error) {
	if b.page != nil {
		return b.page()
	}
	if name != "demo" {
		return simple.Page{}, &simple.Missing{Reason: "There is no such project."}
	}
	p, err := project(b.data, 1)
	return simple.Page{Tag: "7", Visit: visit(p)}, err
}

func visit(p *pypi.Project) func(func(*pypi.Project, pypi.Files) error) error {
	return func(use func(*pypi.Project, pypi.Files) error) error { return use(p, pypi.FilesOf(p)) }
}

func (b *box) Names(context.Context) (simple.Names, error) {
	return simple.Names{Tag: "9", Each: func(yield func(pypi.ListEntry, error) bool) {
		yield(pypi.ListEntry{Name: "demo"}, nil)
	}}, nil
}

func (b *box) Open(_ context.Context, ref files.Ref) (*files.Content, error) {
	if ref.Name != "demo" || ref.Filename != wheel || ref.Metadata || ref.Digest != sha256.Sum256(b.data) {
		return nil, &files.Missing{Reason: "demo has no such file."}
	}
	reader := b.open()
	content := &files.Content{Reader: reader, Size: int64(len(b.data)), Digest: ref.Digest}
	if c, ok := reader.(io.Closer); ok {
		content.Close = c.Close
	}
	return content, nil
}

func (b *box) fileURL() string {
	return fmt.Sprintf("/files/demo/%x/%s", sha256.Sum256(b.data), wheel)
}

// project gives demo with n files; the first one has the digest of data.
func project(data []byte, n int) (*pypi.Project, error) {
	p := &pypi.Project{Name: "demo", LastSerial: 4711}
	for i := range n {
		digest, name := fmt.Sprintf("%x", sha256.Sum256(data)), wheel
		if i > 0 {
			name = fmt.Sprintf("demo-%d.%d-cp313-cp313-manylinux_2_17_x86_64.whl", i/9, i%9)
			digest = fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
		}
		hash, err := pypi.NewHash("sha256", digest)
		if err != nil {
			return nil, err
		}
		p.Files = append(p.Files, pypi.File{
			Filename: name, URL: "https://files.example.org/" + name, Hashes: pypi.Hashes{hash},
			RequiresPython: ">=3.9", CoreMetadata: pypi.CoreMetadata{Available: true}, Size: int64(len(data) + i),
		})
	}
	return p, nil
}

// newBox holds size bytes in a real file.
func newBox(t testing.TB, size int) *box {
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	path := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(path, data, 0o400); err != nil {
		t.Fatal(err)
	}
	return &box{data: data, open: func() io.ReadSeeker {
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return nil
		}
		return f
	}}
}

func (b *box) handler(log *slog.Logger) *httpd.Handler {
	return httpd.New(httpd.Deps{Index: b, Source: b, Log: log})
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newLog(b *logBuffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

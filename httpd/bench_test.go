package httpd_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"cheeseboard/httpd"
	"cheeseboard/httpd/simple"
)

const pipAccept = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"

// nowhere takes an answer and keeps its head only.
type nowhere struct {
	header http.Header
	status int
	bytes  int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(status int)      { n.status = status }
func (n *nowhere) Write(p []byte) (int, error) { n.bytes += len(p); return len(p), nil }

// benchmarkPage serves the page of a project with n files, through the whole
// front but without a network.
func benchmarkPage(b *testing.B, n int) {
	x := newBox(b, 100)
	p, err := project(x.data, n)
	if err != nil {
		b.Fatal(err)
	}
	x.page = func() (simple.Page, error) {
		return simple.Page{Tag: "7", Visit: visit(p)}, nil
	}
	request := httptest.NewRequest("GET", "/simple/demo/", nil)
	request.Header.Set("Accept", pipAccept)
	request.Header.Set("Accept-Encoding", "gzip, deflate")
	run := func(name string, status int, cacheBytes int64, etag func(http.Header) string) {
		b.Run(name, func(b *testing.B) {
			h := httpd.New(httpd.Deps{Index: x, Source: x, PageCacheBytes: cacheBytes})
			first := &nowhere{header: make(http.Header)}
			h.ServeHTTP(first, request)
			r := request.Clone(b.Context())
			r.Header.Set("If-None-Match", etag(first.header))
			b.ReportAllocs()
			for b.Loop() {
				w := &nowhere{header: make(http.Header)}
				h.ServeHTTP(w, r)
				if w.status != status {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(float64(first.bytes), "body-bytes")
		})
	}
	run("hit", 200, 0, func(http.Header) string { return `"other"` })
	run("304", 304, 0, func(h http.Header) string { return h.Get("ETag") })
	run("render", 200, -1, func(http.Header) string { return `"other"` })
}

func BenchmarkServePage10(b *testing.B)   { benchmarkPage(b, 10) }
func BenchmarkServePage3000(b *testing.B) { benchmarkPage(b, 3000) }

// BenchmarkServeFile sends 16 MiB over a loopback connection: as a file, which
// the kernel sends, and as a reader, which is copied.
func BenchmarkServeFile(b *testing.B) {
	x := newBox(b, 16<<20)
	stored := x.open
	for name, open := range map[string]func() io.ReadSeeker{
		"sendfile": stored,
		"copy": func() io.ReadSeeker {
			f := stored()
			return struct {
				io.ReadSeeker
				io.Closer
			}{f, f.(io.Closer)}
		},
	} {
		b.Run(name, func(b *testing.B) {
			x.open = open
			server := httptest.NewUnstartedServer(nil)
			server.Config = httpd.NewServer(x.handler(nil), nil, httpd.Limits{})
			server.Start()
			defer server.Close()
			b.SetBytes(int64(len(x.data)))
			b.ReportAllocs()
			for b.Loop() {
				res, err := server.Client().Get(server.URL + x.fileURL())
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, res.Body)
				_ = res.Body.Close() // it was read to its end or failure
				if err != nil || n != int64(len(x.data)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}

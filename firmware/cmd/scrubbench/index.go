package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// index is an honest upstream whose files are made while they are sent: ten
// gigabytes of them need no memory.
type index struct {
	files []file
	http  *http.Server
	url   string
}

// file is one wheel of the index: bytes that do not compress, by its number.
type file struct {
	number  int
	project string
	name    string
	size    int64
	sha256  [sha256.Size]byte
}

const perProject = 10

// newIndex makes an index of so many bytes, and serves it: nine tenths of the files
// are small, nearly all bytes are in large ones.
func newIndex(bytes int64) (*index, error) {
	x := &index{}
	for n := 0; bytes > 0; n++ {
		size := int64(64 << 10)
		if n%perProject == 0 {
			size = 20 << 20
		}
		f := file{number: n, project: fmt.Sprintf("cheese-%04d", n/perProject), size: min(size, bytes)}
		f.name = fmt.Sprintf("%s-1.%d-py3-none-any.whl", strings.ReplaceAll(f.project, "-", "_"), n%perProject)
		h := sha256.New()
		if _, err := io.Copy(h, f.content()); err != nil {
			return nil, err
		}
		h.Sum(f.sha256[:0])
		x.files = append(x.files, f)
		bytes -= f.size
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	x.url = "http://" + l.Addr().String() + "/simple/"
	x.http = &http.Server{Handler: x}
	go func() { _ = x.http.Serve(l) }() // until close
	return x, nil
}

func (x *index) close() error { return x.http.Close() }

// content gives a file's bytes.
func (f *file) content() io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(f.number)+1)
	return io.LimitReader(rand.NewChaCha8(seed), f.size)
}

func (x *index) projects() []string {
	var names []string
	for i := 0; i < len(x.files); i += perProject {
		names = append(names, x.files[i].project)
	}
	return names
}

// ServeHTTP answers as PEP 691 says, and gives out files.
func (x *index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) == 2 && parts[0] == "simple":
		x.page(w, parts[1])
	case len(parts) == 2 && parts[0] == "files":
		n, err := strconv.Atoi(parts[1])
		if err != nil || n < 0 || n >= len(x.files) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(x.files[n].size, 10))
		_, _ = io.Copy(w, x.files[n].content()) // a client that is gone comes again
	default:
		http.NotFound(w, r)
	}
}

func (x *index) page(w http.ResponseWriter, project string) {
	type entry struct {
		Filename string            `json:"filename"`
		URL      string            `json:"url"`
		Hashes   map[string]string `json:"hashes"`
		Size     int64             `json:"size"`
	}
	page := struct {
		Meta  map[string]string `json:"meta"`
		Name  string            `json:"name"`
		Files []entry           `json:"files"`
	}{map[string]string{"api-version": "1.1"}, project, nil}
	for i := range x.files {
		if f := &x.files[i]; f.project == project {
			page.Files = append(page.Files, entry{f.name, fmt.Sprintf("/files/%d", f.number), map[string]string{"sha256": fmt.Sprintf("%x", f.sha256)}, f.size})
		}
	}
	if page.Files == nil {
		http.Error(w, "there is no such project", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
	_ = json.NewEncoder(w).Encode(page) // a client that is gone comes again
}

// equals tells whether what is read is the file.
func (f *file) equals(r io.Reader) (bool, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return n == f.size && [sha256.Size]byte(h.Sum(nil)) == f.sha256, err
}

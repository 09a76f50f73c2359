package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// The projects that are asked for.
const (
	small = "ten-files"      // 10 files, of which the last is there with 5 KB of metadata
	large = "thousand-files" // 3,000 files
	heavy = "heavy-file"     // one file of 100 MB
	storm = "storm"          // what pip downloads, with its dependencies
)

// dependencies are what storm needs: wheels of 2 MB.
var dependencies = []string{"storm-air", "storm-rain", "storm-wind"}

const (
	smallFiles, largeFiles = 10, 3000
	heavyBytes             = 100 << 20
	wheelBytes             = 2 << 20
	metadataBytes          = 5 << 10
)

// index is the upstream: an honest one that the box asks for what it serves.
type index struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}

	pages map[pypi.Name][]byte // as JSON
	files map[string][]byte    // by path, with the metadata
	// last is, by project, the path of its last file behind the address of an index.
	last map[string]string
}

func newIndex() (*index, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	x := &index{listener: l, done: make(chan struct{}), pages: make(map[pypi.Name][]byte), files: make(map[string][]byte), last: make(map[string]string)}
	if err := x.fill(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	x.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: x}
	go func() {
		defer close(x.done)
		_ = x.server.Serve(l) // its error says that it was closed
	}()
	return x, nil
}

func (x *index) root() string { return "http://" + x.listener.Addr().String() }

func (x *index) close() error {
	err := x.server.Close()
	<-x.done
	return err
}

// ServeHTTP answers as PEP 691 says, and gives out files.
func (x *index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b, is := x.files[r.URL.Path]; is {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		return
	}
	name, _ := strings.CutPrefix(r.URL.Path, "/simple/")
	page, is := x.pages[pypi.Name(strings.Trim(name, "/"))]
	if !is {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", pypi.ContentTypeJSON)
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(page)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
}

// fill makes all pages and files.
func (x *index) fill() error {
	for project, count := range map[string]int{small: smallFiles, large: largeFiles} {
		p := &pypi.Project{Name: pypi.Name(project)}
		for n := range count {
			// Only the last is asked for; of the others pages tell.
			body := fmt.Appendf(nil, "%s %d", project, n)
			if n == count-1 {
				body = noise(64<<10, uint64(count))
			}
			if err := x.add(p, fmt.Sprintf("1.%d", n), body, text(project, fmt.Sprintf("1.%d", n), nil)); err != nil {
				return err
			}
		}
		x.pages[p.Name] = pypi.AppendProjectJSON(nil, p, nil)
	}
	one := func(project string, body, metadata []byte) error {
		p := &pypi.Project{Name: pypi.Name(project)}
		if err := x.add(p, "1.0", body, metadata); err != nil {
			return err
		}
		x.pages[p.Name] = pypi.AppendProjectJSON(nil, p, nil)
		return nil
	}
	if err := one(heavy, noise(heavyBytes, 7), text(heavy, "1.0", nil)); err != nil {
		return err
	}
	for i, project := range append([]string{storm}, dependencies...) {
		var needs []string
		if project == storm {
			needs = dependencies
		}
		metadata := text(project, "1.0", needs)
		body, err := wheel(project, metadata, noise(wheelBytes, uint64(100+i)))
		if err == nil {
			err = one(project, body, metadata)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add puts a wheel on a page.
func (x *index) add(p *pypi.Project, version string, body, metadata []byte) error {
	name := fmt.Sprintf("%s-%s-py3-none-any.whl", strings.ReplaceAll(string(p.Name), "-", "_"), version)
	digest, about := pypi.Digest(sha256.Sum256(body)), pypi.Digest(sha256.Sum256(metadata))
	sum, err := pypi.NewHashes(pypi.Hash{Algorithm: "sha256", Hex: digest.String()})
	if err != nil {
		return err
	}
	aboutSum, err := pypi.NewHashes(pypi.Hash{Algorithm: "sha256", Hex: about.String()})
	if err != nil {
		return err
	}
	at := path.Join("/bytes", digest.String(), name)
	x.files[at], x.files[at+".metadata"] = body, metadata
	x.last[string(p.Name)] = path.Join("/files", string(p.Name), digest.String(), name)
	p.Versions = append(p.Versions, version)
	p.Files = append(p.Files, pypi.File{
		Filename: name, URL: x.root() + at, Hashes: sum, RequiresPython: ">=3.8", Size: int64(len(body)),
		CoreMetadata: pypi.CoreMetadata{Available: true, Hashes: aboutSum},
		UploadTime:   time.Date(2026, 1, 1, 0, 0, len(p.Files), 0, time.UTC),
	})
	return nil
}

// noise gives bytes that do not compress.
func noise(n int, seed uint64) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // it never fails
	return b
}

// text is core metadata of the usual length.
func text(project, version string, needs []string) []byte {
	b := fmt.Appendf(nil, "Metadata-Version: 2.1\nName: %s\nVersion: %s\n", project, version)
	for _, n := range needs {
		b = fmt.Appendf(b, "Requires-Dist: %s\n", n)
	}
	b = append(b, '\n')
	for len(b) < metadataBytes {
		b = fmt.Appendf(b, "%s is described here, in line %d.\n", project, len(b))
	}
	return b[:metadataBytes]
}

// wheel makes a wheel that pip takes.
func wheel(project string, metadata, content []byte) ([]byte, error) {
	module := strings.ReplaceAll(project, "-", "_")
	info := module + "-1.0.dist-info/"
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range []struct {
		name string
		body []byte
	}{
		{module + ".bin", content},
		{info + "METADATA", metadata},
		{info + "WHEEL", []byte("Wheel-Version: 1.0\nGenerator: servebench\nRoot-Is-Purelib: true\nTag: py3-none-any\n")},
		{info + "RECORD", fmt.Appendf(nil, "%s.bin,,\n%sMETADATA,,\n%sWHEEL,,\n%sRECORD,,\n", module, info, info, info)},
	} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(f.body)
		}
		if err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return out.Bytes(), err
}

package simple

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"

	"cheeseboard/storage/pypi"

	"github.com/klauspost/compress/gzip"
)

// What a renderer keeps between two pages, in bytes. Larger buffers are given
// back, so that one huge page does not hold memory for ever.
const maxKeptBuffer = 256 << 10

// pageLevel is the compression of pages that are kept. Most of a page is
// digests, which no level makes smaller: on a page of 3,000 files level 6 saves
// 1 % over level 1.
const pageLevel = 1

// entrySize is about what one file takes on a page, in bytes.
const entrySize = 640

// renderer holds the buffers of one rendering. There are as many as processors:
// more renderings at once would only need more memory, not less time.
type renderer struct {
	raw    []byte
	packed bytes.Buffer
	gzip   *gzip.Writer
}

func newRenderers() chan *renderer {
	n := min(runtime.GOMAXPROCS(0), 4)
	c := make(chan *renderer, n)
	for range n {
		c <- new(renderer)
	}
	return c
}

// render loads a page and makes its bytes.
func (h *Handler) render(name pypi.Name, page Page, key cacheKey) (rendered, error) {
	r := <-h.renderers
	defer func() { h.renderers <- r }()

	project, err := page.Load()
	if err != nil {
		return rendered{}, fmt.Errorf("load page of %s: %w", name, err)
	}
	project = offered(project)
	link := func(f *pypi.File) string { return h.link(name, f) }
	out := rendered{serial: project.LastSerial}
	switch {
	case key.gzip && key.json:
		out.body, err = r.compress(func() (err error) {
			r.raw, err = pypi.WriteProjectJSON(r.gzip, r.raw, project, link)
			return err
		})
	case key.gzip:
		out.body, err = r.compress(func() (err error) {
			r.raw, err = pypi.WriteProjectHTML(r.gzip, r.raw, project, link)
			return err
		})
	default:
		out.body = r.plain(project, link, key.json)
	}
	r.shrink()
	if err != nil {
		return rendered{}, fmt.Errorf("compress page of %s: %w", name, err)
	}
	return out, nil
}

// plain gives a page as it is. What is large is not copied: the buffer would be
// given back all the same.
func (r *renderer) plain(project *pypi.Project, link pypi.Link, json bool) []byte {
	r.raw = slices.Grow(r.raw[:0], entrySize*(len(project.Files)+1))
	if json {
		r.raw = pypi.AppendProjectJSON(r.raw, project, link)
	} else {
		r.raw = pypi.AppendProjectHTML(r.raw, project, link)
	}
	return own(r.raw)
}

// own gives bytes that nobody else will write to: those of a buffer that is too
// large to be kept, or a copy.
func own(b []byte) []byte {
	if cap(b) > maxKeptBuffer {
		return b
	}
	return bytes.Clone(b)
}

// compress packs what write writes to r.gzip, piece by piece: a page of thousands
// of files is several times as large as packed. Equal bytes give equal bytes, as a
// strong entity tag needs.
func (r *renderer) compress(write func() error) ([]byte, error) {
	r.packed.Reset()
	if r.gzip == nil {
		var err error
		if r.gzip, err = gzip.NewWriterLevel(&r.packed, pageLevel); err != nil {
			return nil, err
		}
	} else {
		r.gzip.Reset(&r.packed)
	}
	if err := write(); err != nil {
		return nil, err
	}
	if err := r.gzip.Close(); err != nil {
		return nil, err
	}
	return own(r.packed.Bytes()), nil
}

func (r *renderer) shrink() {
	if cap(r.raw) > maxKeptBuffer {
		r.raw = nil
	}
	if r.packed.Cap() > maxKeptBuffer {
		r.packed = bytes.Buffer{}
	}
}

// offered gives the project without what cannot be delivered: files that no
// SHA-256 stands for, files with a name that is not safe, and signatures, which
// are not kept. A quarantined project offers no files (PEP 792). The project
// itself is not changed.
func offered(p *pypi.Project) *pypi.Project {
	if p.Status.State == pypi.StatusQuarantined {
		out := *p
		out.Files = nil
		return &out
	}
	sound := func(f pypi.File) bool {
		_, ok := f.Hashes.SHA256()
		return ok && pypi.CheckFilename(f.Filename) == nil
	}
	if !slices.ContainsFunc(p.Files, func(f pypi.File) bool { return !sound(f) || f.GPGSig != pypi.Unstated }) {
		return p
	}
	out := *p
	out.Files = make([]pypi.File, 0, len(p.Files))
	for _, f := range p.Files {
		if sound(f) {
			f.GPGSig = pypi.Unstated
			out.Files = append(out.Files, f)
		}
	}
	return &out
}

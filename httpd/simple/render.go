package simple

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"cheeseboard/storage/pypi"
)

// What a renderer keeps between two pages, in bytes. Larger buffers are given
// back, so that one huge page does not hold memory for ever.
const maxKeptBuffer = 128 << 10

// renderer holds the buffers of one rendering. There are as many as processors:
// more renderings at once would only need more memory, not less time.
type renderer struct {
	raw     []byte
	out     bytes.Buffer
	packers [numCodings]packer // those that were needed
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

	var out rendered
	err := page.Visit(func(project *pypi.Project, files pypi.Files) (err error) {
		write := func(w io.Writer) (err error) {
			link := func(f *pypi.File) string { return h.link(name, f) }
			if key.json {
				r.raw, err = pypi.WriteProjectJSON(w, r.raw, project, offered(files), link)
			} else {
				r.raw, err = pypi.WriteProjectHTML(w, r.raw, project, offered(files), link)
			}
			return err
		}
		out, err = r.body(h.scratch, key.coding, write)
		out.serial = project.LastSerial
		return err
	})
	r.shrink()
	if err != nil {
		out.release()
		return rendered{}, fmt.Errorf("render page of %s: %w", name, err)
	}
	return out, nil
}

// body gathers what write writes, packed or not. A page of thousands of files is
// never in memory as a whole, but for what is sent. Equal bytes give equal bytes,
// as a strong entity tag needs.
func (r *renderer) body(scratch func() (*os.File, error), packed coding, write func(io.Writer) error) (rendered, error) {
	r.out.Reset()
	out := &overflow{held: &r.out, scratch: scratch}
	if packed == identity {
		return out.body(write(out))
	}
	z := r.packers[packed]
	if z == nil {
		var err error
		if z, err = newPacker(packed); err != nil {
			return rendered{}, err
		}
		r.packers[packed] = z
	}
	z.Reset(out)
	body, err := out.body(errors.Join(write(z), z.Close()))
	z.Reset(nil) // the file is not its own any more
	return body, err
}

// own gives bytes that nobody else will write to: those of a buffer that is too
// large to be kept, or a copy.
func own(b []byte) []byte {
	if cap(b) > maxKeptBuffer {
		return b
	}
	return bytes.Clone(b)
}

func (r *renderer) shrink() {
	if cap(r.raw) > maxKeptBuffer {
		r.raw = nil
	}
	if r.out.Cap() > maxKeptBuffer {
		r.out = bytes.Buffer{}
	}
}

// offered leaves out what cannot be delivered: files that no SHA-256 stands for,
// files with a name that is not safe, and signatures, which are not kept.
func offered(files pypi.Files) pypi.Files {
	return func(yield func(*pypi.File, error) bool) {
		for f, err := range files {
			if err != nil {
				yield(nil, err)
				return
			}
			if _, ok := f.Hashes.SHA256(); !ok || pypi.CheckFilename(f.Filename) != nil {
				continue
			}
			if f.GPGSig != pypi.Unstated {
				unsigned := *f // what is visited is only read
				unsigned.GPGSig = pypi.Unstated
				f = &unsigned
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

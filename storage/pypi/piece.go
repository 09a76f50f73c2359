package pypi

import "io"

// pieceSize is about how many bytes of a page are in memory at once while it is
// written: one file takes less than a piece.
const pieceSize = 64 << 10

// pieces takes a page while it is rendered. A nil one takes nothing.
type pieces struct {
	w   io.Writer
	err error
}

// fail keeps the first error.
func (p *pieces) fail(err error) {
	if p != nil && p.err == nil {
		p.err = err
	}
}

// take writes dst once it is a piece, and gives what there is to append to.
func (p *pieces) take(dst []byte) []byte {
	if p == nil || len(dst) < pieceSize {
		return dst
	}
	return p.flush(dst)
}

func (p *pieces) flush(dst []byte) []byte {
	if p.err == nil {
		_, p.err = p.w.Write(dst)
	}
	return dst[:0]
}

// WriteProjectJSON writes what AppendProjectJSON appends for a project with these
// files, its own not counted, without having all of it in memory. buf, which may be
// nil, is room to do that in; it is given back, and may have grown. The errors are
// those of w and of files.
func WriteProjectJSON(w io.Writer, buf []byte, p *Project, files Files, link Link) ([]byte, error) {
	out := &pieces{w: w}
	buf = out.flush(projectJSON(buf[:0], p, files, link, out))
	return buf, out.err
}

// WriteProjectHTML does for AppendProjectHTML what WriteProjectJSON does.
func WriteProjectHTML(w io.Writer, buf []byte, p *Project, files Files, link Link) ([]byte, error) {
	out := &pieces{w: w}
	buf = out.flush(projectHTML(buf[:0], p, files, link, out))
	return buf, out.err
}

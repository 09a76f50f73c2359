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

// WriteProjectJSON writes what AppendProjectJSON appends, without having all of it
// in memory. buf, which may be nil, is room to do that in; it is given back, and
// may have grown. The errors are w's.
func WriteProjectJSON(w io.Writer, buf []byte, p *Project, link Link) ([]byte, error) {
	out := &pieces{w: w}
	buf = out.flush(projectJSON(buf[:0], p, link, out))
	return buf, out.err
}

// WriteProjectHTML does for AppendProjectHTML what WriteProjectJSON does.
func WriteProjectHTML(w io.Writer, buf []byte, p *Project, link Link) ([]byte, error) {
	out := &pieces{w: w}
	buf = out.flush(projectHTML(buf[:0], p, link, out))
	return buf, out.err
}

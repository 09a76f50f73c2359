package httpd

import (
	"io"
	"net/http"
	"os"
	"time"
)

// slice is how much is sent under one write deadline. With the default of 60 s
// a client that takes 17.5 KB/s or more lives, however large the file is.
const slice = 1 << 20

// copyBuffer is the buffer for bodies that the kernel cannot send.
const copyBuffer = 32 << 10

// rolling is a response that moves the connection's write deadline on before
// each slice. A slow client lives; one that takes nothing dies within one
// patience. The time in which a body's reader waits for its own source does not
// count. It also keeps what the log wants to know.
type rolling struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
	status   int // 0 until the headers are written
	sent     int64
}

func newRolling(w http.ResponseWriter, patience time.Duration) *rolling {
	return &rolling{ResponseWriter: w, control: http.NewResponseController(w), patience: patience}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *rolling) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// extend gives the client the full patience again.
func (w *rolling) extend() {
	// A writer without deadlines, as in tests of handlers, needs none; on a
	// connection that has gone the write itself fails.
	_ = w.control.SetWriteDeadline(time.Now().Add(w.patience))
}

// WriteHeader implements http.ResponseWriter.
func (w *rolling) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *rolling) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	total := 0
	for {
		part := p[:min(len(p), slice)]
		w.extend()
		n, err := w.ResponseWriter.Write(part)
		total += n
		w.sent += int64(n)
		if err != nil || len(part) == len(p) {
			return total, err
		}
		p = p[len(part):]
	}
}

// ReadFrom implements io.ReaderFrom. A file, or a limited part of one, is handed
// to the connection slice by slice as an *io.LimitedReader over the bare
// *os.File, the form in which the kernel sends it. Everything else is copied.
func (w *rolling) ReadFrom(src io.Reader) (int64, error) {
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		limited = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	file, isFile := limited.R.(*os.File)
	direct, canSend := w.ResponseWriter.(io.ReaderFrom)
	if !isFile || !canSend {
		// The other methods are hidden, or io.CopyBuffer would come back here.
		return io.CopyBuffer(struct{ io.Writer }{w}, src, make([]byte, copyBuffer))
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	var total int64
	for limited.N > 0 {
		part := &io.LimitedReader{R: file, N: min(limited.N, slice)}
		w.extend()
		n, err := direct.ReadFrom(part)
		total += n
		w.sent += n
		limited.N -= n
		if err != nil {
			return total, err
		}
		if part.N > 0 {
			return total, nil // the file ended
		}
	}
	return total, nil
}

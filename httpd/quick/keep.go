package quick

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
)

// Offer is what a handler says of the answer that it is about to give.
type Offer struct {
	// Body is the whole body that a GET is answered with; it must not change any
	// more. nil where the answer has none.
	Body []byte
	// File has the body instead of Body. Nothing is done to keep it open: an answer whose
	// file was closed holds no more.
	File File
	// Still tells whether the handler would, at this moment, answer the same request
	// in the same way, whoever asks. It is called for each answer, by any number of
	// goroutines, and must be quick: it reads no disk and waits for nothing.
	Still func() bool
	// Used is called for each answer that is given again; nil: nobody is interested.
	Used func()
}

// File is a body that lies in a file. It does not change. Its methods may be called by
// any number of goroutines.
type File interface {
	// Hold keeps the file open until Release; false where it is closed already.
	Hold() bool
	// Release gives back what Hold gave.
	Release() error
	// File gives the file, and how long the body is that begins with its first byte. It
	// is asked while the file is held, and the file's offset is left alone.
	File() (*os.File, int64)
}

// length is that of the body that is offered, in bytes.
func (o *Offer) length() int64 {
	if o.File == nil {
		return int64(len(o.Body))
	}
	_, size := o.File.File()
	return size
}

type recorderKey struct{}

// Wanted tells whether the answer to the request of ctx could be given again, for
// those to whom an offer costs something.
func Wanted(ctx context.Context) bool {
	_, is := ctx.Value(recorderKey{}).(*recorder)
	return is
}

// Keep offers the answer to the request of ctx to be given again. It does nothing
// where the request is not one that could be answered here, and is called before
// the headers are written.
func Keep(ctx context.Context, o Offer) {
	if r, is := ctx.Value(recorderKey{}).(*recorder); is && o.Still != nil {
		r.offer = &o
	}
}

// recorder stands before a response that may be kept, and looks on.
type recorder struct {
	http.ResponseWriter
	get      bool
	hopeless func() // is called when it is clear that nothing will be kept
	offer    *Offer
	status   int
	head     []byte
	sent     int64
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
		if r.offer != nil {
			r.head = headOf(status, r.Header(), r.offer.length())
		}
		if r.head == nil {
			r.hopeless()
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(p)
	r.sent += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom, for what the kernel can send.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	direct, is := r.ResponseWriter.(io.ReaderFrom)
	if !is {
		return io.Copy(struct{ io.Writer }{r}, src)
	}
	n, err := direct.ReadFrom(src)
	r.sent += n
	return n, err
}

// answer is what can be kept; nil where the response turned out to be of another
// kind than was offered.
func (r *recorder) answer() *answer {
	if r.head == nil || r.offer == nil {
		return nil
	}
	a := &answer{status: r.status, head: r.head, still: r.offer.Still, used: r.offer.Used}
	want := int64(0)
	if r.get && r.status == http.StatusOK {
		a.body, a.file, want = r.offer.Body, r.offer.File, r.offer.length()
	}
	if r.sent != want {
		return nil
	}
	return a
}

// headOf makes the head of an answer as net/http would write it, to the name of the
// last field, which is the date; nil where net/http would add something else.
func headOf(status int, h http.Header, length int64) []byte {
	switch {
	case len(h["Connection"]) > 0 || len(h["Transfer-Encoding"]) > 0 || len(h["Trailer"]) > 0 || len(h["Date"]) > 0 || len(h["Set-Cookie"]) > 0:
		return nil
	case status == http.StatusOK && (h.Get("Content-Type") == "" || h.Get("Content-Length") != strconv.FormatInt(length, 10)):
		return nil
	case status == http.StatusNotModified && (len(h["Content-Type"]) > 0 || len(h["Content-Length"]) > 0):
		return nil
	case status != http.StatusOK && status != http.StatusNotModified:
		return nil
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n")
	_ = h.Write(&b) // a Buffer takes everything
	b.WriteString("Date: ")
	return b.Bytes()
}

// record stands before the front: of requests that were plain, and found nothing
// kept, it keeps the answer where the front offers that.
func (s *Server) record(front http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(*conn)
		if c == nil {
			front.ServeHTTP(w, r)
			return
		}
		key, own := c.asked, c.flight.Swap(nil)
		c.asked = ""
		defer s.table.land(own)
		if key == "" || key != string(keyOf(r)) {
			front.ServeHTTP(w, r)
			return
		}
		era := s.era()
		rec := &recorder{ResponseWriter: w, get: r.Method == http.MethodGet, hopeless: func() { s.table.land(own) }}
		front.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), recorderKey{}, rec)))
		if a := rec.answer(); a != nil && era == s.era() {
			a.era = era
			s.table.put(key, a)
		}
	})
}

// keyOf gives the key of a request as net/http has understood it: if that is not
// what was understood here, nothing is kept.
func keyOf(r *http.Request) []byte {
	if r.ContentLength != 0 || r.Close || r.RequestURI != r.URL.Path {
		return nil
	}
	field := func(name string) []byte {
		if v := r.Header[name]; len(v) == 1 {
			return []byte(v[0])
		}
		return nil
	}
	h := head{
		method: []byte(r.Method), path: []byte(r.URL.Path), host: []byte(r.Host),
		accept: field("Accept"), coding: field("Accept-Encoding"), match: field("If-None-Match"),
	}
	return h.key(nil)
}

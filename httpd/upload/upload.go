// Package upload takes distributions in by the form that twine, uv, poetry and
// others send (PyPI's legacy upload API: a POST of multipart/form-data). It reads
// the form within bounds, proves the digests, and sees to it that form, file name
// and what is in the file say the same. Whose names are ours, and where the bytes
// stay, others know.
package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"cheeseboard/httpd/reply"
	"cheeseboard/httpd/throttle"
	"cheeseboard/storage/pypi"
)

// Path is where the handler has to stand, with and without the slash at its end.
const Path = "/legacy/"

// DefaultMaxSize is the most bytes that a file may have, where nothing is set.
const DefaultMaxSize = 1 << 30

// Errors that a Shelf gives and that the Handler tells apart with errors.Is.
var (
	// ErrHeld: the same bytes are here under that name.
	ErrHeld = errors.New("the file is here already")
	// ErrFull: there is no room for it.
	ErrFull = errors.New("the disk is full")
	// ErrBusy: the same bytes come in at this moment.
	ErrBusy = errors.New("somebody else is bringing this file in")
)

// Refused says why an upload is not taken, in a sentence for who sent it.
type Refused struct {
	Status int // 0: 400
	Reason string
}

func (r *Refused) Error() string { return "upload is refused: " + r.Reason }

func refuse(format string, a ...any) error { return &Refused{Reason: fmt.Sprintf(format, a...)} }

// Key is who has shown a token.
type Key struct {
	Name string                    // for the log
	May  func(pypi.Name) (ok bool) // upload this name
}

// Keys knows the tokens. Its method may be called concurrently, and takes as long
// for a wrong token as for a right one.
type Keys interface {
	Uploader(token string) (Key, bool)
}

// Shelf keeps what is uploaded. Its methods may be called concurrently.
type Shelf interface {
	// Admit tells whether anything may be uploaded under a name; else *Refused.
	Admit(pypi.Name) error
	// Receive makes room for so many bytes, at most; 0: it is not known. ErrFull.
	Receive(most int64) (Bytes, error)
	// Keep looks into a file whose name and digests are proved, and keeps it. On nil
	// it is durable and is served; after an error nothing of it is left. *Refused,
	// ErrHeld, ErrFull, ErrBusy.
	Keep(context.Context, Bytes, File) error
}

// Bytes are what has arrived of a file, for one goroutine.
type Bytes interface {
	io.Writer // ErrFull
	io.ReaderAt
	Size() int64
	Close() error
}

// File is a distribution as its form describes it.
type File struct {
	Name     pypi.Name
	Filename string // of a wheel or a source distribution of Name, and of its version
	Digest   pypi.Digest
	Hashes   pypi.Hashes // all that were proved
	By       string      // who uploads it

	form form
}

// Deps is what the handler is built from. Keys and Shelf are required.
type Deps struct {
	Keys     Keys
	Shelf    Shelf
	MaxSize  int64              // of a file, in bytes; 0: DefaultMaxSize
	Throttle *throttle.Throttle // of wrong tokens; nil: one of its own
	Log      *slog.Logger       // nil discards
	// Patience is the time within which some bytes must come; 0: 30 s.
	Patience time.Duration
}

const (
	// atOnce is how many uploads are received at the same time; others wait a while.
	atOnce   = 2
	inLine   = 20 * time.Second
	patience = 30 * time.Second
	// What was refused before it was read is read all the same, so much and so long:
	// who is still sending does not see the answer.
	drainBytes = 16 << 20
	drainTime  = 5 * time.Second
)

// Handler takes uploads at Path.
type Handler struct {
	Deps
	turns  chan struct{}
	origin *http.CrossOriginProtection
}

// New makes a handler.
func New(d Deps) *Handler {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.MaxSize == 0 {
		d.MaxSize = DefaultMaxSize
	}
	if d.Patience == 0 {
		d.Patience = patience
	}
	if d.Throttle == nil {
		d.Throttle = throttle.New(throttle.Options{})
	}
	return &Handler{Deps: d, turns: make(chan struct{}, atOnce), origin: http.NewCrossOriginProtection()}
}

// ServeHTTP answers one upload.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != Path && r.URL.Path+"/" != Path {
		reply.Text(w, r, http.StatusNotFound, "There is nothing at this address. Files are uploaded to "+Path+".")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		reply.Text(w, r, http.StatusMethodNotAllowed, "Private packages are uploaded here: twine upload --repository-url http://"+r.Host+Path+" dist/*, with the user __token__ and a token as the password.")
		return
	}
	body := &rolling{body: r.Body, control: http.NewResponseController(w), patience: h.Patience}
	err := h.take(r, body)
	stuck := errors.Is(err, os.ErrDeadlineExceeded) // nothing more would come
	if err != nil && !stuck && !errors.Is(err, ErrHeld) {
		body.drain()
	}
	h.answer(w, r, err)
}

// take reads an upload and has it kept.
func (h *Handler) take(r *http.Request, body *rolling) error {
	if h.origin.Check(r) != nil {
		return &Refused{http.StatusForbidden, "Pages of other sites may not upload here."}
	}
	key, err := h.key(r)
	if err != nil {
		return err
	}
	if r.ContentLength > h.MaxSize+maxFields {
		return h.tooLarge()
	}
	timer := time.NewTimer(inLine)
	defer timer.Stop()
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	case <-timer.C:
		return errLater
	case <-r.Context().Done():
		return r.Context().Err()
	}
	return h.receive(r, body, key)
}

var errLater = errors.New("others are uploading at this moment")

func (h *Handler) tooLarge() error {
	return &Refused{http.StatusRequestEntityTooLarge, fmt.Sprintf("A file may have at most %d bytes here (private.max-file-size).", h.MaxSize)}
}

// key finds out who uploads.
func (h *Handler) key(r *http.Request) (Key, error) {
	if wait := h.Throttle.Wait(r.RemoteAddr); wait > 0 {
		return Key{}, &slowDown{wait}
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return Key{}, errNobody
	}
	key, ok := h.Keys.Uploader(password)
	if !ok || user != "__token__" {
		h.Throttle.Failed(r.RemoteAddr)
		h.Log.Warn("an upload with a wrong token", "client", r.RemoteAddr)
		return Key{}, errNobody
	}
	h.Throttle.Passed(r.RemoteAddr)
	return key, nil
}

var errNobody = errors.New("no token that is good for uploading")

type slowDown struct{ wait time.Duration }

func (s *slowDown) Error() string { return "too many wrong tokens" }

// receive reads the form and its file.
func (h *Handler) receive(r *http.Request, body *rolling, key Key) error {
	in, err := h.reader(r, body)
	if err != nil {
		return err
	}
	f, content, err := in.read(key)
	if content != nil {
		defer func() {
			if err := content.Close(); err != nil {
				h.Log.Warn("close what was uploaded", "error", err)
			}
		}()
	}
	if err != nil {
		return err
	}
	if err := h.Shelf.Keep(r.Context(), content, f); err != nil {
		return err
	}
	h.Log.Info("uploaded", "project", f.Name, "file", f.Filename, "sha256", f.Digest.String(), "by", key.Name, "client", r.RemoteAddr)
	return nil
}

// answer says how it went, in the way that twine and uv understand.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, err error) {
	var refused *Refused
	var slow *slowDown
	switch {
	case err == nil:
		reply.Text(w, r, http.StatusOK, "The file is here, and is served.")
	case errors.Is(err, ErrHeld):
		reply.Text(w, r, http.StatusOK, "The file was here already, with the same bytes.")
	case errors.As(err, &refused):
		status := refused.Status
		if status == 0 {
			status = http.StatusBadRequest
		}
		h.Log.Info("an upload was refused", "reason", reply.Plain(refused.Reason), "client", r.RemoteAddr)
		reply.Text(w, r, status, refused.Reason)
	case errors.As(err, &slow):
		w.Header().Set("Retry-After", fmt.Sprint(int(slow.wait/time.Second)+1))
		reply.Text(w, r, http.StatusTooManyRequests, "There were too many wrong tokens. Try again later.")
	case errors.Is(err, errNobody):
		w.Header().Set("WWW-Authenticate", `Basic realm="cheeseboard", charset="UTF-8"`)
		reply.Text(w, r, http.StatusUnauthorized, "Uploading needs a token: the user is __token__, the password what cheeseboard token add printed.")
	case errors.Is(err, ErrFull):
		h.Log.Error("there is no room for an upload", "reason", err)
		reply.Text(w, r, http.StatusInsufficientStorage, "The disk of the box is full, and nothing of the file was kept. Make room, then upload it again.")
	case errors.Is(err, ErrBusy), errors.Is(err, errLater):
		reply.Later(w, r, 5*time.Second, "Others are uploading at this moment. Try again.")
	case errors.As(err, new(*brokenError)):
		h.Log.Debug("an upload broke off", "reason", err, "client", r.RemoteAddr)
		reply.Text(w, r, http.StatusBadRequest, "The upload broke off, or is no multipart/form-data.")
	default:
		h.Log.Error("keep an upload", "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The file could not be kept, and nothing of it was. The log of the box says why.")
	}
}

// rolling reads a body as long as something comes: a slow client lives, a stuck
// one dies.
type rolling struct {
	body     io.Reader
	control  *http.ResponseController
	patience time.Duration
}

func (b *rolling) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.patience)) // not supported in tests of handlers only
	return b.body.Read(p)
}

// drain reads on for a while.
func (b *rolling) drain() {
	_ = b.control.SetReadDeadline(time.Now().Add(drainTime)) // as above
	_, _ = io.CopyN(io.Discard, b.body, drainBytes)          // whatever ends it, the answer comes now
}

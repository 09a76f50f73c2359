package app

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/httpd/admin"
	"cheeseboard/httpd/authority"
	"cheeseboard/httpd/reply"
	"cheeseboard/httpd/upload"
)

// readers asks for a token before anything is given out, where access.read wants
// that. Parts that ask for themselves, and the root certificate, which is needed
// first, go past it.
func (a *App) readers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.config.Access.Read != config.ReadToken || asksItself(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		user, password, given := r.BasicAuth()
		if _, ok := a.keys.find(password); !given || !ok || user != "__token__" {
			a.refuseReader(w, r, given)
			return
		}
		next.ServeHTTP(&unshared{ResponseWriter: w}, r)
	})
}

// refuseReader answers who has shown no token that is good. Who guesses is slowed down, but
// nobody else for his sake: a class behind one router, or in one network of IPv6, is one
// address, and one laptop with an old token must not keep the others from reading.
// Tokens are too long to be guessed in any case.
func (a *App) refuseReader(w http.ResponseWriter, r *http.Request, given bool) {
	if wait := a.guesses.Wait(r.RemoteAddr); given && wait > 0 {
		refuse(w, r, http.StatusTooManyRequests, "There were too many wrong tokens. Try again later.", "Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		return
	}
	if given {
		a.guesses.Failed(r.RemoteAddr)
		a.log.Warn("a wrong token", "client", r.RemoteAddr)
	}
	refuse(w, r, http.StatusUnauthorized, "This box gives out nothing without a token (access.read): the user is __token__, the password what cheeseboard token add --read printed.",
		"WWW-Authenticate", `Basic realm="cheeseboard", charset="UTF-8"`)
}

func asksItself(path string) bool {
	return path == authority.Path || path == upload.Path || path+"/" == upload.Path || strings.HasPrefix(path, admin.Path)
}

// refuse answers under the limits of the front, which this comes before.
func refuse(w http.ResponseWriter, r *http.Request, status int, sentence, header, value string) {
	w.Header().Set(header, value)
	if r.Body != nil && r.Body != http.NoBody {
		w.Header().Set("Connection", "close") // it is not read
	}
	reply.Text(w, r, status, sentence)
}

// unshared keeps caches that many share from keeping what was for one reader only.
type unshared struct {
	http.ResponseWriter
	begun bool
}

// Unwrap lets http.ResponseController reach the connection.
func (w *unshared) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *unshared) WriteHeader(status int) {
	w.begun = true
	h := w.Header()
	if text := h.Get("Cache-Control"); strings.Contains(text, "public") {
		h.Set("Cache-Control", strings.Replace(text, "public", "private", 1))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *unshared) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom hands files on, so that the kernel sends them.
func (w *unshared) ReadFrom(src io.Reader) (int64, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	if to, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return to.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, src)
}

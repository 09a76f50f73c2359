// Package admin is the part of the front that may change something: it wants a
// session, which begins with the passphrase of the box. It answers only under the
// names and addresses that the box has, so that a page of somebody else's cannot
// have a browser take it for its own (DNS rebinding), and only to its own pages.
package admin

import (
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"cheeseboard/httpd/reply"
	"cheeseboard/httpd/throttle"
)

// Path is where the handler has to stand.
const Path = "/admin/"

const (
	cookieName = "cheeseboard_session"
	// A session ends when nobody used it for a while, and in any case after half a day.
	sessionIdle = 30 * time.Minute
	sessionLife = 12 * time.Hour
	maxSessions = 32
	maxForm     = 4 << 10
	// mostTrying is how many wait for their passphrase to be tried: each takes
	// memory and a second of a small board's processor, one after another.
	mostTrying = 4
)

// ErrUnset: no passphrase is set.
var ErrUnset = errors.New("no passphrase is set")

// Box is what is administered. Its methods may be called concurrently.
type Box interface {
	// Passphrase tells whether s is the passphrase. ErrUnset. It is called for one
	// at a time, and may be slow.
	Passphrase(s string) (bool, error)
	// Epoch changes with the passphrase: then all sessions are over.
	Epoch() uint64
	// State gives a value that encodes to JSON, and a sentence for people.
	State() (value any, sentence string, err error)
	// Sync asks for a pass now. It does not wait for it.
	Sync()
	// Import begins to bring in the packages on USB sticks that are plugged in. It does
	// not wait for that. Its error is a sentence for people.
	Import() error
	// Clock sets the clock of the box to the time that a browser says it is. Its error
	// is a sentence for people.
	Clock(now time.Time) error
	// Called reports whether the box is called by a name or has an address, without
	// port and brackets. It must be quick.
	Called(host string) bool
}

// Deps is what the handler is built from. Box is required.
type Deps struct {
	Box      Box
	Updates  Updater            // nil: the machine is not updated from here
	Throttle *throttle.Throttle // of wrong passphrases; nil: one of its own
	Log      *slog.Logger       // nil discards
	Now      func() time.Time   // nil: time.Now
}

// Handler serves everything under Path.
type Handler struct {
	Deps
	mux    *http.ServeMux
	origin *http.CrossOriginProtection
	trying chan struct{} // those who have given a passphrase
	turn   sync.Mutex    // held while one is tried

	mu       sync.Mutex
	sessions map[[sha256.Size]byte]*session // by the digest of what the cookie holds
}

type session struct {
	begun, used time.Time
	epoch       uint64
}

//go:embed page.html
var pageText string

// page is made when it is first shown.
var page = sync.OnceValue(func() *template.Template { return template.Must(template.New("admin").Parse(pageText)) })

// New makes a handler.
func New(d Deps) *Handler {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Throttle == nil {
		d.Throttle = throttle.New(throttle.Options{Together: 10})
	}
	h := &Handler{
		Deps: d, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection(),
		trying: make(chan struct{}, mostTrying), sessions: make(map[[sha256.Size]byte]*session),
	}
	h.mux.HandleFunc("GET "+Path+"{$}", h.overview)
	h.mux.HandleFunc("POST "+Path+"login", h.login)
	h.mux.HandleFunc("POST "+Path+"logout", h.within(h.logout))
	h.mux.HandleFunc("POST "+Path+"sync", h.within(h.sync))
	h.mux.HandleFunc("POST "+Path+"import", h.within(h.importing))
	h.mux.HandleFunc("PUT "+Path+"update", h.within(h.update))
	h.mux.HandleFunc("POST "+Path+"update", h.within(h.updateForm))
	h.mux.HandleFunc("POST "+Path+"clock", h.within(h.clock))
	h.mux.HandleFunc("GET "+Path+"state", h.within(h.state))
	return h
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; script-src "+clockScriptDigest+" "+updateScriptDigest+"; connect-src 'self'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	if !h.Box.Called(hostOf(r.Host)) {
		h.Log.Warn("administration was asked for under a name that this box does not have", "host", reply.Plain(r.Host), "client", r.RemoteAddr)
		reply.Text(w, r, http.StatusMisdirectedRequest, "This box is not called so. Use its address, or its name (serve.name).")
		return
	}
	if err := h.origin.Check(r); err != nil {
		h.Log.Warn("a page of another site asked for administration", "origin", reply.Plain(r.Header.Get("Origin")), "client", r.RemoteAddr)
		reply.Text(w, r, http.StatusForbidden, "Only this box's own pages may do that.")
		return
	}
	h.mux.ServeHTTP(w, r)
}

// within has something done only within a session.
func (h *Handler) within(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.known(r) {
			reply.Text(w, r, http.StatusUnauthorized, "Log in at "+Path+" first.")
			return
		}
		next(w, r)
	}
}

// overview shows the state, or the form to log in.
func (h *Handler) overview(w http.ResponseWriter, r *http.Request) {
	if !h.known(r) {
		h.show(w, r, http.StatusOK, view{})
		return
	}
	_, sentence, err := h.Box.State()
	if err != nil {
		h.Log.Error("tell the state", "error", err)
		sentence = "The state cannot be told. The log of the box says why."
	}
	h.show(w, r, http.StatusOK, view{In: true, State: sentence, Image: h.image()})
}

// view is what the page shows.
type view struct {
	In             bool
	State, Problem string
	Image          string // what is to be said of updates; "" for nothing
}

func (h *Handler) show(w http.ResponseWriter, r *http.Request, status int, v view) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	_ = page().Execute(w, v) // a client that has gone needs no answer
}

func (h *Handler) login(w http.ResponseWriter, r *http.Request) {
	if wait := h.Throttle.Wait(r.RemoteAddr); wait > 0 {
		h.tooMany(w, r, wait)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		reply.Text(w, r, http.StatusBadRequest, "That is not the form of this page.")
		return
	}
	select {
	case h.trying <- struct{}{}:
		defer func() { <-h.trying }()
	default:
		reply.Later(w, r, 3*time.Second, "Others are logging in at this moment.")
		return
	}
	epoch := h.Box.Epoch()
	right, wait, err := h.try(r)
	switch {
	case wait > 0:
		h.tooMany(w, r, wait)
	case errors.Is(err, ErrUnset):
		h.show(w, r, http.StatusForbidden, view{Problem: "No passphrase is set: run cheeseboard passphrase on the box."})
	case err != nil:
		h.Log.Error("try a passphrase", "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The passphrase could not be tried. The log of the box says why.")
	case !right:
		h.Log.Warn("a wrong passphrase", "client", r.RemoteAddr)
		h.show(w, r, http.StatusForbidden, view{Problem: "That is not the passphrase."})
	default:
		h.Log.Info("somebody has logged in", "client", r.RemoteAddr)
		http.SetCookie(w, h.cookie(r, h.begin(epoch), sessionLife))
		w.Header().Set("Location", ".")
		w.WriteHeader(http.StatusSeeOther)
	}
}

// tooMany says how long somebody who has guessed has to wait.
func (h *Handler) tooMany(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	seconds := strconv.Itoa(int(wait/time.Second) + 1)
	w.Header().Set("Retry-After", seconds)
	h.show(w, r, http.StatusTooManyRequests, view{Problem: "There were too many wrong passphrases. Try again in " + seconds + " seconds."})
}

// try tries the passphrase of a form, in its turn. Those who waited meanwhile are
// held to the failures of the others: where there is something to wait for, nothing was
// tried.
func (h *Handler) try(r *http.Request) (right bool, wait time.Duration, err error) {
	h.turn.Lock()
	defer h.turn.Unlock()
	if wait = h.Throttle.Wait(r.RemoteAddr); wait > 0 {
		return false, wait, nil
	}
	right, err = h.Box.Passphrase(r.PostForm.Get("passphrase"))
	switch {
	case err != nil:
	case right:
		h.Throttle.Passed(r.RemoteAddr)
	default:
		h.Throttle.Failed(r.RemoteAddr)
	}
	return right, 0, err
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		h.mu.Lock()
		delete(h.sessions, sha256.Sum256([]byte(c.Value)))
		h.mu.Unlock()
	}
	http.SetCookie(w, h.cookie(r, "", -time.Second))
	w.Header().Set("Location", ".")
	w.WriteHeader(http.StatusSeeOther)
}

func (h *Handler) sync(w http.ResponseWriter, r *http.Request) {
	h.Box.Sync()
	h.Log.Info("a sync was asked for", "client", r.RemoteAddr)
	w.Header().Set("Location", ".")
	w.WriteHeader(http.StatusSeeOther)
}

// importing begins an import from USB sticks.
func (h *Handler) importing(w http.ResponseWriter, r *http.Request) {
	if err := h.Box.Import(); err != nil {
		h.show(w, r, http.StatusConflict, view{In: true, Problem: "Nothing is imported: " + err.Error() + "."})
		return
	}
	h.Log.Info("an import was asked for", "client", r.RemoteAddr)
	w.Header().Set("Location", ".")
	w.WriteHeader(http.StatusSeeOther)
}

func (h *Handler) state(w http.ResponseWriter, r *http.Request) {
	value, _, err := h.Box.State()
	var body []byte
	if err == nil {
		body, err = json.Marshal(value)
	}
	if err != nil {
		h.Log.Error("tell the state", "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The state cannot be told. The log of the box says why.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // a client that has gone needs no answer
}

// begin makes a session, and gives what its cookie holds.
func (h *Handler) begin(epoch uint64) string {
	secret := rand.Text()
	now := h.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.sessions) >= maxSessions {
		var oldest [sha256.Size]byte
		var at time.Time
		for id, s := range h.sessions {
			if at.IsZero() || s.used.Before(at) {
				oldest, at = id, s.used
			}
		}
		delete(h.sessions, oldest)
	}
	h.sessions[sha256.Sum256([]byte(secret))] = &session{begun: now, used: now, epoch: epoch}
	return secret
}

// known tells whether a request belongs to a session. By the digest of the secret it
// takes as long, however near a guess comes.
func (h *Handler) known(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	id, now := sha256.Sum256([]byte(c.Value)), h.Now()
	epoch := h.Box.Epoch()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sessions[id]
	if s == nil {
		return false
	}
	// A clock that is set back ends no session, and one that is set ahead may.
	if now.Sub(s.used) > sessionIdle || now.Sub(s.begun) > sessionLife || s.epoch != epoch {
		delete(h.sessions, id)
		return false
	}
	s.used = now
	return true
}

func (h *Handler) cookie(r *http.Request, value string, life time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: Path, MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
}

// Package httpd is the front of the box on the LAN: a plain http.Handler that
// serves the simple repository API, the files, the state of health and a page
// for people. It declares what it needs as small interfaces and opens nothing
// itself, neither listeners nor disks.
//
// The parts stand in folders of their own: simple (PEP 503, 691), files
// (distributions and PEP 658 metadata), feed (what changed, for other mirrors),
// legacy (PyPI's older JSON API, for them too),
// metrics (numbers for Prometheus), webui (the page), reply (short answers).
package httpd

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"cheeseboard/httpd/admin"
	"cheeseboard/httpd/authority"
	"cheeseboard/httpd/feed"
	"cheeseboard/httpd/files"
	"cheeseboard/httpd/integrity"
	"cheeseboard/httpd/legacy"
	"cheeseboard/httpd/metrics"
	"cheeseboard/httpd/reply"
	"cheeseboard/httpd/simple"
	"cheeseboard/httpd/upload"
	"cheeseboard/httpd/webui"
)

// Deps is what the handler is built from. Index and Source are required.
type Deps struct {
	// Index knows the projects.
	Index simple.Index
	// Source holds the files.
	Source files.Source
	// Feed knows what changed, for mirrors that follow this one (XML-RPC at
	// /pypi); nil offers none.
	Feed feed.Journal
	// Search finds projects by parts of their names; nil offers no search.
	Search webui.Searcher
	// State tells on the page how the box is; nil: the page does not.
	State func() (webui.State, error)
	// Projects tells what is known of a project, for the pages for people; nil offers
	// none.
	Projects webui.Projects
	// Legacy knows what is here, for mirrors that ask for it by PyPI's older JSON
	// API (/pypi/NAME/json); nil offers none.
	Legacy legacy.Index
	// Upload takes private packages at upload.Path; nil: nothing can be uploaded.
	Upload http.Handler
	// Admin is administration, at admin.Path; nil: there is none.
	Admin http.Handler
	// Root gives the root certificate of the box's own authority, as PEM, or nil
	// where there is none; a nil Root: there never is.
	Root func() []byte
	// Health gives an HTTP status and a value that encodes to JSON; nil is
	// always healthy. It is called for each request to /healthz and must be
	// quick and safe for concurrent use.
	Health func() (status int, value any)
	// Provenance has the attestations of files (/integrity/); nil offers none.
	Provenance integrity.Source
	// Metrics gathers numbers about the box for /metrics; nil offers none. Those of
	// the answers are added.
	Metrics func() ([]metrics.Family, error)
	// Responses counts the answers; nil: the handler counts its own.
	Responses *metrics.Responses
	// Name is what the box is called on the page; "" means cheeseboard.
	Name string
	// Log gets requests at debug and failures at error; nil discards.
	Log *slog.Logger
	// PageCacheBytes bounds the rendered pages that are kept; 0 means 1.5 MiB, and
	// with a negative value none are.
	PageCacheBytes int64
	// Scratch makes an empty file without a name for a large root list; nil: none
	// is prepared.
	Scratch func() (*os.File, error)
	// Patience is the time in which a client must take one slice (1 MiB) of an
	// answer; 0 means the constant Patience.
	Patience time.Duration
}

// Handler serves the whole front.
type Handler struct {
	simple    *simple.Handler
	responses *metrics.Responses
	mux       *http.ServeMux
	health    func() (int, any)
	log       *slog.Logger
	patience  time.Duration
}

// New makes the handler. It is safe for concurrent use.
func New(d Deps) *Handler {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Patience == 0 {
		d.Patience = Patience
	}
	if d.Health == nil {
		d.Health = func() (int, any) { return http.StatusOK, map[string]string{"status": "ok"} }
	}
	h := &Handler{
		simple: simple.New(simple.Deps{Index: d.Index, Link: files.Href, Log: d.Log, CacheBytes: d.PageCacheBytes, Scratch: d.Scratch}),
		mux:    http.NewServeMux(), health: d.Health, log: d.Log, patience: d.Patience,
	}
	h.mux.Handle("/simple", h.simple) // it redirects
	h.mux.Handle(simple.Path, h.simple)
	source := files.New(d.Source, d.Log)
	h.mux.Handle(files.Path, source)
	h.mux.Handle(files.MirrorPath, source)
	if d.Feed != nil {
		f := feed.New(d.Feed, d.Log)
		h.mux.Handle(feed.Path, f)
		h.mux.Handle(feed.Path+"/{$}", f)
	}
	if d.Legacy != nil {
		h.mux.Handle(legacy.Path, legacy.New(d.Legacy, d.Log))
	}
	if d.Admin != nil {
		h.mux.Handle(admin.Path, d.Admin)
		h.mux.Handle(strings.TrimSuffix(admin.Path, "/"), http.RedirectHandler(admin.Path, http.StatusSeeOther))
	}
	if d.Root != nil {
		h.mux.Handle(authority.Path, authority.New(d.Root))
	}
	if d.Upload != nil {
		h.mux.Handle(upload.Path, d.Upload)
		h.mux.Handle(strings.TrimSuffix(upload.Path, "/"), d.Upload)
	}
	if d.Search != nil {
		h.mux.Handle(webui.SearchPath, webui.NewSearch(d.Name, d.Search, d.Log))
	}
	if d.Provenance != nil {
		h.mux.Handle(integrity.Path, integrity.New(d.Provenance, d.Log))
	}
	if h.responses = d.Responses; h.responses == nil {
		h.responses = new(metrics.Responses)
	}
	if d.Metrics != nil {
		h.mux.Handle(metrics.Path, metrics.New(func() ([]metrics.Family, error) {
			families, err := d.Metrics()
			return append(families, h.responses.Families()...), err
		}, d.Log))
	}
	h.mux.HandleFunc("/healthz", h.serveHealth)
	if d.Projects != nil {
		h.mux.Handle(webui.ProjectPath, webui.NewProjects(d.Name, d.Projects, d.Log))
	}
	h.mux.Handle("/{$}", webui.New(d.Name, d.State, d.Log))
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if reply.ReadOnly(w, r) {
			reply.Text(w, r, http.StatusNotFound, "There is nothing at this address. The index stands at /simple/.")
		}
	})
	return h
}

// Close ends what is prepared in the background, which reads from Index. Requests
// are answered afterwards too.
func (h *Handler) Close() error { return h.simple.Close() }

// ServeHTTP answers one request under the limits that hold for all of them.
func (h *Handler) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	start := time.Now()
	w := newRolling(out, h.patience)
	w.extend() // the request before may have left its own on this connection
	defer h.finish(w, r, start)

	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")

	if len(r.RequestURI) > maxURLLength {
		header.Set("Connection", "close")
		reply.Text(w, r, http.StatusRequestURITooLong, "That address is too long.")
		return
	}
	if r.Body != nil && r.Body != http.NoBody {
		// net/http reads on to the end of the body before it answers. Only the
		// feed wants one, a short one, so a client must not hold the connection
		// with it.
		_ = w.control.SetReadDeadline(start.Add(bodyTimeout)) // not supported in tests of handlers only
		header.Set("Connection", "close")
	}
	h.mux.ServeHTTP(w, r)
}

// finish turns a panic into a 500 and writes the log. An answer that was broken
// off on purpose stays broken off; so does one that has begun when a bug
// strikes, for its end can no longer be trusted.
func (h *Handler) finish(w *rolling, r *http.Request, start time.Time) {
	fault := recover()
	err, _ := fault.(error)
	aborted := errors.Is(err, http.ErrAbortHandler)
	switch {
	case fault == nil || aborted:
	case w.status != 0:
		h.logPanic(r, fault)
		aborted = true
	default:
		h.logPanic(r, fault)
		reply.Text(w, r, http.StatusInternalServerError, "Something went wrong inside. The log of the box says what.")
	}
	h.responses.Count(w.status, w.sent)
	if h.log.Enabled(r.Context(), slog.LevelDebug) {
		h.log.Debug("request", "method", r.Method, "path", r.URL.Path, "status", w.status, "bytes", w.sent,
			"aborted", aborted, "took", time.Since(start), "client", r.RemoteAddr, "agent", agent(r))
	}
	if aborted {
		panic(http.ErrAbortHandler)
	}
}

// agent gives the name and version of the client's program. pip goes on for 500
// bytes about its machine.
func agent(r *http.Request) string {
	product, _, _ := strings.Cut(r.UserAgent(), " ")
	return reply.Plain(product[:min(len(product), 60)])
}

func (h *Handler) logPanic(r *http.Request, fault any) {
	h.log.Error("panic while serving", "method", r.Method, "path", r.URL.Path, "panic", fault, "stack", string(debug.Stack()))
}

// serveHealth answers with the verdict as JSON.
func (h *Handler) serveHealth(w http.ResponseWriter, r *http.Request) {
	if !reply.ReadOnly(w, r) {
		return
	}
	status, value := h.health()
	body, err := json.Marshal(value)
	if err != nil {
		h.log.Error("encode health", "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The state of health could not be told. The log of the box says why.")
		return
	}
	body = append(body, '\n')
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}

package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
)

// mostPIN bounds the text for PIN.txt, in bytes.
const mostPIN = 4 << 10

// mostUnread bounds what is read in vain of a bundle that was refused, in bytes.
const mostUnread = 2 << 30

// Line is one line of the answer to an update. One field is set.
type Line struct {
	Progress  *Progress   `json:"progress,omitempty"`
	Installed *Installed  `json:"installed,omitempty"` // the end: it was installed
	Error     string      `json:"error,omitempty"`     // the end: it was not
	Kind      RefusalKind `json:"kind,omitempty"`      // of a Refusal
}

// NewHandler serves the protocol for a Keeper. log may be nil.
func NewHandler(k Keeper, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &handler{keeper: k, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", h.state)
	mux.HandleFunc("PUT /update", h.update)
	mux.HandleFunc("POST /restart", h.restart)
	mux.HandleFunc("POST /network/reset", func(w http.ResponseWriter, _ *http.Request) { h.done(w, k.ResetNetwork()) })
	mux.HandleFunc("PUT /pin", h.pin)
	mux.HandleFunc("DELETE /pin", func(w http.ResponseWriter, _ *http.Request) { h.done(w, k.PIN("")) })
	return mux
}

type handler struct {
	keeper Keeper
	log    *slog.Logger
}

func (h *handler) state(w http.ResponseWriter, _ *http.Request) {
	h.send(w, h.keeper.State())
}

func (h *handler) send(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.log.Debug("the program went away in mid-answer", "reason", err)
	}
}

// update answers with lines while it installs: an installation takes minutes on a
// slow card, and whoever waits wants to see that it goes on.
func (h *handler) update(w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w)
	_ = flush.EnableFullDuplex() // HTTP/1 would else read all of the bundle before the first line goes out
	var mu sync.Mutex            // a Keeper may report from another goroutine
	say := func(l Line) {
		mu.Lock()
		defer mu.Unlock()
		h.send(w, l)
		_ = flush.Flush() // a reader that is gone is seen by the request's context
	}
	o := UpdateOptions{Again: r.URL.Query().Get("again") == "1", Size: r.ContentLength}
	installed, err := h.keeper.Update(r.Context(), r.Body, o, func(p Progress) { say(Line{Progress: &p}) })
	if err != nil {
		l := Line{Error: err.Error()}
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
			l.Kind = refusal.Kind
		}
		h.log.Warn("an update was not installed", "reason", err)
		say(l)
		// Whoever is still sending must not find the connection closed before he reads
		// why; when he has, he goes.
		_, _ = io.CopyN(io.Discard, r.Body, mostUnread)
		return
	}
	say(Line{Installed: &installed})
}

func (h *handler) restart(w http.ResponseWriter, r *http.Request) {
	how := How(r.URL.Query().Get("how"))
	switch how {
	case Reboot, PowerOff, TryOther:
		h.done(w, h.keeper.Restart(how))
	default:
		http.Error(w, fmt.Sprintf("there is no way to go down that is called %q", string(how)), http.StatusBadRequest)
	}
}

func (h *handler) pin(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostPIN))
	switch {
	case err != nil:
		http.Error(w, "read the text: "+err.Error(), http.StatusBadRequest)
	case len(text) == 0:
		http.Error(w, "no text came: DELETE removes the file", http.StatusBadRequest)
	default:
		h.done(w, h.keeper.PIN(string(text)))
	}
}

func (h *handler) done(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

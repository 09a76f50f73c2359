// Package feed tells other mirrors what has changed here: PyPI's XML-RPC at
// /pypi, as far as mirrors use it. The standard mirror client and another
// cheeseboard can follow this one by it.
//
// What has changed is said by a Journal. This package speaks the protocol,
// bounds what a client can ask for, and streams: an answer of any length takes a
// few dozen kilobytes of memory.
package feed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// Path is where mirrors look for the feed of the index at /simple/. They may put
// a slash behind it.
const Path = "/pypi"

const (
	maxBody = 16 << 10 // bytes of a request; the longest that is answered has 200
	// maxCalls is how many calls are answered at once. Each can read the whole
	// journal, and is as slow as its client.
	maxCalls = 4
)

// Journal is what the feed needs to know. Serials are positive; they need not be
// those of the upstream, but a project's page must state at least the serial
// that its entry has here: mirrors take a page that states less for a stale one.
//
// The methods may be called concurrently. A sequence ends after its first error.
type Journal interface {
	// Last gives the highest serial that Since can give, 0 if there is none.
	Last(ctx context.Context) (int64, error)
	// Since gives each project whose last change has a higher serial, in the
	// order of the serials, also those that are no longer there. What is not
	// read is not fetched.
	Since(ctx context.Context, serial int64) iter.Seq2[pypi.ListEntry, error]
	// All gives every project of the root list with its serial, in any order.
	All(ctx context.Context) iter.Seq2[pypi.ListEntry, error]
}

// Handler serves the feed.
type Handler struct {
	journal Journal
	log     *slog.Logger
	calls   chan struct{}
	packers sync.Pool // of *gzip.Writer
}

// New makes a handler. A nil log discards.
func New(j Journal, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Handler{journal: j, log: log, calls: make(chan struct{}, maxCalls)}
}

// ServeHTTP answers one call. It panics with http.ErrAbortHandler to break off an
// answer that failed in its middle.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept-Encoding")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		reply.Text(w, r, http.StatusMethodNotAllowed, "This is the change feed for mirrors: it is asked by POST, as XML-RPC.")
		return
	}
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		reply.Text(w, r, http.StatusUnsupportedMediaType, "A call must not be compressed.")
		return
	}
	call, err := pypi.DecodeFeedCall(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		reply.Text(w, r, http.StatusRequestEntityTooLarge, "That call is too long.")
		return
	case errors.Is(err, pypi.ErrNotXMLRPC):
		h.fault(w, pypi.FaultUnreadable, "parse error; not well formed")
		return
	case err != nil:
		reply.Text(w, r, http.StatusRequestTimeout, "The call did not come in time.")
		return
	}
	select {
	case h.calls <- struct{}{}:
		defer func() { <-h.calls }()
	default:
		// The words are PyPI's: a mirror that knows them comes back.
		h.fault(w, pypi.FaultApplication, "HTTPTooManyRequests: The action could not be performed because there were too many requests by the client. Limit may reset in 5 seconds.")
		return
	}
	h.answer(w, r, call)
}

// answer does what a call asks for.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, call pypi.FeedCall) {
	wanted := 0
	if call.Method == pypi.MethodSinceSerial {
		wanted = 1
	}
	switch call.Method {
	case pypi.MethodLastSerial, pypi.MethodSinceSerial, pypi.MethodListSerials, pypi.MethodListPackages:
		if len(call.Params) != wanted || wanted == 1 && !call.Params[0].IsInt {
			h.fault(w, pypi.FaultInvalidParams, "server error; invalid method params")
			return
		}
	default:
		h.fault(w, pypi.FaultNoSuchMethod, "server error; requested method not found. Packages are served by the simple API at /simple/.")
		return
	}
	ctx := r.Context()
	out := &outlet{w: w, gzip: acceptsGzip(r)}
	var err error
	switch call.Method {
	case pypi.MethodLastSerial:
		var last int64
		if last, err = h.journal.Last(ctx); err == nil {
			send(w, pypi.AppendFeedSerial(nil, last))
			return
		}
	case pypi.MethodSinceSerial:
		rows := page(max(0, call.Params[0].Int), h.journal.Since(ctx, max(0, call.Params[0].Int)))
		err = pypi.WriteFeedChanges(h.pack(out), changes(until(ctx, rows, out)))
	case pypi.MethodListSerials:
		err = pypi.WriteFeedList(h.pack(out), until(ctx, h.journal.All(ctx), out))
	case pypi.MethodListPackages:
		err = pypi.WriteFeedNames(h.pack(out), until(ctx, h.journal.All(ctx), out))
	}
	if err = h.unpack(out, err); err == nil {
		return
	}
	if ctx.Err() == nil {
		h.log.Error("answer a mirror", "method", call.Method, "error", err)
	}
	if out.started {
		// The client must not take what it has for the whole.
		panic(http.ErrAbortHandler)
	}
	h.fault(w, pypi.FaultInternal, "server error; the log of the box says why")
}

// page ends the rows where PyPI does, but never between two of one serial: a
// mirror goes on from the highest serial that it saw. Rows that are out of order
// would make it lose changes, so that they are an error.
func page(after int64, rows iter.Seq2[pypi.ListEntry, error]) iter.Seq2[pypi.ListEntry, error] {
	return func(yield func(pypi.ListEntry, error) bool) {
		n, last := 0, after
		for e, err := range rows {
			switch {
			case err != nil:
			case e.Serial <= after || e.Serial < last:
				err = fmt.Errorf("read journal: %s has the serial %d, behind %d: the order is broken", e.Name, e.Serial, last)
			case n >= pypi.MaxFeedRows && e.Serial != last:
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
			n, last = n+1, e.Serial
		}
	}
}

// changes makes rows of the feed of the entries. The journal keeps neither what
// happened nor when: mirrors look at the page in any case.
func changes(entries iter.Seq[pypi.ListEntry]) iter.Seq[pypi.Change] {
	return func(yield func(pypi.Change) bool) {
		for e := range entries {
			if !yield(pypi.Change{Name: e.Name, Action: "change", Serial: e.Serial}) {
				return
			}
		}
	}
}

// fault answers that a call was not done, under status 200 as XML-RPC wants it.
func (h *Handler) fault(w http.ResponseWriter, code int64, text string) {
	send(w, pypi.AppendFeedFault(nil, pypi.Fault{Code: code, Text: text}))
}

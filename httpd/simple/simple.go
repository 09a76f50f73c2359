// Package simple serves the simple repository API (PEP 503, PEP 691) under
// /simple/: the root list and the project pages, as JSON or HTML, compressed
// where the client takes it, with entity tags that make an unchanged page cost
// a 304.
//
// What is offered is decided by an Index. This package renders it, keeps
// rendered pages in a bounded memory, and leaves out what could not be
// delivered: files without a SHA-256 and signatures.
package simple

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"

	"golang.org/x/sync/singleflight"
)

// Path is where the handler has to stand: it reads the URL's path behind it.
const Path = "/simple/"

// defaultRetry is what a client is told to wait when the index had no answer in time.
const defaultRetry = 3 * time.Second

// Index is what the simple API needs to know.
type Index interface {
	// Page gives the page of a project as it may be offered now. It may wait
	// for the upstream, but no longer than its own budget. The errors are
	// *Missing, context errors (budget spent), and internal ones. Safe for
	// concurrent use.
	Page(ctx context.Context, name pypi.Name) (Page, error)
	// Names gives the root list as it stands. Errors as for Page. Safe for
	// concurrent use.
	Names(ctx context.Context) (Names, error)
}

// Page is a project's page that is not yet loaded.
type Page struct {
	// Tag is opaque. It changes whenever the offered content changes, and for
	// one project equal tags mean equal content. A page without a tag is
	// rendered for each request and cannot be revalidated.
	Tag string
	// Visit hands the content that Tag stands for, or what it has become
	// meanwhile, to use: a project without files, and what gives these, one after
	// the other, until use returns. It is called only if the body is needed and not
	// kept, by one goroutine at a time for one tag and form. Its error is use's, or
	// that of reading.
	Visit func(use func(*pypi.Project, pypi.Files) error) error
	// Still tells whether the Index would give this page, with this Tag, to whoever
	// asks at this moment. It is called for each answer that is given again, by any
	// number of goroutines, reads no disk as long as nothing was stored, and never
	// waits. nil: that cannot be told, and the Index is asked each time. Who puts a Tag
	// of his own there, or decides anew with each request, puts his own Still there too.
	Still func() bool
}

// Names is the root list.
type Names struct {
	Tag        string // as in Page
	LastSerial int64  // the highest serial; 0 where not known
	// Each gives every project once and ends after the first error. It is
	// called at most once, and only if the body is needed.
	Each iter.Seq2[pypi.ListEntry, error]
	// Still is as in Page.
	Still func() bool
}

// Missing says that a project is not here.
type Missing struct {
	// Reason is a sentence for people. It is shown to the client.
	Reason string
	// RetryAfter, where positive, says that the page is being fetched: the
	// client is asked to come back after that time (503) instead of a 404.
	RetryAfter time.Duration
}

func (m *Missing) Error() string { return "project is missing: " + m.Reason }

// Deps is what the handler is built from.
type Deps struct {
	// Index is asked for everything that is served. Where it is a Foreseer, too, what is
	// asked for often is rendered before somebody waits for it.
	Index Index
	// Link gives the URL of a file relative to its project's page.
	Link func(pypi.Name, *pypi.File) string
	// Log gets internal errors; nil discards.
	Log *slog.Logger
	// CacheBytes bounds the rendered pages that are kept in memory; 0 means 1.5 MiB, and
	// with a negative value none are.
	CacheBytes int64
	// Scratch makes an empty file without a name for a prepared root list or a large
	// page, and fails where there is no room for one. nil: there are none.
	Scratch func() (*os.File, error)
}

// Handler serves everything under Path.
type Handler struct {
	index     Index
	link      func(pypi.Name, *pypi.File) string
	log       *slog.Logger
	cache     *cache
	flight    singleflight.Group
	renderers chan *renderer
	packers   [numCodings]sync.Pool // of packer, for lists
	lists     *lists
	larges    larges
	ahead     *ahead
	scratch   func() (*os.File, error)
}

// New makes a handler.
func New(d Deps) *Handler {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.CacheBytes == 0 {
		d.CacheBytes = 3 << 19
	}
	h := &Handler{
		index: d.Index, link: d.Link, log: d.Log, cache: newCache(d.CacheBytes), renderers: newRenderers(),
		lists: newLists(d.Index, d.Scratch, d.Log), scratch: d.Scratch,
	}
	h.ahead = newAhead(h)
	h.lists.ahead = h.ahead
	return h
}

// Close ends what is being prepared and gives its files back. Large pages and lists are
// rendered for each request afterwards.
func (h *Handler) Close() error {
	h.ahead.close()
	h.larges.close()
	return h.lists.close()
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler to break
// off a root list that failed in its middle.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	if !reply.ReadOnly(w, r) {
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, Path)
	if !ok {
		if r.URL.Path+"/" == Path {
			redirect(w, r, strings.TrimPrefix(Path, "/"))
			return
		}
		reply.Text(w, r, http.StatusNotFound, "There is nothing at this address.")
		return
	}
	if rest == "" {
		h.serveList(w, r)
		return
	}
	written, closed := strings.CutSuffix(rest, "/")
	name, err := pypi.ParseName(written)
	switch {
	case err != nil:
		reply.Text(w, r, http.StatusNotFound, "That is not the name of a project.")
	case !closed:
		redirect(w, r, string(name)+"/")
	case string(name) != written:
		redirect(w, r, "../"+string(name)+"/")
	default:
		h.servePage(w, r, name)
	}
}

// redirect answers 301 to a reference relative to the request's own path. It
// names no host, so it leads nowhere else, and it holds behind a proxy that adds
// a prefix. The query is kept.
func redirect(w http.ResponseWriter, r *http.Request, ref string) {
	if r.URL.RawQuery != "" {
		ref += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", ref)
	reply.Text(w, r, http.StatusMovedPermanently, "The page stands at "+ref)
}

// refuse answers when there is no page. What went wrong inside is logged and
// not told.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, what string, err error) {
	var missing *Missing
	switch {
	case errors.As(err, &missing) && missing.RetryAfter > 0:
		reply.Later(w, r, missing.RetryAfter, missing.Reason)
	case errors.As(err, &missing):
		reply.Text(w, r, http.StatusNotFound, missing.Reason)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		reply.Later(w, r, defaultRetry, "The page could not be had in time. Please try again.")
	default:
		h.log.Error("serve page", "project", what, "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The page could not be read. The log of the box says why.")
	}
}

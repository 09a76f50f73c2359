// Package legacy answers PyPI's older JSON API under /pypi/NAME/json and
// /pypi/NAME/VERSION/json, as far as other mirrors use it: the standard mirror
// client reads there which files a project has.
//
// It offers what is here and nothing else: a mirror takes whatever is listed, and
// must not draw all of a project through this box's line. What is not known is
// null.
package legacy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"

	"github.com/klauspost/compress/gzip"
)

const (
	// Path is where the handler has to stand.
	Path = "/pypi/"
	// maxAnswers is how many answers are made at once, and slotWait how long a client
	// waits for its turn: one of a large project has some megabytes.
	maxAnswers = 4
	slotWait   = 10 * time.Second
)

// renderVersion is part of every entity tag, as in the simple API.
const renderVersion = "1"

// maxMetadata is the most bytes of core metadata that are read.
const maxMetadata = 4 << 20

// Index knows what is here.
type Index interface {
	// Here gives what is here of a project; *Missing where it is not known. Safe
	// for concurrent use.
	Here(ctx context.Context, name pypi.Name) (*Project, error)
}

// Project is what is here of one project.
type Project struct {
	// Tag is opaque; equal tags mean equal content.
	Tag string
	// Serial of the project, as the feed and the root list state it.
	Serial int64
	// Files that are here, each with a SHA-256.
	Files []File
	// Metadata gives the core metadata of a file, nil where they are not here. They
	// are those of the file's author: nothing in them is checked.
	Metadata func(*pypi.File) ([]byte, error)
}

// File is a file that is here.
type File struct {
	pypi.File
	// Arrived is when it came here; it stands in for an upload time that the
	// upstream does not state: the file was uploaded no later.
	Arrived time.Time
}

// Missing says that a project is not here.
type Missing struct{ Reason string }

func (m *Missing) Error() string { return "project is missing: " + m.Reason }

// Handler serves everything under Path.
type Handler struct {
	index Index
	log   *slog.Logger
	slots chan struct{} // answers that are in memory
}

// New makes a handler. A nil log discards.
func New(index Index, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Handler{index: index, log: log, slots: make(chan struct{}, maxAnswers)}
}

// question is what a path asks for.
type question struct {
	name    pypi.Name
	version *pypi.Version // nil: of the project as a whole
	moved   string        // where it stands, relative to the path
}

// parse reads the path behind Path: NAME/json or NAME/VERSION/json.
func parse(rest string) (q question, ok bool) {
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	if len(parts) < 2 || len(parts) > 3 || parts[len(parts)-1] != "json" {
		return q, false
	}
	var err error
	if q.name, err = pypi.ParseName(parts[0]); err != nil {
		return q, false
	}
	up := strings.Repeat("../", len(parts)-1)
	if strings.HasSuffix(rest, "/") {
		up += "../"
	}
	if len(parts) == 3 {
		v, err := pypi.ParseVersion(parts[1])
		if err != nil {
			return q, false
		}
		q.version = &v
	}
	if parts[0] != string(q.name) || strings.HasSuffix(rest, "/") {
		parts[0] = string(q.name)
		q.moved = up + strings.Join(parts, "/")
	}
	return q, true
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept-Encoding")
	if !reply.ReadOnly(w, r) {
		return
	}
	rest, _ := strings.CutPrefix(r.URL.Path, Path)
	q, ok := parse(rest)
	switch {
	case !ok:
		reply.Text(w, r, http.StatusNotFound, "There is nothing at this address. The index stands at /simple/.")
		return
	case q.moved != "":
		w.Header().Set("Location", q.moved)
		reply.Text(w, r, http.StatusMovedPermanently, "It stands at "+q.moved)
		return
	case !soundHost(r.Host):
		reply.Text(w, r, http.StatusBadRequest, "That is not the name of a host.")
		return
	}
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-timer.C:
		reply.Later(w, r, slotWait, "Too many mirrors are asking. Please try again.")
		return
	case <-r.Context().Done():
		return
	}
	h.answer(w, r, q)
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, q question) {
	p, err := h.index.Here(r.Context(), q.name)
	if err != nil {
		h.refuse(w, r, q.name, err)
		return
	}
	packed := acceptsGzip(r)
	etag := etagOf(p.Tag, packed)
	if reply.NoneMatch(r, etag) {
		head(w.Header(), p, etag)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body, err := h.render(p, q, base(r))
	if err == nil && packed {
		body, err = pack(body)
	}
	if err != nil {
		h.refuse(w, r, q.name, err)
		return
	}
	head(w.Header(), p, etag)
	if packed {
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has gone needs no answer
	}
}

func head(h http.Header, p *Project, etag string) {
	if etag != "" {
		h.Set("ETag", etag)
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("X-PyPI-Last-Serial", strconv.FormatInt(p.Serial, 10))
}

// refuse answers when there is nothing to send. What went wrong inside is logged
// and not told.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, name pypi.Name, err error) {
	var missing *Missing
	if errors.As(err, &missing) {
		reply.Text(w, r, http.StatusNotFound, missing.Reason)
		return
	}
	if r.Context().Err() == nil {
		h.log.Error("serve legacy JSON", "project", name, "error", err)
	}
	reply.Text(w, r, http.StatusInternalServerError, "The project could not be read. The log of the box says why.")
}

// base is what stands before the path of a file's URL: this API has no relative
// ones.
func base(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// soundHost tells whether a Host header can stand in a URL.
func soundHost(host string) bool {
	return host != "" && len(host) <= 255 && !strings.ContainsFunc(host, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._:[]", c))
	})
}

func etagOf(tag string, packed bool) string {
	if tag == "" {
		return ""
	}
	kind := ".l"
	if packed {
		kind = ".lz"
	}
	return strconv.Quote(tag + kind + renderVersion)
}

// acceptsGzip tells whether Accept-Encoding names gzip and does not refuse it.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(coding, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			_, q, stated := strings.Cut(strings.ReplaceAll(params, " ", ""), "=")
			return !stated || strings.Trim(q, "0.") != ""
		}
	}
	return false
}

func pack(body []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err = z.Write(body); err == nil {
		err = z.Close()
	}
	return out.Bytes(), err
}

// render makes the answer.
func (h *Handler) render(p *Project, q question, base string) ([]byte, error) {
	releases := releasesOf(q.name, p.Files)
	at := newest(releases)
	if q.version != nil {
		at = find(releases, *q.version)
		if at < 0 {
			return nil, &Missing{Reason: fmt.Sprintf("No file of %s %s is here.", q.name, q.version)}
		}
	}
	out := document{LastSerial: p.Serial, URLs: []file{}}
	var shown *release
	if at >= 0 {
		shown = &releases[at]
		out.URLs = filesOf(shown, q.name, base)
	}
	var err error
	if out.Info, err = info(p, q.name, shown); err != nil {
		return nil, err
	}
	if q.version == nil {
		all := make(map[string][]file, len(releases))
		for i := range releases {
			all[releases[i].version.String()] = filesOf(&releases[i], q.name, base)
		}
		out.Releases = &all
	}
	return json.Marshal(out)
}

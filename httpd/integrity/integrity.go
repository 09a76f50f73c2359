// Package integrity serves the attestations of files (PEP 740) as PyPI does, under
// /integrity/NAME/VERSION/FILENAME/provenance. Where pages of this box come over plain
// http they cannot name these addresses, for they must be https there; whoever knows
// the box can ask it all the same, also without a line.
package integrity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// Path is where the handler has to stand.
const Path = "/integrity/"

// ContentType is the media type of an answer.
const ContentType = "application/vnd.pypi.integrity.v1+json"

// defaultRetry is what a client is told to wait when the source had no answer in time.
const defaultRetry = 3 * time.Second

// Source gives attestations.
type Source interface {
	// Provenance gives the provenance object of a file, as its publisher's index has
	// it. The errors are *Missing, context errors and internal ones. Safe for
	// concurrent use.
	Provenance(ctx context.Context, name pypi.Name, filename string) ([]byte, error)
}

// Missing says that there is none.
type Missing struct {
	Reason     string        // a sentence for people
	RetryAfter time.Duration // > 0: it is being fetched
}

func (m *Missing) Error() string { return "provenance is missing: " + m.Reason }

// Handler serves everything under Path.
type Handler struct {
	source Source
	log    *slog.Logger
}

// New makes a handler. A nil log discards.
func New(source Source, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Handler{source, log}
}

// parse reads NAME/VERSION/FILENAME/provenance. The version must be that of the file;
// moved is where a name stands that is not in its normal form.
func parse(rest string) (name pypi.Name, filename, moved string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	if len(parts) != 4 || parts[3] != "provenance" || pypi.CheckFilename(parts[2]) != nil {
		return "", "", "", false
	}
	name, err := pypi.ParseName(parts[0])
	if err != nil {
		return "", "", "", false
	}
	version, err := pypi.ParseVersion(parts[1])
	if err != nil {
		return "", "", "", false
	}
	if of, _, err := pypi.DistributionVersion(name, parts[2]); err != nil || of.Compare(version) != 0 {
		return "", "", "", false
	}
	if parts[0] != string(name) {
		moved = strings.Repeat("../", strings.Count(rest, "/")) + string(name) + "/" + strings.Join(parts[1:], "/")
	}
	return name, parts[2], moved, true
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if !reply.ReadOnly(w, r) {
		return
	}
	name, filename, moved, ok := parse(strings.TrimPrefix(r.URL.Path, Path))
	switch {
	case !ok:
		reply.Text(w, r, http.StatusNotFound, "There is nothing at this address. The provenance of a file stands at /integrity/NAME/VERSION/FILENAME/provenance.")
		return
	case moved != "":
		w.Header().Set("Location", moved)
		reply.Text(w, r, http.StatusMovedPermanently, "It stands at "+moved)
		return
	}
	kind, ok := negotiate(r)
	if !ok {
		reply.Text(w, r, http.StatusNotAcceptable, "A provenance can be had as "+ContentType+" or application/json.")
		return
	}
	raw, err := h.source.Provenance(r.Context(), name, filename)
	if err != nil {
		h.refuse(w, r, name, err)
		return
	}
	sum := sha256.Sum256(raw)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	header := w.Header()
	header.Set("ETag", etag)
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	if reply.NoneMatch(r, etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", kind)
	header.Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(raw) // a client that has gone needs no answer
	}
}

// negotiate picks the media type: the first that the client names among the two, for
// they are the same bytes.
func negotiate(r *http.Request) (kind string, ok bool) {
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return ContentType, true
	}
	for media := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(media, ";")
		if q := strings.ReplaceAll(strings.ToLower(params), " ", ""); strings.HasPrefix(q, "q=") && strings.Trim(q[2:], "0.") == "" {
			continue // q=0
		}
		switch media = strings.ToLower(strings.TrimSpace(media)); media {
		case ContentType, "*/*", "application/*":
			return ContentType, true
		case "application/json":
			return media, true
		}
	}
	return "", false
}

// refuse answers when there is nothing to send. What went wrong inside is logged and
// not told.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, name pypi.Name, err error) {
	var missing *Missing
	switch {
	case errors.As(err, &missing) && missing.RetryAfter > 0:
		reply.Later(w, r, missing.RetryAfter, missing.Reason)
	case errors.As(err, &missing):
		reply.Text(w, r, http.StatusNotFound, missing.Reason)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		reply.Later(w, r, defaultRetry, "The provenance could not be had in time. Please try again.")
	default:
		h.log.Error("serve provenance", "project", name, "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The provenance could not be read. The log of the box says why.")
	}
}

// Package files serves distributions and their core metadata (PEP 658) as
// immutable bytes: by digest, with ranges that go on where a cut download
// stopped (RFC 9110), and with headers that let every client keep them for good.
//
// A file may still be on its way from the upstream while it is served. Such an
// answer is broken off, never ended, when the download fails.
package files

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// Path is where the handler has to stand: it reads the URL's path behind it.
const Path = "/files/"

// MirrorPath is another place for the same: the standard mirror client takes only
// files whose paths begin so, as PyPI's do.
const MirrorPath = "/packages/"

// metadataSuffix makes the URL of a file's core metadata from the file's (PEP 658).
const metadataSuffix = ".metadata"

// defaultRetry is what a client is told to wait when the source had no answer in time.
const defaultRetry = 3 * time.Second

// Source gives the bytes behind the URLs.
type Source interface {
	// Open gives the bytes of a distribution or of its core metadata. It
	// must confirm the whole of ref: that the project lists a file of that name
	// with that digest, and that it may be offered now; if not, the answer is
	// *Missing. It may wait for the upstream, but no longer than its own
	// budget. ctx ends when the client has gone or has its answer. Other errors
	// are context errors (budget spent) and internal ones. Safe for concurrent
	// use.
	Open(ctx context.Context, ref Ref) (*Content, error)
}

// Ref is a file as a URL names it. Each part is well formed; that they belong
// together is for the Source to say.
type Ref struct {
	Name     pypi.Name
	Digest   pypi.Digest // of the distribution, also when its metadata is asked for
	Filename string      // of the distribution, checked by pypi.CheckFilename
	Metadata bool        // the core metadata is wanted, not the distribution
}

// Content is open bytes, which the handler closes once.
type Content struct {
	// Reader stands at the beginning. Where it is an *os.File, the kernel
	// sends it. Any other reader may be over a file that still arrives: then
	// Read waits for bytes and gives an error when they will not come or turn
	// out to be wrong, at the latest together with, or in place of, io.EOF; Seek
	// is free. It is used by one goroutine at a time.
	Reader io.ReadSeeker
	// Close gives up the bytes; nil where there is nothing to do.
	Close func() error
	// Used is called for each answer that begins with the first byte, for whoever
	// counts uses; nil: nobody does. The rest of a file that was broken off, or a
	// look without bytes, is no use of its own.
	Used func()
	// Size is the length in bytes.
	Size int64
	// Digest is that of these bytes. It is their entity tag.
	Digest pypi.Digest
	// Still tells whether the Source would open the same bytes for whoever asks at
	// this moment. It is called for each answer that is given again, by any number of
	// goroutines, and neither reads a disk nor waits. nil: that cannot be told.
	Still func() bool
}

// Missing says that a file is not here.
type Missing struct {
	// Reason is a sentence for people. It is shown to the client.
	Reason string
	// RetryAfter, where positive, says that the file is being fetched: the
	// client is asked to come back after that time (503) instead of a 404.
	RetryAfter time.Duration
}

func (m *Missing) Error() string { return "file is missing: " + m.Reason }

// Href gives the URL of a file relative to its project's simple page, or "" for
// a file without a SHA-256, which can never be offered.
func Href(name pypi.Name, f *pypi.File) string {
	d, ok := f.Hashes.SHA256()
	if !ok {
		return ""
	}
	return "../.." + Path + string(name) + "/" + d.String() + "/" + url.PathEscape(f.Filename)
}

// Handler serves everything under Path and MirrorPath.
type Handler struct {
	source Source
	log    *slog.Logger
}

// New makes a handler over source. A nil log discards.
func New(source Source, log *slog.Logger) *Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Handler{source: source, log: log}
}

// parse reads a path. It is strict: there is one URL for a file, the one that
// Href gives, and one more for mirrors.
func parse(path string) (Ref, bool) {
	rest, ok := strings.CutPrefix(path, Path)
	if !ok {
		rest, ok = strings.CutPrefix(path, MirrorPath)
	}
	if !ok {
		return Ref{}, false
	}
	parts := strings.SplitN(rest, "/", 4)
	if len(parts) != 3 {
		return Ref{}, false
	}
	name, err := pypi.ParseName(parts[0])
	if err != nil || string(name) != parts[0] {
		return Ref{}, false
	}
	digest, err := pypi.ParseDigest(parts[1])
	if err != nil || digest.String() != parts[1] {
		return Ref{}, false
	}
	filename, metadata := strings.CutSuffix(parts[2], metadataSuffix)
	if pypi.CheckFilename(filename) != nil {
		return Ref{}, false
	}
	return Ref{Name: name, Digest: digest, Filename: filename, Metadata: metadata}, true
}

// ServeHTTP answers one request for a file. It panics with http.ErrAbortHandler
// to break off an answer whose bytes failed to come.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !reply.ReadOnly(w, r) {
		return
	}
	ref, ok := parse(r.URL.Path)
	if !ok {
		reply.Text(w, r, http.StatusNotFound, "There is no file at this address. The addresses stand on the project's page under /simple/.")
		return
	}
	ctx, giveUp := context.WithCancel(r.Context())
	defer giveUp()
	content, err := h.source.Open(ctx, ref)
	if err != nil {
		h.refuse(w, r, ref, err)
		return
	}
	if content.Close != nil {
		defer func() {
			if err := content.Close(); err != nil {
				h.log.Warn("close file", "project", ref.Name, "file", ref.Filename, "error", err)
			}
		}()
	}
	if err := check(ref, content); err != nil {
		h.refuse(w, r, ref, err)
		return
	}
	if content.Used != nil && begins(r) {
		content.Used()
	}
	h.serve(w, r, ref, content, giveUp)
}

// begins tells whether a request is for the first byte of a file and what follows.
func begins(r *http.Request) bool {
	from, _, ranged := strings.Cut(r.Header.Get("Range"), "-")
	return r.Method == http.MethodGet && r.Header.Get("If-None-Match") == "" && (!ranged || strings.EqualFold(from, "bytes=0"))
}

// check is the last look before bytes leave: the digest of a distribution is
// the one in the URL, and the length is the one that was stored with it.
func check(ref Ref, content *Content) error {
	if !ref.Metadata && content.Digest != ref.Digest {
		return errors.New("source gave bytes of another digest")
	}
	size, err := content.Reader.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size != content.Size {
		return errors.New("file does not have the length it was stored with")
	}
	_, err = content.Reader.Seek(0, io.SeekStart)
	return err
}

// serve sends the content or the part of it that is asked for. giveUp ends the context
// by which it was opened.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, ref Ref, content *Content, giveUp func()) {
	header := w.Header()
	header.Set("ETag", `"`+content.Digest.String()+`"`)
	header.Set("Cache-Control", "public, max-age=365000000, immutable")
	header.Set("Content-Type", "application/octet-stream")
	header.Set("X-Content-Type-Options", "nosniff")

	if file, ok := content.Reader.(*os.File); ok {
		h.offer(r, content, file)
		// Nothing may stand between the file and net/http: sendfile needs it bare.
		http.ServeContent(w, ranged(r, content.Size, true), "", time.Time{}, file)
		return
	}
	reader := &arriving{reader: content.Reader, size: content.Size}
	if begin := begin(r, content); begin > 0 && !reader.await(begin, giveUp) {
		h.log.Debug("a part has not arrived", "project", ref.Name, "file", ref.Filename, "from", begin, "error", reader.err)
		for _, key := range []string{"ETag", "Cache-Control"} {
			header.Del(key)
		}
		reply.Later(w, r, defaultRetry, "That part of the file has not arrived here yet. Ask again, or for the whole.")
		return
	}
	if r.Method == http.MethodHead && r.Header.Get("Range") == "" {
		w = noRanges{w}
	}
	// Only one part: for several, net/http reads in a goroutine that may outlive
	// the answer, and a reader that waits must not be left behind in it.
	http.ServeContent(w, ranged(r, content.Size, false), "", time.Time{}, reader)
	if reader.err != nil {
		h.log.Warn("break off file", "project", ref.Name, "file", ref.Filename, "error", reader.err)
		// The client must see a broken connection, whatever was sent so far.
		panic(http.ErrAbortHandler)
	}
}

// mostParts is how many parts of a file are given in one answer.
const mostParts = 16

// ranged gives the request as net/http may see it. A server may always ignore
// Range (RFC 9110, 14.2), and here it is ignored
//   - where it asks for the last 0 bytes, or for a part of an empty file, for
//     net/http answers those with a Content-Range that ends before it begins;
//   - where several parts are asked for and only one is allowed, or more than
//     mostParts: what stands between many small ones is far more than they are;
//   - where its unit is not bytes, as a server must that does not know it.
func ranged(r *http.Request, size int64, several bool) *http.Request {
	header := r.Header.Get("Range")
	parts := 1
	if several {
		parts = mostParts
	}
	if header == "" || strings.HasPrefix(strings.ToLower(header), "bytes=") && size > 0 && !emptySuffix(header) && strings.Count(header, ",") < parts {
		return r
	}
	clone := *r
	clone.Header = r.Header.Clone()
	clone.Header.Del("Range")
	return &clone
}

// emptySuffix reports whether one of the ranges is `-0`, in any spelling.
func emptySuffix(header string) bool {
	_, list, _ := strings.Cut(header, "=")
	for spec := range strings.SplitSeq(list, ",") {
		suffix, ok := strings.CutPrefix(strings.TrimSpace(spec), "-")
		if ok && strings.Trim(suffix, "+0 \t") == "" {
			return true
		}
	}
	return false
}

// refuse answers when there are no bytes. What went wrong inside is logged and
// not told.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, ref Ref, err error) {
	var missing *Missing
	switch {
	case errors.As(err, &missing) && missing.RetryAfter > 0:
		reply.Later(w, r, missing.RetryAfter, missing.Reason)
	case errors.As(err, &missing):
		reply.Text(w, r, http.StatusNotFound, missing.Reason)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		reply.Later(w, r, defaultRetry, "The file could not be had in time. Please try again.")
	default:
		h.log.Error("open file", "project", ref.Name, "file", ref.Filename, "sha256", ref.Digest, "metadata", ref.Metadata, "error", err)
		reply.Text(w, r, http.StatusInternalServerError, "The file could not be read. The log of the box says why.")
	}
}

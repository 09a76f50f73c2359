package feed

import (
	"context"
	"io"
	"iter"
	"net/http"
	"strings"

	"cheeseboard/storage/pypi"

	"github.com/klauspost/compress/gzip"
)

// outlet starts the answer with the first bytes that are written. Until then a
// failure can be told as a fault.
type outlet struct {
	w       http.ResponseWriter
	gzip    bool
	packer  *gzip.Writer // while gzip is on
	started bool
	stop    error // once set, nothing is written any more
}

// Write implements io.Writer.
func (o *outlet) Write(p []byte) (int, error) {
	if o.stop != nil {
		return 0, o.stop
	}
	if !o.started {
		o.started = true
		head(o.w.Header())
		if o.gzip {
			o.w.Header().Set("Content-Encoding", "gzip")
		}
	}
	return o.w.Write(p)
}

// until gives the entries up to the first error, which stops the outlet: above
// all the end that would make the answer look whole must not go out.
func until(ctx context.Context, entries iter.Seq2[pypi.ListEntry, error], out *outlet) iter.Seq[pypi.ListEntry] {
	return func(yield func(pypi.ListEntry) bool) {
		for e, err := range entries {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				out.stop = err
				return
			}
			if !yield(e) {
				return
			}
		}
	}
}

// pack gives the writer for the text of an answer.
func (h *Handler) pack(out *outlet) io.Writer {
	if !out.gzip {
		return out
	}
	packer, ok := h.packers.Get().(*gzip.Writer)
	if !ok {
		var err error
		if packer, err = gzip.NewWriterLevel(out, gzip.BestSpeed); err != nil {
			out.gzip = false
			return out
		}
	}
	packer.Reset(out)
	out.packer = packer
	return packer
}

// unpack ends what pack began. It gives the error that stopped the answer; err
// may only follow from it.
func (h *Handler) unpack(out *outlet, err error) error {
	if out.packer != nil {
		if err == nil && out.stop == nil {
			err = out.packer.Close()
		}
		out.packer.Reset(nil)
		h.packers.Put(out.packer)
	}
	if out.stop != nil {
		return out.stop
	}
	return err
}

func head(h http.Header) {
	h.Set("Content-Type", pypi.ContentTypeXML+"; charset=utf-8")
	h.Set("Cache-Control", "no-store")
}

// send answers with a short text.
func send(w http.ResponseWriter, body []byte) {
	head(w.Header())
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// acceptsGzip tells whether Accept-Encoding names gzip and does not refuse it.
func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		key, q, _ := strings.Cut(strings.ReplaceAll(params, " ", ""), "=")
		return !strings.EqualFold(key, "q") || strings.Trim(q, "0.") != ""
	}
	return false
}

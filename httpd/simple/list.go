package simple

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"cheeseboard/httpd/quick"
	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// maxHeldList is how much of a root list is held before it goes out, in bytes
// as they are sent. A list that ends before is sent with its length and kept;
// PyPI's own, some 40 MB, goes straight through, and is prepared for the next
// who asks (prepared.go).
const maxHeldList = 256 << 10

// errHeadersOnly ends the rendering for a HEAD request once it is known that
// the list would be sent in chunks.
var errHeadersOnly = errors.New("only the headers are wanted")

// serveList answers with the root list.
func (h *Handler) serveList(w http.ResponseWriter, r *http.Request) {
	v, ok := negotiate(w, r)
	if !ok {
		return
	}
	names, err := h.index.Names(r.Context())
	if err != nil {
		h.refuse(w, r, "the root list", err)
		return
	}
	etag := v.etag(names.Tag)
	if reply.NoneMatch(r, etag) {
		quick.Keep(r.Context(), quick.Offer{Still: names.Still})
		notModified(w, etag)
		return
	}
	if stored, ok := v.stored(); ok && h.lists.serve(w, r, stored, names) {
		return
	}
	key := v.key("")
	if names.Tag != "" {
		if body, ok := h.cache.get(key, names.Tag); ok {
			quick.Keep(r.Context(), quick.Offer{Body: body.body, Still: h.ahead.seen(key, names.Still)})
			h.send(w, r, v, etag, body)
			return
		}
	}
	begun := time.Now()
	out := &spill{w: w, limit: maxHeldList, start: func() error {
		entity(w.Header(), v, etag, names.LastSerial)
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodHead {
			return errHeadersOnly
		}
		return nil
	}}
	err = h.writeList(r.Context(), out, v, names)
	if out.started {
		h.lists.prepare(v.form.IsJSON()) // for the next
	}
	switch {
	case err == nil && !out.started:
		body := rendered{body: out.held, serial: names.LastSerial}
		if names.Tag != "" {
			h.ahead.rendered(key, names.Tag, time.Since(begun))
			h.cache.put(key, names.Tag, body)
		}
		h.send(w, r, v, etag, body)
	case err == nil, errors.Is(err, errHeadersOnly):
	case !out.started:
		h.refuse(w, r, "the root list", err)
	default:
		if r.Context().Err() == nil {
			h.log.Warn("break off root list", "error", err)
		}
		// The client must not take what it has for the whole list.
		panic(http.ErrAbortHandler)
	}
}

// writeList renders the list into out. After an error of the list itself no
// further byte goes out, above all not the end that would make it look whole.
func (h *Handler) writeList(ctx context.Context, out *spill, v variant, names Names) error {
	entries := func(yield func(pypi.ListEntry) bool) {
		for e, err := range names.Each {
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
	if v.coding == identity {
		return out.cause(pypi.WriteList(out, v.form, names.LastSerial, entries))
	}
	// Not one of the renderers: a slow client holds this for as long as it reads.
	packed, ok := h.packers[v.coding].Get().(packer)
	if !ok {
		var err error
		if packed, err = newPacker(v.coding); err != nil {
			return err
		}
	}
	packed.Reset(out)
	defer func() {
		packed.Reset(nil)
		h.packers[v.coding].Put(packed)
	}()
	err := pypi.WriteList(packed, v.form, names.LastSerial, entries)
	if err == nil {
		err = packed.Close()
	}
	return out.cause(err)
}

// spill holds what is written up to limit bytes. Beyond, it starts the answer
// and passes everything through.
type spill struct {
	w       io.Writer
	limit   int
	start   func() error
	started bool
	held    []byte
	stop    error // once set, nothing is written any more
}

// cause gives the error that stopped the spill, if one did; err only follows
// from it.
func (s *spill) cause(err error) error {
	if s.stop != nil {
		return s.stop
	}
	return err
}

// Write implements io.Writer.
func (s *spill) Write(p []byte) (int, error) {
	if s.stop != nil {
		return 0, s.stop
	}
	if !s.started {
		if len(s.held)+len(p) <= s.limit {
			s.held = append(s.held, p...)
			return len(p), nil
		}
		s.started = true
		if s.stop = s.start(); s.stop != nil {
			return 0, s.stop
		}
		held := s.held
		s.held = nil
		if _, err := s.w.Write(held); err != nil {
			return 0, err
		}
	}
	return s.w.Write(p)
}

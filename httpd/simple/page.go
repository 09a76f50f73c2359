package simple

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"cheeseboard/httpd/quick"
	"cheeseboard/httpd/reply"
	"cheeseboard/storage/pypi"
)

// servePage answers for one project.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request, name pypi.Name) {
	v, ok := negotiate(w, r)
	if !ok {
		return
	}
	page, err := h.index.Page(r.Context(), name)
	if err != nil {
		h.refuse(w, r, string(name), err)
		return
	}
	etag := v.etag(page.Tag)
	if reply.NoneMatch(r, etag) {
		quick.Keep(r.Context(), quick.Offer{Still: page.Still})
		notModified(w, etag)
		return
	}
	begun := time.Now()
	body, err := h.body(name, page, v)
	if err != nil {
		h.refuse(w, r, string(name), err)
		return
	}
	defer body.release()
	h.ahead.rendered(v.key(name), page.Tag, time.Since(begun))
	if page.Tag != "" {
		quick.Keep(r.Context(), body.offer(h.ahead.seen(v.key(name), page.Still)))
	}
	h.send(w, r, v, etag, body)
}

// body gives the rendered page: the kept one, or a new one that all who ask for
// it at the same time share. An error is not kept. The page is released after use.
func (h *Handler) body(name pypi.Name, page Page, v variant) (rendered, error) {
	key := v.key(name)
	// A large page may be gone before all who waited for it hold it, when others come
	// at the same moment.
	for tries := 0; page.Tag != "" && tries < 3; tries++ {
		if body, ok := h.kept(key, page.Tag); ok {
			return body, nil
		}
		flight := fmt.Sprintf("%s/%t/%d/%s", name, key.json, key.coding, page.Tag)
		out, err, _ := h.flight.Do(flight, func() (any, error) {
			// Another flight may have landed between the look above and this one.
			if body, ok := h.kept(key, page.Tag); ok {
				body.release()
				return body, nil
			}
			body, err := h.render(name, page, key)
			if err != nil {
				return nil, err
			}
			h.keep(key, page.Tag, body)
			return body, nil
		})
		if err != nil {
			return rendered{}, err
		}
		if body := out.(rendered); body.large == nil || body.large.Hold() {
			return body, nil
		}
	}
	return h.render(name, page, key)
}

// kept gives a page that is kept.
func (h *Handler) kept(key cacheKey, tag string) (rendered, bool) {
	if body, ok := h.cache.get(key, tag); ok {
		return body, true
	}
	return h.larges.get(key, tag)
}

func (h *Handler) keep(key cacheKey, tag string, body rendered) {
	if body.large != nil {
		h.larges.put(key, tag, body)
		return
	}
	h.cache.put(key, tag, body)
}

// header sets what every answer with a body or a 304 carries.
func header(h http.Header, etag string) {
	if etag != "" {
		h.Set("ETag", etag)
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	// The page may quote what strangers wrote; no browser runs any of it.
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox allow-top-navigation")
}

func notModified(w http.ResponseWriter, etag string) {
	header(w.Header(), etag)
	w.WriteHeader(http.StatusNotModified)
}

// entity sets the headers of a body except its length.
func entity(h http.Header, v variant, etag string, serial int64) {
	header(h, etag)
	h.Set("Content-Type", v.form.ContentType())
	if v.coding != identity {
		h.Set("Content-Encoding", v.coding.token())
	}
	if serial > 0 {
		h.Set("X-PyPI-Last-Serial", strconv.FormatInt(serial, 10))
	}
}

// send answers with a whole body.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, v variant, etag string, body rendered) {
	entity(w.Header(), v, etag, body.serial)
	w.Header().Set("Content-Length", strconv.FormatInt(body.length(), 10))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		body.write(h, w, r)
	}
}

package upstream

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/wire"
)

// Root is an upstream's answer about its root list.
type Root struct {
	NotModified bool             // the list is the one that the validators came with; nothing was handed on
	Summary     pypi.ListSummary // LastSerial is the largest that list or header states
	Validators  Validators
}

// Root asks for the root list, in JSON if it can be had, and hands its projects
// on as they come. Their serials are 0 where the index states none, as HTML
// never does. Every error is a *wire.Problem, but for those of yield, which come
// as they are. With an error the entries so far are true as they stand, but a
// project that did not come may be there nevertheless.
//
// yield must be quick: while it works nothing is read, and that is taken for
// silence in the end.
func (f *Feed) Root(ctx context.Context, v Validators, yield func(pypi.ListEntry) error) (Root, error) {
	h := http.Header{"Accept": {accept}, "Accept-Encoding": {"gzip"}}
	if v.ETag != "" {
		h.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" {
		h.Set("If-Modified-Since", v.LastModified)
	}
	address := f.index.Address()
	resp, err := f.index.client.Get(ctx, http.MethodGet, address, h)
	if err != nil {
		return Root{}, err
	}
	a := &streamed{resp: resp}
	defer a.close()
	switch {
	case resp.StatusCode == http.StatusNotModified && v != Validators{}:
		return Root{NotModified: true, Validators: v}, nil
	case resp.StatusCode != http.StatusOK:
		return Root{}, wire.StatusProblem(resp, address)
	}
	if err := a.unpack(maxFeedList); err != nil {
		return Root{}, problem(address, err)
	}
	var stopped error
	root := Root{Validators: Validators{ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}}
	root.Summary, err = decodeRoot(a, func(e pypi.ListEntry) error {
		stopped = yield(e)
		return stopped
	})
	if n, err := strconv.ParseInt(resp.Header.Get("X-PyPI-Last-Serial"), 10, 64); err == nil {
		root.Summary.LastSerial = max(root.Summary.LastSerial, n)
	}
	switch {
	case stopped != nil:
		return root, stopped
	case err != nil:
		return root, problem(address, err)
	}
	return root, nil
}

// decodeRoot reads the list in the form that the upstream says it has.
func decodeRoot(a *streamed, yield func(pypi.ListEntry) error) (pypi.ListSummary, error) {
	form, ok := pypi.FormOf(a.resp.Header.Get("Content-Type"))
	switch {
	case ok && form.IsJSON():
		return pypi.DecodeListJSON(a.body, yield)
	case ok:
		return pypi.DecodeListHTML(a.body, yield)
	}
	return pypi.ListSummary{}, fmt.Errorf("%w: it has the type %.100q", pypi.ErrNotIndex, a.resp.Header.Get("Content-Type"))
}

// streamed is an answer that is too large to be in memory whole.
type streamed struct {
	resp *http.Response
	body io.Reader // unpacked and bounded
}

// unpack makes the body readable, up to limit bytes.
func (a *streamed) unpack(limit int64) error {
	a.body = a.resp.Body
	switch c := strings.ToLower(a.resp.Header.Get("Content-Encoding")); c {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(a.resp.Body)
		if err != nil {
			return fmt.Errorf("unpack answer: %w", err)
		}
		a.body = z
	default:
		return fmt.Errorf("the answer comes under the coding %.40q, which was not asked for", c)
	}
	a.body = &bounded{in: a.body, left: limit, limit: limit}
	return nil
}

func (a *streamed) close() { _ = a.resp.Body.Close() } // read to its end, or of no use

// bounded is a reader that fails beyond a limit, where io.LimitReader would only
// end: the text would be taken for one that was cut.
type bounded struct {
	in          io.Reader
	left, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("%w: more than %d MB", errTooLarge, b.limit>>20)
	}
	n, err := b.in.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("%w: more than %d MB", errTooLarge, b.limit>>20)
	}
	return n, err
}

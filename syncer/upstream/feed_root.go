package upstream

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/wire"
)

// ErrDear: reading on would have cost more than the question allows.
var ErrDear = errors.New("the list is larger than it is worth")

// RootQuery is a question for the root list.
type RootQuery struct {
	Validators Validators // of the list that is known; it is not sent again where it is still that
	Most       int64      // bytes of the answer, as they come, that may be read; 0: no bound but the list's own
	From       Place      // where an earlier reading ended; zero: at the beginning
	// Reading, where it is not nil, is the place of the project that yield is called
	// with: where to go on if the program ended now.
	Reading *Place
}

// Place is where the reading of a root list ended. It can be kept, to go on from
// there after a restart.
type Place struct {
	Offset int64     `json:"offset,omitempty"` // bytes of the list's text, without a coding, that were read
	Last   pypi.Name `json:"last,omitempty"`   // the last project in them
	Whole  bool      `json:"whole,omitempty"`  // the upstream gives no parts, or not such that they fit together
}

// Root is an upstream's answer about its root list.
type Root struct {
	NotModified bool             // the list is the one that the validators came with; nothing was handed on
	Summary     pypi.ListSummary // LastSerial is the largest that list or header states; Projects counts those handed on
	Validators  Validators       // of the whole list; zero where it came in parts that have none in common
	Bytes       int64            // of the answers, as they came
	Place       Place            // with an error: where to go on
}

const (
	// rootPatience is how many answers in a row may bring nothing new.
	rootPatience = 3
	// rootPause is the pause before the second of them; it doubles.
	rootPause = 500 * time.Millisecond
)

// Root asks for the root list, in JSON if it can be had, and hands its projects
// on as they come. Their serials are 0 where the index states none, as HTML
// never does.
//
// A list that is cut is gone on with where it ended, by a range of its text that
// begins a little before: the list may have changed meanwhile, as PyPI's does all
// the time, so that no validator would hold, but the last project that came must
// be there. Where an upstream gives no ranges the list begins anew, and what comes
// twice is handed on twice.
//
// Every error is a *wire.Problem, but for those of yield and ErrDear, which come
// as they are. With an error the entries so far are true as they stand, but a
// project that did not come may be there nevertheless.
//
// yield must be quick: while it works nothing is read, and that is taken for
// silence in the end.
func (f *Feed) Root(ctx context.Context, q RootQuery, yield func(pypi.ListEntry) error) (Root, error) {
	r := &rootReading{feed: f, query: q, yield: yield, high: q.From.Offset}
	r.root.Place = q.From
	for fruitless := 0; ; {
		high := r.high
		err := r.attempt(ctx)
		if err == nil || r.stopped != nil || errors.Is(err, ErrDear) || !r.again(err) {
			return r.root, err
		}
		if r.high > high {
			fruitless = 0 // progress pays for everything
			continue
		}
		if fruitless++; fruitless >= rootPatience {
			return r.root, err
		}
		if !pause(ctx, rootPause<<(fruitless-1)) {
			return r.root, &wire.Problem{Cause: wire.Canceled, URL: f.index.Address(), Err: ctx.Err()}
		}
	}
}

// again tells whether asking once more may help at once: there was something good
// before this error.
func (r *rootReading) again(err error) bool {
	switch wire.CauseOf(err) {
	case wire.Cut, wire.Stalled, wire.Broken, wire.Unreachable:
		return r.high > 0
	}
	return errors.Is(err, errDoesNotFit)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// rootReading is one Root, over one answer or many.
type rootReading struct {
	feed    *Feed
	query   RootQuery
	yield   func(pypi.ListEntry) error
	root    Root
	high    int64 // the furthest byte of the text that came
	parts   int   // answers of which something was used
	stopped error // what yield returned
}

// attempt makes one request.
func (r *rootReading) attempt(ctx context.Context) error {
	address := r.feed.index.Address()
	from := r.from()
	resp, err := r.feed.index.client.Get(ctx, http.MethodGet, address, r.header(from))
	if err != nil {
		return err
	}
	a := &streamed{resp: resp}
	defer a.close()
	counted := &counter{in: resp.Body, n: &r.root.Bytes, most: r.query.Most}
	switch {
	case resp.StatusCode == http.StatusNotModified && from == 0 && r.query.Validators != Validators{}:
		r.root.NotModified, r.root.Validators = true, r.query.Validators
		return nil
	case resp.StatusCode == http.StatusPartialContent && from > 0:
		if err := r.fits(resp, from); err != nil {
			return r.restart(address, err)
		}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && from > 0:
		return r.restart(address, errors.New("it is shorter now"))
	case resp.StatusCode != http.StatusOK:
		return wire.StatusProblem(resp, address)
	case from > 0: // ranges are ignored
		r.root.Place.Whole = true
	}
	if resp.StatusCode == http.StatusOK {
		from, r.root.Place.Offset = 0, 0
	}
	if err := a.unpackFrom(counted, maxFeedList); err != nil {
		return problem(address, err)
	}
	return r.take(a, from, address)
}

// header asks for the text from a byte on; for the whole under a coding and only
// where it has changed.
func (r *rootReading) header(from int64) http.Header {
	if from > 0 {
		// The text as it is: a coding would shift every offset. HTML is not asked for,
		// since a part of it could not be told from a part of something else.
		return http.Header{"Accept": {pypi.ContentTypeJSON}, "Accept-Encoding": {"identity"}, "Range": {fmt.Sprintf("bytes=%d-", from)}}
	}
	h := http.Header{"Accept": {accept}, "Accept-Encoding": {"gzip"}}
	if v := r.query.Validators; v.ETag != "" {
		h.Set("If-None-Match", v.ETag)
	}
	if v := r.query.Validators; v.LastModified != "" {
		h.Set("If-Modified-Since", v.LastModified)
	}
	return h
}

// take reads an answer whose text begins at a byte of the list's.
func (r *rootReading) take(a *streamed, from int64, address string) error {
	r.validators(a.resp)
	t := &text{in: a.body, at: from, high: &r.high, place: &r.root.Place.Offset}
	var sum pypi.ListSummary
	var err error
	if from == 0 {
		sum, err = decodeRoot(a.resp, t, r.hand)
	} else {
		sum, err = r.splice(t)
	}
	r.root.Summary.Projects += sum.Projects
	r.root.Summary.Skipped += sum.Skipped
	r.root.Summary.LastSerial = max(r.root.Summary.LastSerial, sum.LastSerial)
	if n, err := strconv.ParseInt(a.resp.Header.Get("X-PyPI-Last-Serial"), 10, 64); err == nil {
		r.root.Summary.LastSerial = max(r.root.Summary.LastSerial, n)
	}
	switch {
	case r.stopped != nil:
		return r.stopped
	case errors.Is(err, ErrDear):
		return ErrDear
	case err == nil:
		r.root.Place = Place{}
		return nil
	}
	p := problem(address, err)
	if from > 0 && wire.CauseOf(p) == wire.Lie {
		return r.restart(address, err)
	}
	return p
}

// hand hands an entry on.
func (r *rootReading) hand(e pypi.ListEntry) error {
	if r.query.Reading != nil {
		*r.query.Reading = Place{Offset: r.root.Place.Offset, Last: e.Name, Whole: r.root.Place.Whole}
	}
	if r.stopped = r.yield(e); r.stopped == nil {
		r.root.Place.Last = e.Name
	}
	return r.stopped
}

// validators keeps those that all parts of the list have in common.
func (r *rootReading) validators(resp *http.Response) {
	v := Validators{ETag: validator(resp, "ETag"), LastModified: validator(resp, "Last-Modified")}
	if r.parts++; r.parts == 1 && r.query.From == (Place{}) {
		r.root.Validators = v
	} else if r.root.Validators != v {
		r.root.Validators = Validators{}
	}
}

// decodeRoot reads the list in the form that the upstream says it has.
func decodeRoot(resp *http.Response, body io.Reader, yield func(pypi.ListEntry) error) (pypi.ListSummary, error) {
	form, ok := pypi.FormOf(resp.Header.Get("Content-Type"))
	switch {
	case ok && form.IsJSON():
		return pypi.DecodeListJSON(body, yield)
	case ok:
		return pypi.DecodeListHTML(body, yield)
	}
	return pypi.ListSummary{}, fmt.Errorf("%w: it has the type %.100q", pypi.ErrNotIndex, resp.Header.Get("Content-Type"))
}

// streamed is an answer that is too large to be in memory whole.
type streamed struct {
	resp *http.Response
	body io.Reader // unpacked and bounded
}

// unpack makes the body readable, up to limit bytes.
func (a *streamed) unpack(limit int64) error { return a.unpackFrom(a.resp.Body, limit) }

func (a *streamed) unpackFrom(in io.Reader, limit int64) error {
	a.body = in
	switch c := strings.ToLower(a.resp.Header.Get("Content-Encoding")); c {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(in)
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

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"

	"cheeseboard/syncer/wire"
)

// download is one Fetch.
type download struct {
	*Fetcher
	address string
	target  Target
	high    int64 // the furthest byte that was new
	manner  manner
	ranged  bool // a range has come as it was asked for

	stopped int64 // where an attempt ended that brought nothing; negative: none did
	again   int   // how many of them, in a row, ended there
	passed  int   // answers in a row that ended before anything new came in them
	stuck   error // why no other attempt can help; nil: one may

	asked  bool  // for the length that nobody has stated
	length int64 // as the host says it; negative: it does not
}

// attempt makes one request and learns from it how to make the next. done means
// that every byte is there; without an error and done, a part of them came.
func (d *download) attempt(ctx context.Context) (done bool, err error) {
	t := d.target
	offset := t.Offset()
	d.high = max(d.high, offset)
	if offset > 0 && offset == t.Size() {
		return true, nil
	}
	if t.Size() >= 0 && offset > t.Size() { // the index has changed its mind
		if err := d.reset(); err != nil {
			return false, err
		}
		offset = 0
	}
	before := d.high
	done, o, err := d.request(ctx, offset)
	o.got, o.fresh = d.high-before, offset == 0
	o.worn = o.worn && o.got == 0 && err != nil
	if !done {
		d.learn(ctx, offset, o)
	}
	return done, err
}

// request asks in the present manner.
func (d *download) request(ctx context.Context, offset int64) (done bool, o outcome, err error) {
	asked := d.header(offset)
	if d.manner.anew {
		ctx = wire.Anew(ctx)
	}
	resp, err := d.Client.Get(ctx, http.MethodGet, d.address, asked)
	if err != nil {
		return false, o, err
	}
	defer func() { _ = resp.Body.Close() }() // the bytes have been counted
	if d.Answered != nil {
		d.Answered()
	}
	if err := checkContent(resp, d.address); err != nil {
		return false, o, d.lie(resp, err)
	}
	size := d.target.Size()
	ranged := asked.Get("Range") != ""
	switch {
	case resp.StatusCode == http.StatusPartialContent && ranged:
		end, err := checkRange(resp, offset, size)
		if err != nil {
			o.odd = true
			return false, o, d.lie(resp, err)
		}
		d.ranged = true
		return d.receive(ctx, resp, 0, end)
	case resp.StatusCode == http.StatusOK:
		return d.receiveWhole(ctx, resp, offset)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && size < 0 && ranged && offset > 0:
		if resp.Header.Get("Content-Range") == fmt.Sprintf("bytes */%d", offset) {
			return true, o, nil // it was whole already, which nobody could know; the digest decides
		}
		if err := d.reset(); err != nil {
			return false, o, err
		}
		return false, o, d.lie(resp, fmt.Errorf("it has no byte %d", offset))
	}
	p := wire.StatusProblem(resp, d.address)
	o.refused = aboutRange(resp.StatusCode) && (size >= 0 || ranged)
	return false, o, p
}

// header asks for the bytes from offset on, as they are: a coding would shift
// every offset.
func (d *download) header(offset int64) http.Header {
	h := http.Header{"Accept-Encoding": {"identity"}}
	for k, v := range d.Header {
		h[k] = v
	}
	m := d.manner
	bounded := m.span > 0 && d.target.Size() >= 0
	switch {
	case m.whole, offset == 0 && !bounded:
		return h
	case bounded:
		h.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, min(m.span, d.target.Size()-offset)+offset-1))
	default:
		h.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	if v := d.target.Validator(); v != "" && offset > 0 && !m.noIfRange {
		h.Set("If-Range", v)
	}
	return h
}

// receiveWhole takes a 200. When bytes are here already, the upstream ignored
// the range or says that the file has changed.
func (d *download) receiveWhole(ctx context.Context, resp *http.Response, offset int64) (bool, outcome, error) {
	size := d.target.Size()
	if n := resp.ContentLength; n >= 0 && size >= 0 && n != size {
		return false, outcome{odd: true}, d.lie(resp, fmt.Errorf("it offers %d bytes, the index states %d", n, size))
	}
	etag := strong(resp.Header.Get("ETag"))
	same := etag != "" && etag == d.target.Validator()
	switch {
	case offset == 0:
		d.target.SetValidator(etag)
		return d.receive(ctx, resp, 0, size)
	case !same && !d.manner.noIfRange && !d.manner.whole && d.target.Validator() != "":
		// Its ETag changes, perhaps from one server of many to the next. The
		// index names the bytes by digest, so asking for the rest without a
		// condition is safe: wrong bytes do not pass the digest.
		d.manner.noIfRange = true
		return false, outcome{}, d.lie(resp, errors.New("its ETag changed between two ranges"))
	case size < 0 && !same:
		// It is small, and nothing says where it ends: from zero.
		if err := d.reset(); err != nil {
			return false, outcome{}, err
		}
		d.target.SetValidator(etag)
		return d.receive(ctx, resp, 0, size)
	case d.Elsewhere && offset > cheap:
		d.stuck = ErrNoRanges
		return false, outcome{}, d.lie(resp, d.stuck)
	}
	// The bytes from the start: those that are here are passed over. They are
	// not thrown away, whatever the ETag says: the digest decides about them, and
	// another answer may be shorter than they are.
	d.manner.whole = true
	return d.receive(ctx, resp, offset, size)
}

// cheap is how many bytes may come again before it is better to ask elsewhere.
const cheap = 64 << 10

// receive writes the body, which ends before the byte end (negative where nobody
// knows), after passing over the first skip bytes of it.
func (d *download) receive(ctx context.Context, resp *http.Response, skip, end int64) (done bool, o outcome, err error) {
	o.began, o.worn = true, wire.Kept(resp)
	if skip > 0 {
		if _, err := io.CopyN(io.Discard, resp.Body, skip); err != nil {
			return false, o, d.ended(err)
		}
	}
	t := d.target
	buf := make([]byte, 32<<10)
	for {
		want := buf
		if end < 0 && resp.ContentLength < 0 && t.Offset() >= unbounded {
			if end = d.total(ctx); end >= 0 && end < t.Offset() {
				if err := d.reset(); err != nil { // these are no bytes to go on from
					return false, o, err
				}
				return false, o, d.lie(resp, fmt.Errorf("more comes than the %d bytes of which its host speaks", end))
			}
		}
		if end >= 0 {
			// What an upstream sends beyond that is not read: the digest decides
			// about the bytes before it.
			want = buf[:min(int64(len(buf)), end-t.Offset())]
		}
		n, err := resp.Body.Read(want)
		if n > 0 {
			if _, werr := t.Write(buf[:n]); werr != nil {
				return false, o, &TargetError{werr}
			}
			d.high = max(d.high, t.Offset())
		}
		switch {
		case end >= 0 && t.Offset() == end:
			o.whole = true
			return end == t.Size() || t.Size() < 0 && d.asked && end == d.length, o, nil
		case err == io.EOF && end < 0:
			return true, o, nil // nobody knows better; the digest decides
		case err == io.EOF:
			return false, o, d.ended(io.ErrUnexpectedEOF)
		case err != nil:
			o.reset = errors.Is(err, syscall.ECONNRESET)
			return false, o, d.ended(err)
		}
	}
}

// unbounded is how much may come of an answer that states no length, of a file of
// which the index states none, before its host is asked how long it is: such an
// answer need have no end.
const unbounded = 64 << 10

// total asks how long the file is, once; negative where the host does not say.
func (d *download) total(ctx context.Context) int64 {
	if d.asked {
		return d.length
	}
	d.asked, d.length = true, -1
	header := d.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header.Set("Accept-Encoding", "identity")
	resp, err := d.Client.Get(ctx, http.MethodHead, d.address, header)
	if err != nil {
		return -1 // the answer that is under way may end all the same
	}
	defer func() { _ = resp.Body.Close() }() // it has none
	// Some hosts say 0 for what they make as they go.
	if resp.StatusCode == http.StatusOK && checkContent(resp, d.address) == nil && resp.ContentLength > 0 {
		d.length = resp.ContentLength
	}
	return d.length
}

// learn chooses the manner of the next request, and notices where none can help.
func (d *download) learn(ctx context.Context, offset int64, o outcome) {
	at := d.target.Offset()
	switch {
	case o.got > 0 || o.whole:
		d.stopped, d.again, d.passed = -1, 0, 0
	case o.worn: // it says nothing of the file
	case d.manner.whole && o.began && offset > 0:
		if d.passed++; d.passed == 2 && d.stuck == nil {
			d.stuck = fmt.Errorf("it ignores or refuses ranges, and what it sends instead ends before byte %d, where this file stands", offset)
		}
	case o.began && d.stopped == at:
		d.again++
		o.cut = d.again%2 == 0
	case o.began:
		d.stopped, d.again = at, 1
	}
	next := d.manner.next(o)
	if next.whole && !d.manner.whole && offset > 0 {
		switch {
		case d.Elsewhere && offset > cheap:
			d.stuck = ErrNoRanges
			return
		case o.refused && (d.ranged || d.rangesWork(ctx)):
			// Not ranges are refused, but these bytes: the whole would end here too.
			d.stuck = fmt.Errorf("nothing beyond byte %d of %d gets through, though ranges before it do", offset, d.target.Size())
			return
		}
	}
	if o.cut && next == d.manner {
		d.stuck = fmt.Errorf("each answer ends at byte %d of %d, whatever is asked for: something on the way lets no more through", at, d.target.Size())
	}
	d.manner = next
}

// rangesWork asks for the first byte.
func (d *download) rangesWork(ctx context.Context) bool {
	h := http.Header{"Accept-Encoding": {"identity"}, "Range": {"bytes=0-0"}}
	resp, err := d.Client.Get(ctx, http.MethodGet, d.address, h)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }() // its head says it all
	_, err = checkRange(resp, 0, d.target.Size())
	return resp.StatusCode == http.StatusPartialContent && err == nil
}

func (d *download) ended(err error) error {
	var p *wire.Problem
	if errors.As(err, &p) {
		return p
	}
	return &wire.Problem{Cause: wire.Cut, URL: d.address, Err: err}
}

func (d *download) reset() error {
	if err := d.target.Reset(); err != nil {
		return &TargetError{err}
	}
	return nil
}

func (d *download) lie(resp *http.Response, err error) error {
	return &wire.Problem{Cause: wire.Lie, URL: d.address, Status: resp.StatusCode, Err: err}
}

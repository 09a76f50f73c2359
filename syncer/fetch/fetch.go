// Package fetch brings one file over a line that breaks: it goes on where it
// stopped for as long as that makes progress, believes nobody but the stated
// size, and leaves the digest to whoever commits the bytes.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cheeseboard/syncer/wire"
)

// Target is where the bytes go. It is used by one goroutine at a time.
type Target interface {
	// Offset is how many bytes are there: where the download goes on.
	Offset() int64
	// Size is the length that the index states; negative where it states none.
	Size() int64
	// Validator is the strong ETag under which the bytes at hand came; "" unknown.
	Validator() string
	// SetValidator notes the ETag of the bytes that follow.
	SetValidator(etag string)
	// Write appends. An error ends the download; bytes beyond Size must be refused.
	Write(b []byte) (int, error)
	// Reset throws the bytes away.
	Reset() error
}

// TargetError is an error of the Target's: nothing that the line could mend.
type TargetError struct{ Err error }

func (e *TargetError) Error() string { return e.Err.Error() }
func (e *TargetError) Unwrap() error { return e.Err }

// Defaults of a Fetcher.
const (
	DefaultPatience = 6
	DefaultMaxPause = time.Minute
	firstPause      = 500 * time.Millisecond
)

// Fetcher downloads. The zero value of each field but Client is its default.
type Fetcher struct {
	Client   *wire.Client
	Patience int           // attempts in a row that bring nothing before it gives up
	MaxPause time.Duration // longest pause between two attempts; a longer Retry-After ends the call
	// Pause waits; nil: by the clock. It returns ctx's error when that ends first.
	Pause func(ctx context.Context, d time.Duration) error
	// Answered is told when the upstream has answered an attempt, whatever it
	// answered; nil: nobody is.
	Answered func()
	// Attempt is told why an attempt ended that was not the last; nil: nobody is.
	Attempt func(address string, offset int64, err error)
}

// Fetch brings the bytes of address into t until they are all there. A cut is
// followed by another attempt at once; an attempt that brought nothing by a
// pause that grows. Errors: *wire.Problem for what the line or the upstream did
// (its RetryAfter says when to come back), *TargetError for what t did.
func (f *Fetcher) Fetch(ctx context.Context, address string, t Target) error {
	d := &download{Fetcher: f, address: address, target: t, high: t.Offset()}
	patience, maxPause := f.Patience, f.MaxPause
	if patience <= 0 {
		patience = DefaultPatience
	}
	if maxPause <= 0 {
		maxPause = DefaultMaxPause
	}
	fruitless := 0
	for {
		before := d.high
		done, err := d.attempt(ctx)
		if done {
			return nil
		}
		var own *TargetError
		if errors.As(err, &own) {
			return err
		}
		if d.high > before {
			fruitless = 0 // progress pays for everything
		} else {
			fruitless++
		}
		var p *wire.Problem
		if !errors.As(err, &p) {
			return err
		}
		if p.Permanent() || fruitless >= patience || p.RetryAfter > maxPause {
			return err
		}
		if f.Attempt != nil {
			f.Attempt(address, t.Offset(), err)
		}
		if err := f.pause(ctx, pauseFor(fruitless, p.RetryAfter, maxPause)); err != nil {
			return &wire.Problem{Cause: wire.Canceled, URL: address, Err: err}
		}
	}
}

// pauseFor is exponential backoff with full jitter; what the upstream asked for
// is a lower bound.
func pauseFor(fruitless int, asked, most time.Duration) time.Duration {
	if fruitless == 0 {
		return asked
	}
	d := min(firstPause<<min(fruitless-1, 20), most)
	return max(time.Duration(rand.Int64N(int64(d))), asked)
}

func (f *Fetcher) pause(ctx context.Context, d time.Duration) error {
	if f.Pause != nil {
		return f.Pause(ctx, d)
	}
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// download is one Fetch.
type download struct {
	*Fetcher
	address string
	target  Target
	high    int64 // the furthest byte that was new

	// What the upstream turned out to be unable to do.
	noIfRange bool // its ETag differs from one answer to the next
	noRange   bool // its ranges are wrong
}

// attempt makes one request. done means that every byte is there.
func (d *download) attempt(ctx context.Context) (done bool, err error) {
	t := d.target
	offset := t.Offset()
	d.high = max(d.high, offset)
	if offset > 0 && offset == t.Size() {
		return true, nil
	}
	tooFar := t.Size() >= 0 && offset > t.Size() // the index has changed its mind
	if tooFar || d.noRange && t.Validator() == "" && offset > 0 {
		if err := d.reset(); err != nil {
			return false, err
		}
		offset = 0
	}
	// The bytes as they are: a coding would shift every offset.
	header := http.Header{"Accept-Encoding": {"identity"}}
	if offset > 0 && !d.noRange {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		if v := t.Validator(); v != "" && !d.noIfRange {
			header.Set("If-Range", v)
		}
	}
	resp, err := d.Client.Get(ctx, http.MethodGet, d.address, header)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }() // the bytes have been counted
	if d.Answered != nil {
		d.Answered()
	}
	if err := d.checkContent(resp); err != nil {
		return false, err
	}
	switch {
	case resp.StatusCode == http.StatusPartialContent && offset > 0:
		if err := d.checkRange(resp, offset); err != nil {
			d.noRange = true
			return false, d.lie(resp, err)
		}
		return d.receive(resp, 0)
	case resp.StatusCode == http.StatusOK:
		return d.receiveWhole(resp, offset)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && t.Size() < 0 && resp.Header.Get("Content-Range") == fmt.Sprintf("bytes */%d", offset):
		return true, nil // it was whole already, which nobody could know; the digest decides
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		// It has fewer bytes than we hold: ours or theirs are wrong. Start again.
		d.noRange = true
		if err := d.reset(); err != nil {
			return false, err
		}
		return false, d.lie(resp, fmt.Errorf("it has no byte %d", offset))
	}
	return false, wire.StatusProblem(resp, d.address)
}

// receiveWhole takes a 200. When bytes are here already, the upstream ignored
// the range or says that the file has changed.
func (d *download) receiveWhole(resp *http.Response, offset int64) (bool, error) {
	if n := resp.ContentLength; n >= 0 && d.target.Size() >= 0 && n != d.target.Size() {
		return false, d.lie(resp, fmt.Errorf("it offers %d bytes, the index states %d", n, d.target.Size()))
	}
	etag := strong(resp.Header.Get("ETag"))
	switch {
	case offset == 0:
		d.target.SetValidator(etag)
		return d.receive(resp, 0)
	case etag != "" && etag == d.target.Validator():
		// The same bytes from the start: pass over those that are here.
		return d.receive(resp, offset)
	case !d.noIfRange && !d.noRange:
		// Its ETag changes, perhaps from one server of many to the next. The
		// index names the bytes by digest, so asking for the rest without a
		// condition is safe: wrong bytes do not pass the digest.
		d.noIfRange = true
		return false, d.lie(resp, errors.New("its ETag changed between two ranges"))
	}
	d.noRange = true
	if err := d.reset(); err != nil {
		return false, err
	}
	d.target.SetValidator(etag)
	return d.receive(resp, 0)
}

// receive writes the body, after passing over the first skip bytes of it.
func (d *download) receive(resp *http.Response, skip int64) (done bool, err error) {
	if skip > 0 {
		if _, err := io.CopyN(io.Discard, resp.Body, skip); err != nil {
			return false, d.ended(err)
		}
	}
	buf := make([]byte, 32<<10)
	for {
		want := buf
		if size := d.target.Size(); size >= 0 {
			// What an upstream sends beyond the stated size is not read: the
			// digest decides about the bytes before it.
			want = buf[:min(int64(len(buf)), size-d.target.Offset())]
		}
		n, err := resp.Body.Read(want)
		if n > 0 {
			if _, werr := d.target.Write(buf[:n]); werr != nil {
				return false, &TargetError{werr}
			}
			d.high = max(d.high, d.target.Offset())
		}
		if size := d.target.Size(); size >= 0 && d.target.Offset() == size {
			return true, nil
		}
		if err == io.EOF {
			if d.target.Size() < 0 {
				return true, nil // nobody knows better; the digest decides
			}
			return false, d.ended(io.ErrUnexpectedEOF)
		}
		if err != nil {
			return false, d.ended(err)
		}
	}
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

// checkContent refuses what cannot be the bytes of a file: a login page, or
// bytes under a coding that was not asked for.
func (d *download) checkContent(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return nil
	}
	if c := resp.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		return d.lie(resp, fmt.Errorf("its bytes come under the coding %q", c))
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && (kind == "text/html" || kind == "application/xhtml+xml") {
		return d.lie(resp, errors.New("a web page came instead of the file: a login page of the network, perhaps"))
	}
	return nil
}

// checkRange reads `Content-Range: bytes FIRST-LAST/TOTAL` and holds it against
// what was asked for.
func (d *download) checkRange(resp *http.Response, offset int64) error {
	value := resp.Header.Get("Content-Range")
	spec, ok := strings.CutPrefix(value, "bytes ")
	span, total, ok2 := strings.Cut(spec, "/")
	first, last, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return fmt.Errorf("its range %q cannot be read", value)
	}
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if err1 != nil || err2 != nil || to < from {
		return fmt.Errorf("its range %q cannot be read", value)
	}
	if from != offset {
		return fmt.Errorf("it sends bytes from %d, asked for were those from %d", from, offset)
	}
	size := d.target.Size()
	if n, err := strconv.ParseInt(total, 10, 64); total != "*" && (err != nil || size >= 0 && n != size) {
		return fmt.Errorf("its range %q speaks of another file than the index, which states %d bytes", value, size)
	}
	if size >= 0 && to >= size {
		return fmt.Errorf("its range %q goes beyond the %d bytes that the index states", value, size)
	}
	if n := resp.ContentLength; n >= 0 && n != to-from+1 {
		return fmt.Errorf("its range %q and its length %d differ", value, n)
	}
	return nil
}

// strong gives an ETag that may stand in If-Range; "" for a weak or absent one.
func strong(etag string) string {
	if len(etag) < 2 || etag[0] != '"' {
		return ""
	}
	return etag
}

package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cheeseboard/storage/pypi"
)

const (
	// rootOverlap is how many bytes before the end of what came a part begins: what
	// the decoder had read but not handed on, and some hundred projects more, by
	// which the list may have moved.
	rootOverlap = 24 << 10
	// rootSlice is what the decoder is given at once, so that it is not far ahead.
	rootSlice = 4 << 10
	// rootBegin makes a list of a part of one.
	rootBegin = `{"meta":{"api-version":"1.0"},"projects":[`
)

// errDoesNotFit: a part of the list does not go on where the others ended.
var errDoesNotFit = errors.New("the rest of the list does not fit what came before")

// from is where the next request begins: 0 for the whole list.
func (r *rootReading) from() int64 {
	p := r.root.Place
	if p.Whole || p.Last == "" || p.Offset <= 2*rootOverlap {
		return 0
	}
	return p.Offset - rootOverlap
}

// fits looks at the head of a part.
func (r *rootReading) fits(resp *http.Response, from int64) error {
	form, ok := pypi.FormOf(resp.Header.Get("Content-Type"))
	span, isRange := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	first, _, _ := strings.Cut(span, "-")
	n, err := strconv.ParseInt(first, 10, 64)
	switch {
	case !ok || !form.IsJSON():
		return fmt.Errorf("it has the type %.100q", resp.Header.Get("Content-Type"))
	case resp.Header.Get("Content-Encoding") != "":
		return fmt.Errorf("it comes under the coding %.40q", resp.Header.Get("Content-Encoding"))
	case !isRange || err != nil || n != from:
		return fmt.Errorf("its range is %.60q", resp.Header.Get("Content-Range"))
	}
	return nil
}

// restart gives the parts up: the next request is for the whole list.
func (r *rootReading) restart(address string, why error) error {
	r.root.Place = Place{Whole: true}
	return problem(address, fmt.Errorf("%w: %w", errDoesNotFit, why))
}

// splice reads a part of the list. Its projects are handed on from behind the one
// that came last.
func (r *rootReading) splice(t *text) (pypi.ListSummary, error) {
	last, reached, repeated := r.root.Place.Last, false, 0
	begin := t.at
	in := bufio.NewReaderSize(t, rootSlice)
	if err := toEntry(in); err != nil {
		return pypi.ListSummary{}, err
	}
	sum, err := pypi.DecodeListJSON(io.MultiReader(strings.NewReader(rootBegin), in), func(e pypi.ListEntry) error {
		if reached {
			return r.hand(e)
		}
		repeated++
		if reached = e.Name == last; !reached && t.at > begin+3*rootOverlap {
			return fmt.Errorf("%w: %s does not come again", errDoesNotFit, last)
		}
		return nil
	})
	sum.Projects = max(0, sum.Projects-repeated)
	if err == nil && !reached {
		err = fmt.Errorf("%w: %s does not come again", errDoesNotFit, last)
	}
	return sum, err
}

// toEntry passes over the text up to the next entry: behind a brace and a comma.
func toEntry(in *bufio.Reader) error {
	const ended, comma = 1, 2
	state := 0
	for range 4 * rootOverlap {
		c, err := in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: %w", errDoesNotFit, pypi.ErrTruncated)
		case err != nil:
			return err
		case c == '}':
			state = ended
		case c == ',' && state == ended:
			state = comma
		case c == '{' && state == comma:
			return in.UnreadByte()
		case c == ' ' || c == '\n' || c == '\r' || c == '\t':
		default:
			state = 0
		}
	}
	return fmt.Errorf("%w: no project begins", errDoesNotFit)
}

// text is the list's text as it is read; it keeps count of how far that is.
type text struct {
	in    io.Reader
	at    int64  // where the next byte belongs
	high  *int64 // the furthest byte
	place *int64 // where at is kept once it is further
}

func (t *text) Read(p []byte) (int, error) {
	n, err := t.in.Read(p[:min(len(p), rootSlice)])
	t.at += int64(n)
	*t.high = max(*t.high, t.at)
	*t.place = max(*t.place, t.at)
	return n, err
}

// counter counts what comes in, and fails beyond a bound.
type counter struct {
	in   io.Reader
	n    *int64
	most int64
}

func (c *counter) Read(p []byte) (int, error) {
	if c.most > 0 && *c.n > c.most {
		return 0, ErrDear
	}
	n, err := c.in.Read(p)
	*c.n += int64(n)
	return n, err
}

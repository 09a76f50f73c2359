package upstream

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/wire"
)

// ErrNoFeed: the upstream does not offer a change feed. It stands in a
// *wire.Problem, of cause Gone or Refused where the upstream said so, and Lie
// where something else answered. A login page on the way looks the same, so it
// is an answer for this time and not for ever.
var ErrNoFeed = errors.New("it has no change feed")

// Bounds of the feed's answers, in bytes as they are unpacked. A full page of
// changes has about 20 MB, a list of all of PyPI's projects about 75 MB.
const (
	maxFeedPage = 64 << 20
	maxFeedList = 256 << 20
	maxSerial   = 64 << 10
)

// maxFeedNames is how many projects one Since gathers before it asks to be
// called again. It bounds what is in memory: some 20 MB.
const maxFeedNames = 150_000

// maxFeedRows is how many rows one Since reads before it asks to be called again:
// a feed that never ends does not keep anybody busy for ever.
const maxFeedRows = 2_000_000

// maxFeedPageRows is how many rows of one answer are read: more than PyPI gives.
// Of a server that gives all it has at once, the rest is asked for again.
const maxFeedPageRows = pypi.MaxFeedRows + 10_000

// Feed is what an index tells of its changes: by XML-RPC, and by the serials in
// its root list. It is safe for concurrent use and keeps nothing.
type Feed struct {
	index   *Index
	address string
}

// Feed gives the feed of an index, which stands beside its root list: that of
// https://host/simple/ is at https://host/pypi.
func (x *Index) Feed() *Feed {
	return &Feed{index: x, address: x.base.JoinPath("..", "pypi").String()}
}

// Address is where the feed is asked by XML-RPC.
func (f *Feed) Address() string { return f.address }

// LastSerial asks for the highest serial of the index. Every error is a
// *wire.Problem; it wraps ErrNoFeed where there is no feed.
func (f *Feed) LastSerial(ctx context.Context) (int64, error) {
	a, err := f.call(ctx, maxSerial, pypi.MethodLastSerial)
	if err != nil {
		return 0, err
	}
	defer a.close()
	serial, err := pypi.DecodeFeedSerial(a.body)
	if err != nil {
		return 0, f.problem(err)
	}
	return serial, nil
}

// Changes are the projects that changed after a serial.
type Changes struct {
	// Projects holds each project once, with the highest serial that the feed
	// gave for it, in no order.
	Projects []pypi.ListEntry
	// Last is the serial up to which nothing is missing: where to go on. It is
	// never less than the serial that was asked for. A later LastSerial that is
	// less tells of an index that was set back, or of a feed that lied.
	Last int64
	// Rows counts the rows of the feed, Skipped those among them that named no
	// project.
	Rows, Skipped int
	// More says that the end of the feed was not reached.
	More bool
}

// Since asks for what changed after a serial, page by page, until the feed's end
// or until much has been gathered (then More is true). keep says which projects
// are gathered; nil: all. It must be quick, as yield of Root.
//
// Every error is a *wire.Problem, as for LastSerial. What came before the error
// is not lost: Changes holds it, and Last how far it reaches. Rows of a page that
// was cut count up to where their order vouches that none is missing; where that
// is progress, the rest is asked for at once, so that a long absence is made up
// for over a line that breaks.
func (f *Feed) Since(ctx context.Context, serial int64, keep func(pypi.Name) bool) (Changes, error) {
	g := gathering{serials: make(map[pypi.Name]int64), keep: keep}
	g.changes.Last = serial
	err := f.pages(ctx, &g)
	g.changes.Projects = make([]pypi.ListEntry, 0, len(g.serials))
	for name, serial := range g.serials {
		g.changes.Projects = append(g.changes.Projects, pypi.ListEntry{Name: name, Serial: serial})
	}
	return g.changes, err
}

func (f *Feed) pages(ctx context.Context, g *gathering) error {
	for {
		from := g.changes.Last
		sum, err := f.page(ctx, from, g)
		switch {
		case wire.CauseOf(err) == wire.Cut && g.changes.Last > from && g.changes.Rows < maxFeedRows:
			continue
		case err != nil:
			g.changes.More = true
			return err
		case sum.Rows > 0 && sum.Last == 0:
			return f.problem(fmt.Errorf("none of %d changes has a serial", sum.Rows))
		}
		g.changes.Last = max(from, sum.Last)
		switch {
		case sum.Rows < pypi.MaxFeedRows:
			g.changes.More = false
			return nil
		case g.changes.Last == from:
			return f.problem(fmt.Errorf("the feed repeats itself: %d changes, none of them after serial %d", sum.Rows, from))
		case len(g.serials) >= maxFeedNames, g.changes.Rows >= maxFeedRows:
			g.changes.More = true
			return nil
		}
	}
}

// gathering is what Since has so far.
type gathering struct {
	changes Changes
	serials map[pypi.Name]int64
	keep    func(pypi.Name) bool
}

var errTooManyRows = fmt.Errorf("more than %d changes in one answer", maxFeedPageRows)

// page asks for one page and takes its rows.
func (f *Feed) page(ctx context.Context, from int64, g *gathering) (pypi.FeedSummary, error) {
	a, err := f.call(ctx, maxFeedPage, pypi.MethodSinceSerial, from)
	if err != nil {
		return pypi.FeedSummary{}, err
	}
	defer a.close()
	rows, last, whole, ordered := 0, from, from, true
	sum, err := pypi.DecodeFeedChanges(a.body, func(c pypi.Change) error {
		if rows++; rows > maxFeedPageRows {
			return errTooManyRows
		}
		if g.keep == nil || g.keep(c.Name) {
			g.serials[c.Name] = max(g.serials[c.Name], c.Serial)
		}
		switch {
		case c.Serial > last:
			// All rows of the serial before are here: another one is next.
			whole, last = last, c.Serial
		case c.Serial < last && c.Serial > from:
			ordered = false
		}
		return nil
	})
	g.changes.Rows += sum.Rows
	g.changes.Skipped += sum.Skipped
	switch {
	case err == nil:
		return sum, nil
	case errors.Is(err, errTooManyRows) && ordered && whole > from:
		sum.Last = whole
		return sum, nil
	}
	p := f.problem(err)
	if ordered && p.Cause != wire.Lie {
		g.changes.Last = max(from, whole)
	}
	return sum, p
}

// List asks for every project with its serial, by XML-RPC. It is slow and large:
// Root gives the same from an index that states serials in its root list. The
// errors are those of LastSerial, and of yield, as they are. The entries were
// handed on before the answer was known to be whole: with an error, a project
// that did not come may be there nevertheless.
func (f *Feed) List(ctx context.Context, yield func(pypi.ListEntry) error) (pypi.ListSummary, error) {
	a, err := f.call(ctx, maxFeedList, pypi.MethodListSerials)
	if err != nil {
		return pypi.ListSummary{}, err
	}
	defer a.close()
	var stopped error
	sum, err := pypi.DecodeFeedList(a.body, func(e pypi.ListEntry) error {
		stopped = yield(e)
		return stopped
	})
	switch {
	case stopped != nil:
		return sum, stopped
	case err != nil:
		return sum, f.problem(err)
	}
	return sum, nil
}

// call sends a request and looks at the head of the answer.
func (f *Feed) call(ctx context.Context, limit int64, method string, params ...int64) (*streamed, error) {
	header := http.Header{"Content-Type": {pypi.ContentTypeXML}, "Accept": {pypi.ContentTypeXML}, "Accept-Encoding": {"gzip"}}
	resp, err := f.index.client.Post(ctx, f.address, header, pypi.AppendFeedCall(nil, method, params...))
	if err != nil {
		return nil, err
	}
	a := &streamed{resp: resp}
	if resp.StatusCode != http.StatusOK {
		p := wire.StatusProblem(resp, f.address)
		if resp.StatusCode == http.StatusNotImplemented { // a server of static files
			p.Cause = wire.Refused
		}
		if p.Cause == wire.Gone || p.Cause == wire.Refused {
			p.Err = ErrNoFeed
		}
		a.close()
		return nil, p
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != pypi.ContentTypeXML && kind != "application/xml" {
		a.close()
		return nil, f.problem(fmt.Errorf("%w: something of the type %.100q answered", ErrNoFeed, resp.Header.Get("Content-Type")))
	}
	if err := a.unpack(limit); err != nil {
		a.close()
		return nil, f.problem(err)
	}
	return a, nil
}

// problem makes a *wire.Problem of what went wrong with an answer.
func (f *Feed) problem(err error) *wire.Problem {
	var fault *pypi.Fault
	if errors.As(err, &fault) {
		return faultProblem(f.address, fault)
	}
	return problem(f.address, err).(*wire.Problem) // it gives no other errors
}

// resets finds the time in PyPI's refusal of too many requests: "… Limit may
// reset in 7 seconds."; 0 where there is none.
func resets(text string) time.Duration {
	_, rest, _ := strings.Cut(text, "reset in ")
	digits, _, _ := strings.Cut(rest, " ")
	seconds, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return 0
	}
	return min(max(time.Duration(seconds)*time.Second, 0), time.Hour)
}

// faultProblem tells what cannot be had now from what cannot be had at all. PyPI
// has one code for both: it raises a RuntimeError where a method was taken away.
func faultProblem(address string, fault *pypi.Fault) *wire.Problem {
	p := &wire.Problem{Cause: wire.Busy, URL: address, Status: http.StatusOK, Err: fault}
	switch {
	case fault.Code == pypi.FaultApplication && !strings.HasPrefix(fault.Text, "RuntimeError:"), fault.Code == pypi.FaultUnavailable:
		p.RetryAfter = resets(fault.Text)
	case fault.Code == pypi.FaultInternal:
		p.Cause = wire.Broken
	default:
		p.Cause, p.Err = wire.Refused, fmt.Errorf("%w: %w", ErrNoFeed, fault)
	}
	return p
}

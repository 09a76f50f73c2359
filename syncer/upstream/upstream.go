// Package upstream asks a simple index for its pages: JSON where it has it, HTML
// where it has not, and nothing where nothing has changed.
package upstream

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/wire"
)

// PyPI is the address of the index that is mirrored where the configuration
// names no other. It stands here and nowhere else.
const PyPI = "https://pypi.org/simple/"

// DefaultMaxPage is the most bytes that a project page may have, unpacked. The
// largest page of PyPI has about 20 MB.
const DefaultMaxPage = 40 << 20

// smallPage is what a page may have, unpacked, without waiting for others: all
// but a few hundred of PyPI's are smaller.
const smallPage = 1 << 20

const accept = pypi.ContentTypeJSON + ", " + pypi.ContentTypeHTML + ";q=0.2, " + pypi.ContentTypeLegacyHTML + ";q=0.1"

// Index is one upstream. It is safe for concurrent use.
type Index struct {
	base    *url.URL
	client  *wire.Client
	maxPage int64
	header  http.Header   // sent with each request for a page
	large   chan struct{} // held by the one large page that is in memory
}

// New checks the address of an index: http or https, up to and including
// /simple/. maxPage 0 means DefaultMaxPage.
func New(address string, client *wire.Client, maxPage int64) (*Index, error) {
	if address == "" {
		address = PyPI
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("read address of the index %q: want one such as %s", address, PyPI)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	u.RawQuery, u.Fragment = "", ""
	if maxPage <= 0 {
		maxPage = DefaultMaxPage
	}
	return &Index{base: u, client: client, maxPage: maxPage, large: make(chan struct{}, 1)}, nil
}

// Address is the index's, with a slash at its end.
func (x *Index) Address() string { return x.base.String() }

// Validators are what an upstream gave with a page, to ask whether it changed.
type Validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// Answer is an upstream's answer about one project.
type Answer struct {
	NotModified bool          // the page is the one that the validators came with; Project is nil
	Project     *pypi.Project // LastSerial is the largest that page or header states
	Refused     []pypi.Refusal
	Validators  Validators
}

// Project asks for a project's page. header, where it is not nil, is called as
// soon as the upstream has answered at all. Every error is a *wire.Problem: of
// cause Gone where the project is not there, Lie where the answer is no page of
// this project's (it wraps pypi.ErrNotIndex and the like).
func (x *Index) Project(ctx context.Context, name pypi.Name, v Validators, header func()) (*Answer, error) {
	h := http.Header{"Accept": {accept}, "Accept-Encoding": {"gzip"}}
	for k, values := range x.header {
		h[k] = values
	}
	if v.ETag != "" {
		h.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" {
		h.Set("If-Modified-Since", v.LastModified)
	}
	address := x.base.JoinPath(string(name)).String() + "/"
	resp, err := x.client.Get(ctx, http.MethodGet, address, h)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or of no use
	if header != nil {
		header()
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && v != Validators{}:
		return &Answer{NotModified: true, Validators: v}, nil
	case resp.StatusCode != http.StatusOK:
		return nil, wire.StatusProblem(resp, address)
	}
	body, done, err := x.read(resp)
	defer done()
	if err != nil {
		return nil, problem(address, err)
	}
	a := &Answer{Validators: Validators{ETag: validator(resp, "ETag"), LastModified: validator(resp, "Last-Modified")}}
	if a.Project, a.Refused, err = decode(resp, body, name); err != nil {
		return nil, problem(address, err)
	}
	if n, err := strconv.ParseInt(resp.Header.Get("X-PyPI-Last-Serial"), 10, 64); err == nil && n > a.Project.LastSerial {
		a.Project.LastSerial = n
	}
	return a, nil
}

// validator reads a header that is to be kept and sent back. One that is long, or
// that could not be sent, is as good as none.
func validator(resp *http.Response, key string) string {
	value := resp.Header.Get(key)
	if len(value) > 512 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return value
}

// decode reads the page in the form that the upstream says it has.
func decode(resp *http.Response, body []byte, name pypi.Name) (*pypi.Project, []pypi.Refusal, error) {
	form, ok := pypi.FormOf(resp.Header.Get("Content-Type"))
	base := resp.Request.URL
	switch {
	case ok && form.IsJSON(), !ok && isPlainJSON(resp):
		return pypi.DecodeProjectJSON(body, name, base)
	case ok && !leadsTo(base, name):
		return nil, nil, fmt.Errorf("%w: the request for %s was redirected to %s", pypi.ErrWrongProject, name, base.Redacted())
	case ok:
		return pypi.DecodeProjectHTML(body, name, base)
	}
	return nil, nil, fmt.Errorf("%w: it has the type %.100q", pypi.ErrNotIndex, resp.Header.Get("Content-Type"))
}

// leadsTo tells whether an address may be that of a project's page. An HTML page
// does not state its project, and some indexes redirect what they do not know to
// their root list or to another project: that would delete files.
func leadsTo(u *url.URL, name pypi.Name) bool {
	for part := range strings.SplitSeq(u.Path, "/") {
		if n, err := pypi.ParseName(part); err == nil && n == name {
			return true
		}
	}
	return false
}

// isPlainJSON takes application/json too, which some mirrors of static files say.
func isPlainJSON(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

var errTooLarge = errors.New("the page is too large")

// read unpacks a body, and gives up where it grows beyond the limit. A large one
// waits until no other is in memory; done says that this one is not any more.
func (x *Index) read(resp *http.Response) (body []byte, done func(), err error) {
	done = func() {}
	var r io.Reader = io.LimitReader(resp.Body, x.maxPage+1)
	switch c := strings.ToLower(resp.Header.Get("Content-Encoding")); c {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, done, fmt.Errorf("unpack page: %w", err)
		}
		r = io.LimitReader(z, x.maxPage+1)
	default:
		return nil, done, fmt.Errorf("the page comes under the coding %.40q, which was not asked for", c)
	}
	if body, err = io.ReadAll(io.LimitReader(r, smallPage)); err != nil {
		return nil, done, err
	}
	if len(body) == smallPage {
		ctx := resp.Request.Context()
		select {
		case x.large <- struct{}{}:
			done = func() { <-x.large }
		case <-ctx.Done():
			return nil, done, ctx.Err()
		}
		rest, err := io.ReadAll(r)
		if err != nil {
			return nil, done, err
		}
		body = append(body, rest...)
	}
	if int64(len(body)) > x.maxPage {
		return nil, done, fmt.Errorf("%w: more than %d MB", errTooLarge, x.maxPage>>20)
	}
	return body, done, nil
}

func problem(address string, err error) error {
	var p *wire.Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, pypi.ErrTruncated):
		return &wire.Problem{Cause: wire.Cut, URL: address, Err: err}
	}
	return &wire.Problem{Cause: wire.Lie, URL: address, Err: err}
}

package link

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
)

// A page is judged by no more than its first portalPage bytes, or by as many links
// as show that it is an index.
const (
	portalPage = 64 << 10
	enough     = 3
)

var errPage = errors.New("it is an index")

// passage asks the upstream's host by plain http, where a portal can answer in its
// place, and tells whether one did. What the answer says of the time is told too.
func (p *Prober) passage(ctx context.Context, met func(Observation)) {
	plain := *p.index
	if plain.Scheme == "https" {
		plain.Scheme, plain.Host = "http", plain.Hostname()
		if strings.Contains(plain.Host, ":") {
			plain.Host = "[" + plain.Host + "]"
		}
	}
	known, date := p.read(ctx, plain.String())
	met(Observation{About: Passage, Probe: true, Known: known})
	if !date.IsZero() {
		met(p.clock(date))
	}
}

// read asks for an index and tells whether one could have answered so: No where a
// portal did. date is the answer's; zero where there is none.
func (p *Prober) read(ctx context.Context, address string) (known Known, date time.Time) {
	// A portal is near; who else is silent has been silent to Ask already.
	ctx, cancel := context.WithTimeout(ctx, p.patience()/2)
	defer cancel()
	header := accept()
	header.Set("Range", "bytes=0-4095") // who heeds it saves us the rest
	header.Set("Accept-Encoding", "identity")
	resp, err := p.Client.Peek(ctx, address, header)
	if err != nil {
		return CannotTell, time.Time{}
	}
	defer func() { _ = resp.Body.Close() }() // what was read is enough
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		date = t
	}
	switch code := resp.StatusCode; {
	case code == http.StatusNetworkAuthenticationRequired:
		return No, date
	case code >= 300 && code < 400:
		return elsewhere(address, resp), date
	case code != http.StatusOK && code != http.StatusPartialContent:
		return CannotTell, date
	case isHTML(resp):
		return judgePage(io.LimitReader(resp.Body, portalPage)), date
	}
	return Yes, date
}

// elsewhere judges a redirect: an index may send us to another scheme, to another
// port, or to a host above or below its own; a portal sends us to itself.
func elsewhere(address string, resp *http.Response) Known {
	from, err := url.Parse(address)
	if err != nil {
		return CannotTell
	}
	to, err := from.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" || to.Host == "" {
		return CannotTell
	}
	a, b := strings.ToLower(from.Hostname()), strings.ToLower(to.Hostname())
	if a == b || strings.HasSuffix(a, "."+b) || strings.HasSuffix(b, "."+a) {
		return Yes
	}
	return No
}

// judgePage tells whether a web page is an index: an old one speaks HTML only.
func judgePage(r io.Reader) Known {
	links := 0
	_, err := pypi.DecodeListHTML(r, func(pypi.ListEntry) error {
		if links++; links >= enough {
			return errPage
		}
		return nil
	})
	switch {
	case err == nil, errors.Is(err, errPage), errors.Is(err, pypi.ErrTruncated) && links > 0:
		return Yes
	case errors.Is(err, pypi.ErrNotIndex):
		return No
	}
	return CannotTell
}

func isHTML(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && (kind == "text/html" || kind == "application/xhtml+xml")
}

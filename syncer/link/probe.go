package link

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/wire"
)

// Client sends the probes' requests, by the rules of all others: *wire.Client does.
type Client interface {
	// Get and Peek give the head of an answer, and else a *wire.Problem. Peek does
	// not follow redirects.
	Get(ctx context.Context, method, address string, header http.Header) (*http.Response, error)
	Peek(ctx context.Context, address string, header http.Header) (*http.Response, error)
}

// Resolver looks names up: *net.Resolver does.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// DefaultPatience is how long one probe may take.
const DefaultPatience = 8 * time.Second

// oldest is a moment before which no box can have run this program.
var oldest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Prober looks at the way to the upstream. It asks nobody but the upstream itself,
// and nothing by itself: Round and Ask are to be called while something is wrong.
// It is safe for concurrent use.
type Prober struct {
	Client   Client
	Resolver Resolver         // nil: net.DefaultResolver
	Root     string           // where /sys and /proc are; "": /
	Built    time.Time        // the clock cannot be right before; zero: oldest
	Patience time.Duration    // for one probe; 0: DefaultPatience
	Now      func() time.Time // nil: the clock

	index *url.URL
}

// NewProber makes a prober for the index at an address that was checked before.
// One that cannot be read is a fault that each round finds.
func NewProber(index string, client Client) *Prober {
	u, err := url.Parse(index)
	if err != nil {
		u = &url.URL{}
	}
	return &Prober{Client: client, index: u}
}

// Round looks at what may be wrong, from the cable outwards, and tells met each
// thing as soon as it is known. v is the verdict that called for it. It returns
// when all has been looked at, or ctx has ended.
func (p *Prober) Round(ctx context.Context, v Verdict, met func(Observation)) {
	if host := p.index.Hostname(); !loopback(host) {
		met(LookCarrier(p.root()))
		met(LookRoute(p.root(), host))
	}
	if o := p.clock(time.Time{}); o.Known != CannotTell {
		met(o)
	}
	o := p.Ask(ctx)
	met(o)
	switch {
	case ctx.Err() != nil:
		return
	case o.Fault == Lookup:
		met(p.lookup(ctx))
	case o.Fault != None && o.Fault != LoginWanted:
		p.passage(ctx, met)
	}
	if v.Files != "" && ctx.Err() == nil {
		met(p.askFiles(ctx, v.Files))
	}
}

// Ask asks the index for the head of its list of projects. An answer that an index
// would not give is a fault, even where its status says that all is well.
func (p *Prober) Ask(ctx context.Context) Observation {
	address := p.index.String()
	began := time.Now()
	resp, o := p.head(ctx, address)
	if resp == nil {
		return o
	}
	o.Answered = max(time.Since(began), 1)
	if o.Fault == None && resp.StatusCode == http.StatusOK && isHTML(resp) {
		if resp.Request != nil {
			address = resp.Request.URL.String() // where a redirect led
		}
		if known, _ := p.read(ctx, address); known == No {
			o.Fault, o.Detail = LoginWanted, "a web page came where an index was expected"
		}
	}
	return o
}

// askFiles asks the host of the files for a sign of life.
func (p *Prober) askFiles(ctx context.Context, address string) Observation {
	_, o := p.head(ctx, address)
	return o
}

// head sends a HEAD. The response is nil where none came; its body is closed.
func (p *Prober) head(ctx context.Context, address string) (*http.Response, Observation) {
	asked, cancel := context.WithTimeout(ctx, p.patience())
	defer cancel()
	resp, err := p.Client.Get(asked, http.MethodHead, address, accept())
	if err != nil && asked.Err() != nil && ctx.Err() == nil {
		err = &wire.Problem{Cause: wire.Stalled, URL: address, Err: asked.Err()}
	}
	if err == nil {
		_ = resp.Body.Close() // the answer to a HEAD has none
		if resp.StatusCode >= http.StatusInternalServerError {
			err = wire.StatusProblem(resp, address)
		}
	}
	o := Of(p.index.String(), address, err)
	o.Probe = true
	return resp, o
}

// lookup asks for the addresses of the index's name.
func (p *Prober) lookup(ctx context.Context) Observation {
	o := Observation{About: Names, Probe: true}
	host := p.index.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return o
	}
	var resolver Resolver = net.DefaultResolver
	if p.Resolver != nil {
		resolver = p.Resolver
	}
	asked, cancel := context.WithTimeout(ctx, p.patience())
	defer cancel()
	_, err := resolver.LookupHost(asked, host)
	switch {
	case err == nil:
		o.Known = Yes
	case ctx.Err() == nil:
		o.Known, o.Detail = No, err.Error()
	}
	return o
}

// clock tells whether our clock is plausible. date is what another host says that
// time it is; zero where none was asked.
func (p *Prober) clock(date time.Time) Observation {
	now, built := time.Now(), p.Built
	if p.Now != nil {
		now = p.Now()
	}
	if built.IsZero() {
		built = oldest
	}
	o := Observation{About: Clock, Probe: true}
	off := now.Sub(date.Round(0))
	switch {
	case now.Before(built):
		o.Known, o.Detail = No, "the clock is before "+built.Format(time.DateOnly)+", when this program was made"
	case !date.IsZero() && (off > 24*time.Hour || off < -24*time.Hour):
		o.Known, o.Detail = No, "another host says that it is "+date.Format(time.DateTime)
	case !date.IsZero():
		o.Known = Yes
	}
	return o
}

func (p *Prober) root() string {
	if p.Root == "" {
		return "/"
	}
	return p.Root
}

func (p *Prober) patience() time.Duration {
	if p.Patience > 0 {
		return p.Patience
	}
	return DefaultPatience
}

// accept asks for what the engine asks for.
func accept() http.Header {
	return http.Header{"Accept": {pypi.ContentTypeJSON + ", " + pypi.ContentTypeHTML + ";q=0.2, " + pypi.ContentTypeLegacyHTML + ";q=0.1"}}
}

// loopback tells whether a host is this machine, which needs no cable.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || err != nil && (strings.EqualFold(host, "localhost") || host == "")
}

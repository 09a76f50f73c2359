package link

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cheeseboard/syncer/wire"
)

const (
	testIndex = "https://pypi.example/simple/"
	testPlain = "http://pypi.example/simple/" // an index without TLS
	testFile  = "https://files.example/a/stilton-1.0.whl"
)

// world is a network in which things break: a Client and a Resolver, and a tree
// of /sys and /proc.
type world struct {
	t        *testing.T
	root     string
	recorder Recorder // of the line over it; nil: none

	mu                         sync.Mutex
	unplugged, noRoute, noName bool
	portal                     bool
	wrongClock                 time.Duration // how far our clock is off
	index, files               Fault
	latency                    time.Duration
	lineRate                   int64 // bytes per second of files; 0: fast
	asked                      int   // requests that left the box
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, root: t.TempDir()}
	w.set(func(*world) {})
	return w
}

// set changes the world, and its tree of files.
func (w *world) set(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
	carrier, state, routes := "1\n", "up\n", routeHead+routeDefault+routeLAN
	if w.noRoute {
		routes = routeHead + routeLAN
	}
	if w.unplugged {
		carrier, state, routes = "0\n", "down\n", routeHead
	}
	writeTree(w.t, w.root, map[string]string{
		"sys/class/net/lo/carrier":              "1\n",
		"sys/class/net/lo/operstate":            "unknown\n",
		"sys/class/net/eth0/carrier":            carrier,
		"sys/class/net/eth0/operstate":          state,
		"sys/class/net/eth0/type":               "1\n",
		"sys/class/net/eth0/device/uevent":      "",
		"sys/class/net/docker0/bridge/priority": "",
		"sys/class/net/docker0/carrier":         "1\n",
		"proc/net/route":                        routes,
	})
}

const (
	routeHead    = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	routeDefault = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
	routeLAN     = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)

func writeTree(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.wrongClock)
}

func (w *world) LookupHost(_ context.Context, host string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.noName || w.noRoute || w.unplugged {
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	}
	return []string{"192.0.2.7"}, nil
}

func (w *world) Peek(ctx context.Context, address string, header http.Header) (*http.Response, error) {
	return w.send(ctx, http.MethodGet, address, header, false)
}

func (w *world) Get(ctx context.Context, method, address string, header http.Header) (*http.Response, error) {
	return w.send(ctx, method, address, header, true)
}

func (w *world) send(ctx context.Context, method, address string, header http.Header, follow bool) (*http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, &wire.Problem{Cause: wire.Lie, URL: address, Err: err}
	}
	fault, wait := w.meets(u)
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, &wire.Problem{Cause: wire.Canceled, URL: address, Err: ctx.Err()}
		}
	}
	if p := problemOf(fault, address); p != nil {
		return nil, p
	}
	answer := func(code int, kind, body string) (*http.Response, error) {
		if method == http.MethodHead {
			body = ""
		}
		return &http.Response{
			StatusCode: code, Body: io.NopCloser(strings.NewReader(body)),
			Header:  http.Header{"Content-Type": {kind}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
			Request: &http.Request{Method: method, URL: u, Header: header},
		}, nil
	}
	switch {
	case fault == LoginWanted:
		return answer(http.StatusOK, "text/html; charset=utf-8", loginPage)
	case fault == Status:
		return answer(http.StatusServiceUnavailable, "text/plain", "")
	case u.Scheme == "http" && testIndex == strings.Replace(address, "http:", "https:", 1) && !follow:
		resp, err := answer(http.StatusMovedPermanently, "text/html", "")
		resp.Header.Set("Location", testIndex)
		return resp, err
	}
	return answer(http.StatusOK, "application/vnd.pypi.simple.v1+json", `{"meta":{"api-version":"1.0"},"projects":[]}`)
}

const loginPage = `<!DOCTYPE html><html><head><title>Hotel Wi-Fi</title></head><body><h1>Welcome</h1>
<form action="/login"><input name="room"></form><a href="/terms">Terms</a></body></html>`

// meets tells how a request ends, and after what time.
func (w *world) meets(u *url.URL) (Fault, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fault := w.index
	if u.Host == "files.example" {
		fault = w.files
	}
	switch {
	case w.unplugged, w.noRoute:
		if w.noName {
			return Lookup, 0
		}
		return Unreachable, 3 * time.Second
	case w.noName:
		return Lookup, 5 * time.Second
	}
	w.asked++
	switch {
	case w.portal && u.Scheme == "http":
		return LoginWanted, 50 * time.Millisecond
	case w.portal:
		return Untrusted, 50 * time.Millisecond
	case w.wrongClock < 0 && u.Scheme == "https":
		return NotYetValid, 50 * time.Millisecond
	case w.wrongClock > 0 && u.Scheme == "https":
		return Expired, 50 * time.Millisecond
	case fault == Stalled:
		return Stalled, 30 * time.Second
	case fault == Unreachable:
		return fault, 20 * time.Millisecond
	}
	return fault, w.latency
}

// problemOf is what wire gives for a fault; nil for those that come as answers.
func problemOf(f Fault, address string) error {
	p := &wire.Problem{URL: address}
	switch f {
	case None, Status, LoginWanted:
		return nil
	case Odd:
		p.Cause, p.Err = wire.Lie, errors.New("redirect refused")
	case Cut:
		p.Cause, p.Err = wire.Cut, io.ErrUnexpectedEOF
	case Unreachable:
		p.Cause, p.Err = wire.Unreachable, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}
	case Lookup:
		p.Cause, p.Err = wire.Unreachable, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "server misbehaving", Name: "pypi.example"}}
	case Stalled:
		p.Cause = wire.Stalled
	case NotYetValid:
		p.Cause, p.Err = wire.Certificate, expired(time.Now().Add(time.Hour))
	case Expired:
		p.Cause, p.Err = wire.Certificate, expired(time.Now().Add(-time.Hour))
	case Untrusted:
		p.Cause, p.Err = wire.Certificate, x509.UnknownAuthorityError{}
	}
	return p
}

func expired(notBefore time.Time) error {
	return x509.CertificateInvalidError{Cert: &x509.Certificate{NotBefore: notBefore}, Reason: x509.Expired}
}

// request is what a client makes the box ask, and how the engine sees it end.
func (w *world) request(ctx context.Context, index, address string) Observation {
	began := time.Now()
	resp, err := w.Get(ctx, http.MethodGet, address, nil)
	if err == nil && resp.StatusCode >= 400 {
		err = wire.StatusProblem(resp, address)
	} else if err == nil && isHTML(resp) {
		err = &wire.Problem{Cause: wire.Lie, URL: address, Err: errors.New("not an index")}
	}
	o := Of(index, address, err)
	if o.About == Index && err == nil {
		o.Answered = time.Since(began)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.About == Files && err == nil {
		o.Rate = w.lineRate
	}
	return o
}

// watch runs a line over a world inside a synctest bubble, as the engine does: LAN
// clients ask every few seconds while it is up, and probes go when they are due.
// What do does is over when all has ended.
func watch(t *testing.T, w *world, index string, do func(*Line)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &Line{Now: w.now, Recorder: w.recorder, Boot: Boot{ID: "test", At: time.Now()}}
	p := NewProber(index, w)
	p.Resolver, p.Root, p.Now, p.Built = w, w.root, w.now, time.Now().Add(-time.Hour)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		for ctx.Err() == nil {
			changed, v := l.Changed(), l.Verdict()
			var due <-chan time.Time
			if !v.Probe.IsZero() {
				due = time.After(v.Probe.Sub(w.now()))
			}
			select {
			case <-ctx.Done():
			case <-changed:
			case <-due:
				p.Round(ctx, v, l.Met)
			}
		}
	})
	for _, address := range []string{index + "stilton/", testFile} {
		work.Go(func() {
			tick := time.NewTicker(3 * time.Second)
			defer tick.Stop()
			for ctx.Err() == nil {
				if l.Up() {
					late := time.AfterFunc(1500*time.Millisecond, func() { l.Met(LateFrom(index)) })
					l.Met(w.request(ctx, index, address))
					late.Stop()
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	do(l)
}

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cheeseboard/board/watchdog"
	"cheeseboard/storage"
)

const watchdogKey = "watchdog"

// watch keeps the hardware watchdog quiet as long as this box is of use, until ctx ends.
func (a *App) watch(ctx context.Context, address net.Addr) {
	err := watchdog.Run(ctx, watchdog.Options{
		Open: a.Watchdog, Log: a.log,
		Checks: a.proofs(address),
	})
	if err != nil {
		a.log.Error("the hardware watchdog is not kept", "reason", err)
	}
}

// proofs are what shows that this box is of use.
func (a *App) proofs(address net.Addr) []watchdog.Check {
	return []watchdog.Check{
		{Name: "request", Try: a.paused.spares(asksSelf(address))},
		{Name: "store", Try: a.paused.spares(a.writesStore)},
	}
}

// pauseBound is how long the rooms may be closed before that is taken for a hang. What is
// left of a move is copied meanwhile, and metadata may be begun anew.
const pauseBound = 30 * time.Minute

// pause is while the rooms are closed for a job. The zero value is none.
type pause struct {
	mu    sync.Mutex
	since time.Time
	begun chan struct{} // closed when the next one begins; nil: nobody waits for that
	on    bool
}

func (p *pause) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on, p.since = true, time.Now()
	if p.begun != nil {
		close(p.begun)
		p.begun = nil
	}
}

func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on = false
}

// look tells whether there is a pause that is not too long, and where there is none,
// what tells of the next one.
func (p *pause) look() (on bool, next <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.on {
		return time.Since(p.since) < pauseBound, nil
	}
	if p.begun == nil {
		p.begun = make(chan struct{})
	}
	return false, p.begun
}

// spares makes a check that counts as done during a pause, in which it would wait: one
// that is under way is ended when a pause begins.
func (p *pause) spares(try func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		on, next := p.look()
		if on {
			return nil
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var cut atomic.Bool
		ended, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			select {
			case <-next:
				cut.Store(true)
				cancel()
			case <-ended:
			}
		}()
		err := try(ctx)
		close(ended)
		<-watched
		if cut.Load() {
			return nil
		}
		return err
	}
}

// asksSelf asks this box how it is, as others do: over the network, by the same
// listener. Whatever the answer says, somebody is there: a box that is full, or whose
// metadata are damaged, is not mended by a restart.
func asksSelf(address net.Addr) func(context.Context) error {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // by no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ask := healthURL(address)
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, ask, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return fmt.Errorf("ask %s: %w", ask, err)
		}
		return nil
	}
}

// healthURL is where a box that listens on an address tells itself how it is.
func healthURL(address net.Addr) string {
	at := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	if tcp, ok := address.(*net.TCPAddr); ok {
		at.Port = tcp.Port
		if !tcp.IP.IsUnspecified() {
			at.IP, at.Zone = tcp.IP, tcp.Zone
		}
	}
	u := url.URL{Scheme: "http", Host: at.String(), Path: "/healthz"} // which escapes a zone
	return u.String()
}

// restartAfter is how long a box runs at least before it is restarted since its disk
// gives errors: what is here is served meanwhile, and a card that dies must not keep a
// machine starting over and over.
const restartAfter = time.Hour

// restartMends tells whether a restart may help against an error of a write, in a box
// that has been open for so long. A full disk is no reason for one. Nor is one that
// became read-only: what is here is served as well without; whoever keeps the machine has
// the disk checked. A write that hangs gives no error.
func restartMends(err error, open time.Duration) bool {
	switch {
	case err == nil, errors.Is(err, storage.ErrFull), errors.Is(err, syscall.EROFS):
		return false
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	return open >= restartAfter
}

// writesStore writes a small value, through all that stands between here and the card.
func (a *App) writesStore(ctx context.Context) error {
	_, leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if a.Store.ReadOnly() {
		return nil
	}
	err = a.Store.SetValue(watchdogKey, []byte(time.Now().UTC().Format(time.RFC3339)))
	if !restartMends(err, time.Since(a.opened)) {
		return nil // the board of health tells of it
	}
	return err
}

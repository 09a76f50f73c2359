package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A crowd: wrk with many connections, as many more that never come to the end of
// their request, and between them honest clients who want a page.
const (
	crowdConnections = 2000
	lorises          = 2000
	honest           = 10
	honestPause      = 100 * time.Millisecond
	lorisPause       = time.Second // between two bytes
)

// crowd measures what the honest clients get meanwhile, and what the box needs.
func (b *bench) crowd(ctx context.Context, seconds int) error {
	page := "/simple/" + small + "/"
	headers := append(append([]string(nil), accept...), packing)
	if _, _, err := fetch(ctx, b.box.root+page, headers...); err != nil {
		return err
	}
	goroutines, err := b.goroutines(ctx)
	if err != nil {
		return err
	}
	before := memoryOf(b.box.pids)
	say("%d connections of wrk, %d slow ones and %d honest clients, for %d s", crowdConnections, lorises, honest, seconds)
	watcher := watch(b.box.pids)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	var cut atomic.Int64
	for range lorises {
		background.Go(func() { loris(ctx, strings.TrimPrefix(b.box.root, "http://"), &cut) })
	}
	clients := &honestClients{address: b.box.root + page}
	for range honest {
		background.Go(func() { clients.ask(ctx, headers) })
	}
	load := load{path: page, headers: headers, connections: crowdConnections, seconds: seconds}
	seen, wrkErr := load.run(ctx, b.box)
	stop()
	background.Wait()
	most := watcher.stop()
	left, err := b.left(context.WithoutCancel(ctx), goroutines)
	if err = errors.Join(wrkErr, err); err != nil {
		return err
	}
	return clients.report(os.Stdout, seen, aftermath{before, most, memoryOf(b.box.pids), left, cut.Load()})
}

// loris opens a connection and sends a request byte by byte, and again when it is
// closed. Its address is another one than that of honest clients.
func loris(ctx context.Context, address string, cut *atomic.Int64) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for ctx.Err() == nil {
		c, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			pause(ctx, lorisPause)
			continue
		}
		for _, b := range []byte("GET /simple/ten-files/ HTTP/1.1\r\nHost: box\r\nAccept: " + strings.Repeat("a", 1000)) {
			if _, err := c.Write([]byte{b}); err != nil || !pause(ctx, lorisPause) {
				break
			}
		}
		_ = c.Close() // it may be closed already: that is what is measured
		if ctx.Err() == nil {
			cut.Add(1)
		}
	}
}

// pause waits; false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// honestClients ask for a page again and again, half of them with a connection of
// its own for each request.
type honestClients struct {
	address string
	mu      sync.Mutex
	asking  int
	took    []time.Duration
	failed  []error
}

func (h *honestClients) ask(ctx context.Context, headers []string) {
	h.mu.Lock()
	h.asking++
	anew := h.asking%2 == 0
	h.mu.Unlock()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: anew, DialContext: dialer.DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	for pause(ctx, honestPause) {
		begun := time.Now()
		err := once(ctx, client, h.address, headers)
		if ctx.Err() != nil {
			return // it was not given the time
		}
		h.mu.Lock()
		if h.took = append(h.took, time.Since(begun)); err != nil {
			h.failed = append(h.failed, err)
		}
		h.mu.Unlock()
	}
}

func once(ctx context.Context, client *http.Client, address string, headers []string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	for _, line := range headers {
		name, value := cutHeader(line)
		r.Header.Set(name, value)
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return err
}

// goroutines asks the box how many it has.
func (b *bench) goroutines(ctx context.Context) (int, error) {
	text, _, err := fetch(ctx, b.box.root+"/metrics")
	if err != nil {
		return 0, err
	}
	const name = "\ncheeseboard_goroutines "
	_, rest, is := strings.Cut(string(text), name)
	if !is {
		return 0, fmt.Errorf("/metrics has no%s", name)
	}
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(line, 64)
	return int(n), err
}

// left waits until the box has no more goroutines than before, and tells how many
// more it has where it does not come to that.
func (b *bench) left(ctx context.Context, before int) (more int, err error) {
	err = waitFor(ctx, func() error {
		now, err := b.goroutines(ctx)
		if more = now - before; err == nil && more > 0 {
			err = errStill
		}
		return err
	})
	if errors.Is(err, errStill) {
		err = nil // it is told
	}
	return max(0, more), err
}

var errStill = errors.New("goroutines are left")

// aftermath is what the crowd meant to the box.
type aftermath struct {
	before, most, after memory
	left                int   // goroutines that it had not had before
	cut                 int64 // slow connections that it closed
}

func (h *honestClients) report(w io.Writer, seen outcome, m aftermath) error {
	if len(h.took) == 0 {
		return errors.New("no honest client was answered")
	}
	slices.Sort(h.took)
	at := func(percent int) float64 { return float64(h.took[(len(h.took)-1)*percent/100].Microseconds()) / 1000 }
	text := fmt.Sprintf("wrk with %d connections: %.0f requests a second, p50 %v, p99 %v\n", crowdConnections, seen.rate, seen.p50, seen.p99)
	text += fmt.Sprintf("%d slow connections were cut off %d times\n", lorises, m.cut)
	text += fmt.Sprintf("%d requests of honest clients: p50 %.1f ms, p99 %.1f ms, at most %.1f ms; %d failed\n", len(h.took), at(50), at(99), at(100), len(h.failed))
	text += fmt.Sprintf("memory: %.1f MB before, %.1f MB at most (%.1f anonymous), %.1f MB after\n", mega(m.before.share), mega(m.most.share), mega(m.most.own), mega(m.after.share))
	for i, err := range h.failed {
		if i < 5 {
			text += fmt.Sprintf("  %v\n", err)
		}
	}
	text += fmt.Sprintf("\ncrowd_p50_ms: %.1f\ncrowd_p99_ms: %.1f\ncrowd_max_ms: %.1f\ncrowd_requests: %d\ncrowd_failed: %d\ncrowd_cut: %d\ncrowd_goroutines_left: %d\ncrowd_wrk_rate: %.0f\ncrowd_mb: %.1f\ncrowd_anon_mb: %.1f\ncrowd_after_mb: %.1f\n",
		at(50), at(99), at(100), len(h.took), len(h.failed), m.cut, m.left, seen.rate, mega(m.most.share), mega(m.most.own), mega(m.after.share))
	_, err := io.WriteString(w, text)
	return err
}

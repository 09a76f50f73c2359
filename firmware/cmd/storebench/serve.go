package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"cheeseboard/storage/population"
	"cheeseboard/storage/pypi"
)

// upstream is the population's index: it gives a page, or says that it has not
// changed since.
type upstream struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}
}

func startUpstream(p *population.Population) (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: l, done: make(chan struct{})}
	u.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := pypi.Name(strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple/"), "/"))
		i := sort.Search(p.Len(), func(i int) bool { return p.Name(i) >= name })
		switch {
		case i == p.Len() || p.Name(i) != name:
			http.NotFound(w, r)
		case r.Header.Get("If-None-Match") != "":
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Type", pypi.ContentTypeJSON)
			w.Header().Set("ETag", p.ETag(i, 0))
			_, _ = w.Write(pypi.AppendProjectJSON(nil, p.Project(i, 0), nil)) // a client that is gone is told of elsewhere
		}
	})}
	go func() {
		defer close(u.done)
		_ = u.server.Serve(l) // its error says that it was closed
	}()
	return u, nil
}

// address is that of its simple index, as the syncer writes it down.
func (u *upstream) address() string { return "http://" + u.listener.Addr().String() + "/simple/" }

func (u *upstream) close() error {
	err := u.server.Close()
	<-u.done
	return err
}

const (
	clients  = 8
	requests = 4000
)

// asked gives the projects that clients will ask for, with what stays in a box that
// serves them: the addresses of their files.
func (b *bench) asked(ctx context.Context) error {
	list := append(b.requests(), b.projects/2, b.population.LargestProject())
	slices.Sort(list)
	m, err := b.start(ctx, "asked", "ingest", ingestLimit, &childOptions{dir: b.data("all"), group: ingestGroup, addresses: true},
		b.feed(func(yield func(i, more int) error) error {
			for _, i := range slices.Compact(list) {
				if err := yield(i, 0); err != nil {
					return err
				}
			}
			return nil
		}))
	if err != nil {
		return err
	}
	b.report.row("asked for by clients", "%d projects get their addresses; %s", m.Pages, m.memory())
	return nil
}

// requests are the projects that clients ask for.
func (b *bench) requests() []int {
	chance := rand.New(rand.NewPCG(seed, 3))
	list := make([]int, requests)
	for i := range list {
		list[i] = chance.IntN(b.projects)
	}
	return list
}

// serving starts cheeseboard itself over what was ingested: twice, first with
// nothing in the kernel's memory, and with what the last writes have left to merge;
// then with that done. The upstream says of each page that it has not changed.
func (b *bench) serving(ctx context.Context) error {
	for _, cold := range []bool{true, false} {
		var err error
		if cold {
			err = forget(b.data("all"))
		} else {
			_, err = b.start(ctx, "settle", "settle", ingestLimit, &childOptions{dir: b.data("all")}, nil)
		}
		if err != nil {
			return err
		}
		s, err := b.serve(ctx)
		if err != nil {
			return err
		}
		state := "warm"
		if cold {
			state = "cold"
			b.report.key("first_answer_ms", s.first)
			b.report.key("root_list_ms", s.list)
			b.report.key("serve_anon_merging_mb", mega(s.usual))
		} else {
			b.report.key("first_answer_warm_ms", s.first)
			b.report.key("serve_anon_mb", mega(s.usual))
			b.report.key("serve_anon_largest_mb", mega(s.anon))
			b.report.key("serve_cgroup_mb", mega(s.peak))
			b.report.key("stop_ms", s.stop)
		}
		b.report.row("serving in 64 MiB, "+state, "first answer after %.0f ms; %d pages to %d clients: p50 %.1f ms, p99 %.1f ms", s.first, requests, clients, s.pages.P50, s.pages.P99)
		b.report.row("", "root list after %.0f ms, the largest page to all of them after %.0f ms; stopped after %.0f ms", s.list, s.largest, s.stop)
		b.report.row("", "anonymous %.1f MB before the largest page; with it %s", mega(s.usual), s.memory())
	}
	return nil
}

type served struct {
	measured
	first, list, stop, largest float64 // milliseconds
	pages                      spread
	usual                      int64 // anonymous memory in bytes, before the largest page
}

// serve runs cheeseboard until it has answered its clients.
func (b *bench) serve(ctx context.Context) (s served, err error) {
	cell, command, err := b.confine.wrap("serve", serveLimit, []string{b.box, "serve", "--data", b.data("all"), "--listen", "127.0.0.1:0",
		"--set", "upstream.url=" + b.upstream.address(), "--set", "storage.reserve=0", "--log-level", "error"})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, cell.close()) }()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	seen := watch(cmd.Process.Pid)
	asked := b.ask(ctx, &s, seen, bufio.NewReader(out), begun)
	seen.stop()
	s.anon, s.resident = seen.anon.Load(), seen.resident.Load()
	s.peak, s.kills = cell.peak()
	stopping := time.Now()
	err = cmd.Process.Signal(syscall.SIGTERM)
	err = errors.Join(asked, err, cmd.Wait())
	s.stop = milliseconds(stopping)
	if err != nil {
		err = fmt.Errorf("cheeseboard serve: %w (killed for want of memory: %d times)", err, s.kills)
	}
	return s, err
}

// ask waits until cheeseboard says where it is, and asks for pages.
func (b *bench) ask(ctx context.Context, s *served, seen *watcher, says *bufio.Reader, begun time.Time) error {
	index := ""
	for index == "" {
		line, err := says.ReadString('\n')
		if err != nil {
			return fmt.Errorf("wait for the address: %w", err)
		}
		_, index, _ = strings.Cut(strings.TrimSpace(line), "index: ")
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	if err := get(ctx, client, index+string(b.population.Name(b.projects/2))+"/"); err != nil {
		return err
	}
	s.first = milliseconds(begun)
	var mu sync.Mutex
	var failed error
	var names []string
	for _, i := range b.requests() {
		names = append(names, string(b.population.Name(i)))
	}
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			own, err := reads(names[c*requests/clients:(c+1)*requests/clients], func(n string) error { return get(ctx, client, index+n+"/") })
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			s.pages.P50, s.pages.P99 = s.pages.P50+own.P50/clients, max(s.pages.P99, own.P99)
		})
	}
	running.Wait()
	if failed != nil {
		return failed
	}
	at := time.Now()
	err := get(ctx, client, index)
	s.list = milliseconds(at)
	s.usual = seen.anon.Load()
	at = time.Now()
	largest := string(b.population.Name(b.population.LargestProject()))
	for range clients {
		running.Go(func() {
			if e := get(ctx, client, index+largest+"/"); e != nil {
				mu.Lock()
				defer mu.Unlock()
				err = errors.Join(err, e)
			}
		})
	}
	running.Wait()
	s.largest = milliseconds(at)
	return err
}

// get asks for a page as pip does.
func get(ctx context.Context, client *http.Client, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/vnd.pypi.simple.v1+json")
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	err = errors.Join(err, resp.Body.Close())
	if err == nil && (resp.StatusCode != http.StatusOK || n == 0) {
		err = fmt.Errorf("%s: %s, %d bytes", address, resp.Status, n)
	}
	return err
}

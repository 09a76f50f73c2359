package hardship

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// limit bounds whatever a test waits for: long enough for a loaded machine.
const limit = 10 * time.Minute

// silence is the stall time-out where an upstream that falls silent is tried: longer
// than an honest one on a loaded machine is silent.
const silence = config.Duration(8 * time.Second)

// upstream starts a server for an index, and closes it with the test.
func upstream(t testing.TB, index *upstreamtest.Index, prepare ...func(*upstreamtest.Server)) *upstreamtest.Server {
	t.Helper()
	server := upstreamtest.NewServer(index)
	for _, p := range prepare {
		p(server)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, server.Close()) })
	return server
}

// settings are those of a box in a new folder behind an upstream.
func settings(t testing.TB, up *upstreamtest.Server, projects ...string) app.Config {
	t.Helper()
	c := app.DefaultConfig()
	c.Data = filepath.Join(t.TempDir(), "data")
	c.Upstream.URL = up.IndexURL()
	c.Upstream.ConnectTimeout = config.Duration(20 * time.Second)
	c.Upstream.StallTimeout = config.Duration(20 * time.Second)
	c.Pull.Fresh = 0 // ask the upstream each time
	c.Sync.Projects = projects
	c.Sync.Python = []string{"3.12"}
	c.Sync.Platforms = []string{"any", "linux-x86_64"}
	c.Storage.Reserve = 0
	return c
}

// box is an open box with a listener.
type box struct {
	*app.App
	testing.TB
	url    string
	client *http.Client
	close  func()
}

// logTo is a log for the test's output, or for the handler that is given.
func logTo(t testing.TB, logs []slog.Handler) *slog.Logger {
	if len(logs) > 0 {
		return slog.New(logs[0])
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// open opens a box that is closed with the test, or before by close.
func open(t testing.TB, c app.Config, logs ...slog.Handler) *box {
	t.Helper()
	a, err := app.Open(c, logTo(t, logs))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(a.Handler())
	b := &box{App: a, TB: t, url: server.URL, client: server.Client()}
	open := true
	b.close = func() {
		if !open {
			return
		}
		open = false
		// The engine first: a client that waits for it must be let go.
		a.Engine.Close()
		server.Close()
		check(t, a.Close())
	}
	t.Cleanup(b.close)
	return b
}

// serve opens a box and runs it as `cheeseboard serve` does: passes on schedule,
// probes of the line. It is stopped with the test, or before by close.
func serve(t testing.TB, c app.Config, logs ...slog.Handler) *box {
	t.Helper()
	c.Serve.Listen = "127.0.0.1:0"
	a, err := app.Open(c, logTo(t, logs))
	must(t, err)
	return running(t, a)
}

// running runs an open box.
func running(t testing.TB, a *app.App) *box {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan net.Addr, 1)
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx, func(at net.Addr) { ready <- at }) }()
	b := &box{App: a, TB: t, client: &http.Client{Transport: &http.Transport{}}}
	open := true
	b.close = func() {
		if !open {
			return
		}
		open = false
		b.client.CloseIdleConnections()
		cancel()
		check(t, <-ended)
		check(t, a.Close())
	}
	t.Cleanup(b.close)
	select {
	case at := <-ready:
		b.url = "http://" + at.String()
	case err := <-ended:
		ended <- err
		t.Fatal("it does not serve")
	}
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// must ends the test with an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// timeout is a context that ends with the test or after limit.
func timeout(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// sync makes one pass and returns its summary and error.
func (b *box) sync(options ...app.SyncOptions) (syncer.Summary, error) {
	b.Helper()
	var o app.SyncOptions
	if len(options) > 0 {
		o = options[0]
	}
	var summary syncer.Summary
	err := b.Sync(timeout(b), o, func(e app.Event) {
		if e.Synced != nil {
			summary = *e.Synced
		}
	})
	return summary, err
}

// synced makes a pass that must succeed.
func (b *box) synced() syncer.Summary {
	b.Helper()
	s, err := b.sync()
	if err != nil {
		b.Fatalf("sync: %v\n%s", err, b.problems())
	}
	return s
}

// problems are those that the status names.
func (b *box) problems() problems {
	b.Helper()
	s, err := b.Status()
	must(b, err)
	return s.Sync.Problems
}

type problems []syncer.Problem

// of are those of a project.
func (p problems) of(project string) problems {
	var out problems
	for _, one := range p {
		if string(one.Project) == project {
			out = append(out, one)
		}
	}
	return out
}

func (p problems) String() string {
	s := ""
	for _, one := range p {
		s += string(one.Project) + " " + one.File + " [" + string(one.Cause) + "]: " + one.Reason + "\n"
	}
	return s
}

// sound proves the store with the verify that users have.
func (b *box) sound() {
	b.Helper()
	sound(b, b.Store)
}

func sound(t testing.TB, s *storage.Store) {
	t.Helper()
	progress, err := s.Verify(context.Background(), storage.VerifyOptions{
		Restart: true,
		Report:  func(f storage.Finding) { t.Errorf("verify: %s: %s %s: %s", f.Fault, f.Project, f.What, f.Detail) },
	})
	if err != nil || !progress.Completed {
		t.Errorf("verify: completed %t, error %v", progress.Completed, err)
	}
}

// holdings are the files of a project that are here, with the SHA-256 of their
// bytes; those of core metadata under the name with ".metadata".
func (b *box) holdings(project string) map[string]string {
	b.Helper()
	refs, err := b.Store.Held(pypi.Name(project))
	must(b, err)
	out := make(map[string]string)
	for digest, ref := range refs {
		f, _, err := b.Store.OpenFile(ref.Name, digest)
		must(b, err)
		h := sha256.New()
		_, err = io.Copy(h, f)
		must(b, err)
		must(b, f.Close())
		label := ref.Filename
		if ref.Metadata {
			label += ".metadata"
		}
		out[label] = hex.EncodeToString(h.Sum(nil))
	}
	return out
}

// names are the projects that the store knows.
func (b *box) names() []string {
	b.Helper()
	var out []string
	must(b, b.Store.Names(func(e pypi.ListEntry) bool { out = append(out, string(e.Name)); return true }))
	return out
}

// truth is what the upstream has under a label of holdings; "" where it has
// nothing.
func truth(x *upstreamtest.Index, label string) string {
	content, ok := x.Content(label)
	if !ok {
		stem := label[:max(0, len(label)-len(".metadata"))]
		if content, ok = x.Metadata(stem); !ok || label != stem+".metadata" {
			return ""
		}
	}
	return digestOf(content)
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// honest checks that all that is here of a project is the upstream's truth.
func (b *box) honest(x *upstreamtest.Index, project string) {
	b.Helper()
	for label, digest := range b.holdings(project) {
		if want := truth(x, label); want != digest {
			b.Errorf("%s holds %s with the sha256 %s, the upstream has %q", project, label, digest, want)
		}
	}
}

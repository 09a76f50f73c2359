package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/update"
)

var (
	releaseKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	ourKeys    = []ed25519.PublicKey{releaseKey.Public().(ed25519.PublicKey)}
)

// installer is an init that believes bundles for their signature, and installs nothing.
type installer struct {
	machine.Keeper // no more is asked for

	mu        sync.Mutex
	state     machine.State
	installed []string
	restarted []machine.How
}

func (i *installer) State() machine.State {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.state
}

func (i *installer) Update(_ context.Context, bundle io.Reader, _ machine.UpdateOptions, report func(machine.Progress)) (machine.Installed, error) {
	b, err := update.Open(bundle, ourKeys)
	if err == nil {
		_, err = io.Copy(io.Discard, bundle)
	}
	if err != nil {
		return machine.Installed{}, err
	}
	report(machine.Progress{Stage: "write", Done: b.Size, Total: b.Size})
	i.mu.Lock()
	defer i.mu.Unlock()
	i.installed = append(i.installed, b.Version.String())
	i.state.Waiting = &machine.Waiting{Version: b.Version.String(), Slot: 3}
	return machine.Installed{Version: b.Version.String(), Slot: 3}, nil
}

func (i *installer) Restart(how machine.How) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.restarted = append(i.restarted, how)
	return nil
}

// PIN takes the first passphrase, which nobody needs here.
func (i *installer) PIN(string) error { return nil }

// done is what was installed and how the machine was restarted since the last look.
func (i *installer) done() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := fmt.Sprint(i.installed, i.restarted)
	i.installed, i.restarted, i.state.Waiting = nil, nil, nil
	return text
}

// releaseBox is a box under such an init, whose releases come from a server.
func releaseBox(t *testing.T, releases string) (*App, *installer) {
	t.Helper()
	i := &installer{state: machine.State{Version: "1.2.0", Board: "test", Slot: 2}}
	socket := filepath.Join(t.TempDir(), "machine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: machine.NewHandler(i, nil)}}
	server.Start()
	t.Cleanup(server.Close)
	c := config.Default()
	c.Data, c.Update.Releases, c.Update.Hours, c.Storage.Reserve, c.Clock.Verify = t.TempDir(), releases, nil, 0, config.VerifyNever
	a, err := Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	a.UseMachine(machine.NewClient(socket))
	a.updates.keys = func() ([]ed25519.PublicKey, error) { return ourKeys, nil }
	return a, i
}

// testBundle is a bundle of a version with 384 KiB that do not compress.
func testBundle(t *testing.T, version string) (update.Release, []byte) {
	t.Helper()
	v, err := update.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	r := update.Release{Version: v, Board: "test"}
	image := make([]byte, 384<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(image) // it never fails
	scratch, err := os.Create(filepath.Join(t.TempDir(), "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := update.Write(&out, r, bytes.NewReader(image), scratch, releaseKey); err != nil {
		t.Fatal(err)
	}
	if err := scratch.Close(); err != nil {
		t.Fatal(err)
	}
	return r, out.Bytes()
}

// releaser serves an index and a bundle over a line that breaks.
type releaser struct {
	*httptest.Server
	mu     sync.Mutex
	index  []byte
	bundle []byte
	sent   atomic.Int64
	cuts   atomic.Int64 // answers that are still to be cut
}

func newReleaser(t *testing.T) *releaser {
	r := &releaser{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if req.URL.Path == "/dir/index.json" {
			_, _ = w.Write(r.index)
			return
		}
		w.Header().Set("ETag", `"one"`)
		c := &cutting{ResponseWriter: w, sent: &r.sent, left: 1 << 40}
		if r.cuts.Add(-1) >= 0 {
			c.left = 90 << 10
		}
		http.ServeContent(c, req, "", time.Time{}, bytes.NewReader(r.bundle))
		if c.left < 0 {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

type cutting struct {
	http.ResponseWriter
	sent *atomic.Int64
	left int64
}

func (c *cutting) Write(b []byte) (int, error) {
	if c.left -= int64(len(b)); c.left < 0 {
		return 0, errors.New("cut")
	}
	c.sent.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

// offers puts a release into the index.
func (r *releaser) offers(t *testing.T, version string, issued time.Time, change func(*update.Offer)) {
	t.Helper()
	release, raw := testBundle(t, version)
	sum := sha256.Sum256(raw)
	o := update.Offer{Version: release.Version, Board: "test", URL: "b/new.update", Length: int64(len(raw)), SHA256: hex.EncodeToString(sum[:]), Notes: "better"}
	if change != nil {
		change(&o)
	}
	index, err := update.WriteIndex(update.Index{Issued: issued, Releases: []update.Offer{o}}, releaseKey)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index, r.bundle = index, raw
}

// TestReleases takes a release over a line that breaks, goes on where it stopped, and
// installs it; then it meets everything that must not be believed.
func TestReleases(t *testing.T) {
	up := newReleaser(t)
	a, i := releaseBox(t, up.URL+"/dir/index.json")
	ctx := t.Context()
	day := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	up.offers(t, "1.3.0", day, nil)

	known, err := a.CheckReleases(ctx)
	if err != nil || known.Version != "1.3.0" || !known.Newer || known.Notes != "better" {
		t.Fatalf("%+v, %v", known, err)
	}
	if done := i.done(); done != "[] []" {
		t.Errorf("looking did %s", done)
	}
	up.cuts.Store(3)
	var events []Event
	if err := a.UpdateNow(ctx, UpdateOptions{}, func(e Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	if done := i.done(); done != "[1.3.0] [trial]" {
		t.Errorf("it did %s", done)
	}
	if sent, size := up.sent.Load(), known.Bytes; sent > size+size/10 {
		t.Errorf("%d bytes were sent for a bundle of %d: it does not go on where it stopped", sent, size)
	}
	if last := events[len(events)-1]; last.Updated == nil || !last.Updated.Restarting {
		t.Errorf("the last event is %+v", last)
	}
	if _, err := os.Stat(filepath.Join(a.Store.Dir(), updateFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the bundle is left: %v", err)
	}

	for name, test := range map[string]struct {
		do   func()
		want string
	}{
		"an older list":      {func() { up.offers(t, "1.4.0", day.Add(-time.Hour), nil) }, "was seen already"},
		"other bytes":        {func() { up.offers(t, "1.4.0", day, func(o *update.Offer) { o.SHA256 = strings.Repeat("00", 32) }) }, "thrown away"},
		"another board only": {func() { up.offers(t, "1.4.0", day, func(o *update.Offer) { o.Board = "other" }) }, "nothing is released for a test"},
		"a file on the box":  {func() { up.offers(t, "1.4.0", day, func(o *update.Offer) { o.URL = "file:///etc/passwd" }) }, "cannot be used"},
		"no list":            {func() { up.index = []byte("<html>log in</html>") }, "it is none"},
		"changed list": {func() {
			up.offers(t, "1.4.0", day, nil)
			up.index = bytes.Replace(up.index, []byte(`"payload":"`), []byte(`"payload":"AAAA`), 1)
		}, "not signed by anybody"},
	} {
		test.do()
		if err := a.UpdateNow(ctx, UpdateOptions{}, func(Event) {}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if done := i.done(); done != "[] []" {
			t.Errorf("%s: it did %s", name, done)
		}
	}
}

// TestArriving holds a bundle to the length that was signed, and goes on with the same one
// only.
func TestArriving(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "update")
	arrive := func(digest string) *arriving {
		t.Helper()
		in, err := openArriving(folder, update.Offer{Length: 10, SHA256: digest})
		if err != nil {
			t.Fatal(err)
		}
		in.progress = func(int64) {}
		return in
	}
	in := arrive("one")
	if _, err := in.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	in.SetValidator(`"tag"`)
	if _, err := in.Write([]byte("678901")); err == nil {
		t.Error("it took more bytes than were promised")
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	in = arrive("one")
	if in.Offset() != 5 || in.Validator() != `"tag"` {
		t.Errorf("it goes on at %d under %s", in.Offset(), in.Validator())
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	in = arrive("another")
	if in.Offset() != 0 || in.Validator() != "" {
		t.Errorf("another one goes on at %d under %s", in.Offset(), in.Validator())
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestUpdatesByThemselves goes through the rounds of a box that nobody looks after.
func TestUpdatesByThemselves(t *testing.T) {
	up := newReleaser(t)
	a, i := releaseBox(t, up.URL+"/dir/index.json")
	up.offers(t, "1.3.0", time.Now(), nil)
	round := func(want string) {
		t.Helper()
		if err := a.tendUpdate(t.Context()); err != nil {
			t.Fatal(err)
		}
		i.mu.Lock()
		got := fmt.Sprint(i.installed, i.restarted)
		i.mu.Unlock()
		if got != want {
			t.Errorf("it did %s, want %s", got, want)
		}
	}
	a.Busy = func() bool { return true }
	round("[1.3.0] []")
	round("[1.3.0] []") // somebody installs something
	a.Busy = func() bool { return false }
	a.rooms.config.Update.Hours = []string{time.Now().Add(2*time.Hour).Format("15:04") + "-" + time.Now().Add(3*time.Hour).Format("15:04")}
	round("[1.3.0] []") // it is not the hour
	a.rooms.config.Update.Hours = nil
	a.rooms.config.Update.Automatic = false
	round("[1.3.0] []")
	a.rooms.config.Update.Automatic = true
	round("[1.3.0] [trial]")

	// What was tried in vain twice is left alone.
	i.done()
	i.mu.Lock()
	i.state.Refused = &machine.Refused{Version: "1.3.0", Reason: "it hung", Attempts: 2, When: time.Now()}
	i.mu.Unlock()
	a.updates.tried = time.Time{}
	round("[] []")
	if f := a.probeUpdate(); f.Severity != health.Attention || !strings.Contains(f.Summary, "it hung") {
		t.Errorf("%+v", f)
	}
	i.mu.Lock()
	i.state.Refused = nil
	i.mu.Unlock()
	a.updates.tried = time.Time{}
	round("[1.3.0] []")
}

func TestJudgeUpdate(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	runs := machine.State{Version: "1.2.0", Board: "test", Slot: 2}
	with := func(change func(*machine.State)) machine.State {
		s := runs
		change(&s)
		return s
	}
	refused := &machine.Refused{Version: "1.3.0", Reason: "it hung", When: now.Add(-time.Hour)}
	for name, test := range map[string]struct {
		state    machine.State
		severity health.Severity
		want     string
	}{
		"runs":     {runs, health.OK, "version 1.2.0 runs from slot 2"},
		"no slots": {machine.State{NoUpdate: "no card"}, health.NotMeasured, "no card"},
		"cannot":   {with(func(s *machine.State) { s.NoUpdate = "autoboot.txt is gone" }), health.Attention, "cannot be updated: autoboot.txt is gone"},
		"a card that cannot be written": {with(func(s *machine.State) {
			s.NoUpdate, s.Data.State = "its card cannot be written any more", "read-only"
		}), health.Attention, "slot 2, and cannot be updated: its card cannot be written"},
		"trial":    {with(func(s *machine.State) { s.Trial = &machine.Trial{} }), health.OK, "on trial, and all is well"},
		"doubtful": {with(func(s *machine.State) { s.Trial = &machine.Trial{Missing: "no network"} }), health.OK, "on trial: no network"},
		"refused":  {with(func(s *machine.State) { s.Refused = refused }), health.Attention, "version 1.3.0 was tried and given back: it hung"},
		"refused early": {with(func(s *machine.State) {
			s.Refused = &machine.Refused{Version: "1.3.0", Reason: "it hung", When: now.Add(-15 * 24 * time.Hour)}
		}), health.OK, "given back: it hung"},
		"a newer waits": {with(func(s *machine.State) { s.Refused, s.Waiting = refused, &machine.Waiting{Version: "1.4.0"} }), health.OK, "1.4.0 is installed and waits"},
	} {
		if f := judgeUpdate(test.state, nil, "", now); f.Severity != test.severity || !strings.Contains(f.Summary, test.want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestJudgeData: each state of the data partition is told for what it is.
func TestJudgeData(t *testing.T) {
	for state, want := range map[string]struct {
		severity      health.Severity
		summary, next string
	}{
		"clean":     {health.OK, "sound", ""},
		"repaired":  {health.OK, "repaired at the start: why", ""},
		"aside":     {health.Attention, "begun anew: why", "look at the card"},
		"read-only": {health.Attention, "only be read: why", "replace the card"},
		"memory":    {health.Attention, "lost when the box restarts. why", "replace it"},
	} {
		f := judgeData(machine.Data{State: state, Detail: "why"})
		if f.Severity != want.severity || !strings.Contains(f.Summary, want.summary) || !strings.Contains(f.Action, want.next) {
			t.Errorf("%s: %+v", state, f)
		}
	}
}

// TestRunUpdate brings a file to a box that serves, by the command.
func TestRunUpdate(t *testing.T) {
	a, i := releaseBox(t, "")
	_, raw := testBundle(t, "1.3.0")
	file := filepath.Join(t.TempDir(), "new.update")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c := a.config
	c.Serve.Listen = "127.0.0.1:0"
	a.rooms.config = c
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Serve(ctx, func(net.Addr) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var last Event
	err := RunUpdate(ctx, c, file, UpdateOptions{Stay: true}, func(e Event) { last = e })
	if err != nil || last.Updated == nil || last.Updated.Version != "1.3.0" || last.Updated.Restarting {
		t.Errorf("%+v, %v", last.Updated, err)
	}
	raw[40] ^= 1
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RunUpdate(ctx, c, file, UpdateOptions{}, func(Event) {}); err == nil || !strings.Contains(err.Error(), "not signed by anybody") {
		t.Errorf("a bundle that was changed: %v", err)
	}
	if _, err := RunCheck(ctx, c); err == nil || !strings.Contains(err.Error(), "set update.releases") {
		t.Errorf("without releases: %v", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.installed) != 1 {
		t.Errorf("installed %v", i.installed)
	}
}

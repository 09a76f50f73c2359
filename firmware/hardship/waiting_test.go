package hardship

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/link"
	"cheeseboard/syncer/upstreamtest"
)

// longest is what a client may wait for an answer that the disk can give.
const longest = 2 * time.Second

// plight is a state of the line, and how it comes about.
type plight struct {
	name   string
	begin  func(*scene)
	states []link.State // of which the judge comes to one; none: whatever it says
	again  bool         // the box is started anew in it
	secure bool         // the upstream speaks TLS
}

var plights = []plight{
	{name: "all is well", begin: func(*scene) {}, states: []link.State{link.Well}},
	{name: "the upstream refuses", begin: func(s *scene) { s.line.become(refused) }, states: []link.State{link.UpstreamDown}},
	{name: "the upstream refuses, box restarted", begin: func(s *scene) { s.line.become(refused) }, again: true},
	{name: "everything is swallowed", begin: func(s *scene) { s.line.become(swallow) }, states: []link.State{link.Unsure, link.UpstreamDown}},
	{name: "everything is swallowed, box restarted", begin: func(s *scene) { s.line.become(swallow) }, again: true},
	{name: "half open", begin: func(s *scene) { s.line.freeze() }},
	{name: "half open in the middle of an answer", begin: func(s *scene) { s.up.Tell(upstreamtest.OnPage("*"), upstreamtest.StallAfter(100), 0) }},
	{name: "late, then half open", begin: func(s *scene) {
		s.up.Tell(upstreamtest.OnPage("*"), upstreamtest.StallAfter(100), 0)
		s.up.SetLatency(1400 * time.Millisecond)
	}},
	{name: "answers after 1.4 s", begin: func(s *scene) { s.up.SetLatency(1400 * time.Millisecond) }},
	{name: "answers after 6 s", begin: func(s *scene) { s.up.SetLatency(6 * time.Second) }, states: []link.State{link.Slow, link.Unsure, link.UpstreamDown}},
	{name: "300 bytes a second", begin: func(s *scene) { s.up.SetBandwidth(300) }},
	{name: "flapping", begin: (*scene).flap},
	{name: "errors for every page", begin: func(s *scene) { s.up.Tell(upstreamtest.OnAll(), upstreamtest.Status(500, ""), 0) }, states: []link.State{link.UpstreamDown}},
	{name: "busy, come back in a minute", begin: func(s *scene) { s.up.Tell(upstreamtest.OnAll(), upstreamtest.Status(503, "60"), 0) }},
	{name: "a captive portal", begin: func(s *scene) { s.line.become(portal) }, states: []link.State{link.Portal}},
	{name: "the files' host refuses", begin: func(s *scene) { s.files.become(refused) }, states: []link.State{link.FilesDown}},
	{name: "the files' host swallows", begin: func(s *scene) { s.files.become(swallow) }},
	{name: "no DNS", begin: func(s *scene) { names.set(s.name, ""); s.line.drop(false) }, states: []link.State{link.NoNames}},
	{name: "no gateway", begin: func(s *scene) { s.sees("1", ""); s.line.become(refused) }, states: []link.State{link.NoRoute}},
	{name: "no carrier", begin: func(s *scene) { s.sees("0", ""); s.line.become(refused) }, states: []link.State{link.NoCarrier}},
	{name: "our clock is wrong", begin: func(s *scene) { s.certificate.Store(2); s.line.drop(false) }, states: []link.State{link.ClockWrong}, secure: true},
}

// scene is a box with what it holds, and the line to its upstream.
type scene struct {
	*box
	up          *upstreamtest.Server
	line, files *line
	name        string
	root        string // where the box looks for its cable
	certificates
	projects []string
	stop     context.Context
}

// TestNobodyWaits: whatever the state of the line, before and after it is known,
// with twenty clients at once and a pass under way, what the disk can give is
// given within two seconds, but for what the machine itself takes longer (lateness).
// That no wait is longer than it should be, syncer's TestStay holds without a clock.
// It is not parallel: it measures.
func TestNobodyWaits(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits until each state of the line is known")
	}
	rows := make([]string, len(plights))
	slots := make(chan struct{}, 2)
	var running sync.WaitGroup
	for i, p := range plights {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			t.Run(p.name, func(t *testing.T) { rows[i] = suffer(t, p) })
		})
	}
	running.Wait()
	t.Logf("the longest that any of twenty clients waited, in ms:\n%-40s | %-26s | %-26s | %s\n%s", "state of the line", "at once (page, file, list)", "when it is known", "judged as", strings.Join(rows, ""))
}

// suffer measures one plight and gives its row of the table.
func suffer(t *testing.T, p plight) string {
	s := newScene(t, p)
	if p.again {
		s.box.close()
		p.begin(s)
		s.box = s.open(s.config())
	} else {
		p.begin(s)
	}
	s.Engine.Poke() // a pass, in this line
	first := s.clients()
	s.await(p.states)
	second := s.clients()
	verdict := s.Engine.Line.Verdict()
	return fmt.Sprintf("%-40s | %-26s | %-26s | %s\n", p.name, first, second, verdict.State)
}

// newScene mirrors the newest releases of six projects.
func newScene(t *testing.T, p plight) *scene {
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	s := &scene{stop: ctx, root: t.TempDir()}
	index := upstreamtest.NewIndex()
	for i := range 6 {
		name := fmt.Sprintf("shelf-%d", i)
		s.projects = append(s.projects, name)
		for _, version := range []string{"1.0", "2.0"} {
			_, err := index.AddWheel(upstreamtest.Wheel{Name: name, Version: version, Payload: 100_000})
			must(t, err)
		}
	}
	s.up = upstream(t, index)
	onward := strings.TrimPrefix(s.up.URL(), "http://")
	s.files = lay(t, onward)
	scheme := "http://"
	if p.secure {
		scheme, onward = "https://", s.secure(t, s.up)
	}
	s.line = lay(t, onward)
	s.name = fmt.Sprintf("shop-%s.test", strings.ReplaceAll(s.line.host, ".", "-"))
	names.set(s.name, s.line.host)
	s.sees("1", "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n")
	// The files are on another host.
	s.up.Tell(upstreamtest.OnPage("*"), upstreamtest.FilesOn("http://"+s.files.address()), 0)
	c := settings(t, s.up, s.projects...)
	c.Upstream.URL = scheme + s.name + ":" + s.line.port + "/simple/"
	c.Upstream.ConnectTimeout, c.Upstream.StallTimeout = app.DefaultConfig().Upstream.ConnectTimeout, app.DefaultConfig().Upstream.StallTimeout
	if p.secure {
		c.Upstream.CAFile = s.authority
	}
	s.box = &box{TB: t}
	s.settings = c
	s.box = s.open(c)
	s.synced()
	return s
}

func (s *scene) config() app.Config { return s.settings }

// open runs a box that looks for its cable where the scene has it.
func (s *scene) open(c app.Config) *box {
	c.Serve.Listen = "127.0.0.1:0"
	a, err := app.Open(c, logTo(s.box.TB, nil))
	must(s.box.TB, err)
	a.Engine.Prober.Root = s.root
	return running(s.box.TB, a)
}

// sees sets what the kernel would show of the cable and the gateway.
func (s *scene) sees(carrier, route string) {
	for path, text := range map[string]string{
		"sys/class/net/eth0/carrier":       carrier + "\n",
		"sys/class/net/eth0/operstate":     "up\n",
		"sys/class/net/eth0/type":          "1\n",
		"sys/class/net/eth0/device/uevent": "",
		"proc/net/route":                   "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" + route,
		"proc/net/ipv6_route":              "",
	} {
		path = filepath.Join(s.root, path)
		must(s.files, os.MkdirAll(filepath.Dir(path), 0o755))
		must(s.files, os.WriteFile(path, []byte(text), 0o644))
	}
}

// flap has the line come and go until the test ends.
func (s *scene) flap() {
	random := rand.New(rand.NewPCG(3, 8))
	over := make(chan struct{})
	ended := s.box.TB.Context().Done() // before what is below waits for it
	go func() {
		defer close(over)
		for {
			for _, m := range []mode{refused, open_, swallow, open_} {
				s.line.become(m)
				select {
				case <-time.After(time.Duration(50+random.IntN(1500)) * time.Millisecond):
				case <-ended:
					return
				}
			}
		}
	}()
	s.files.Cleanup(func() { <-over })
}

// await waits until the judge has come to one of the states. What he hears is
// what passes and clients meet, and what his probes do.
func (s *scene) await(states []link.State) {
	s.Helper()
	ctx := timeout(s)
	for len(states) > 0 {
		changed := s.Engine.Line.Changed()
		if slices.Contains(states, s.Engine.Line.Verdict().State) {
			return
		}
		// A client's wish keeps the files' host in question.
		if p := s.page(s.projects[0]); len(p.files) > 1 {
			s.getWithin(ctx, p.files[0].url)
		}
		select {
		case <-changed:
		case <-time.After(time.Second): // pages and files are asked for anew
		case <-ctx.Done():
			s.Fatalf("the line is judged as %s, want %v", s.Engine.Line.Verdict().State, states)
		}
	}
}

// waited is how long the slowest client waited.
type waited struct{ page, file, list time.Duration }

func (w waited) String() string {
	return fmt.Sprintf("%d %d %d", w.page.Milliseconds(), w.file.Milliseconds(), w.list.Milliseconds())
}

// clients has twenty clients ask for all that the disk can give, while as many
// ask for what it cannot.
func (s *scene) clients() waited {
	s.Helper()
	var worst waited
	var mu sync.Mutex
	var slow []func(allowed time.Duration)
	ask := func(slot *time.Duration, what string, question func() answer) answer {
		begun := time.Now()
		a := question()
		took := time.Since(begun)
		mu.Lock()
		defer mu.Unlock()
		*slot = max(*slot, took)
		if !a.whole() {
			s.Errorf("%s: %v after %v", what, a, took)
		}
		if took > longest {
			slow = append(slow, func(allowed time.Duration) {
				if took > allowed {
					s.Errorf("%s: %v after %v, at most %v is right", what, a, took, allowed)
				}
			})
		}
		return a
	}
	others, stop := context.WithCancel(s.stop)
	var asking, waiting sync.WaitGroup
	var late time.Duration
	asking.Go(func() { late = s.lateness() })
	for i := range 20 {
		waiting.Go(func() { s.getWithin(others, fmt.Sprintf("/simple/nobody-%d/", i)) })
		project := s.projects[i%len(s.projects)]
		wheel := strings.ReplaceAll(project, "-", "_") + "-2.0-py3-none-any.whl"
		asking.Go(func() {
			p := s.read(s.url+"/simple/"+project+"/", project, ask(&worst.page, "page in JSON", func() answer {
				return s.get("/simple/"+project+"/", "Accept", pypi.ContentTypeJSON)
			}))
			ask(&worst.page, "page in HTML", func() answer { return s.get("/simple/"+project+"/", "Accept", pypi.ContentTypeLegacyHTML) })
			f := p.file(wheel)
			if f.name == "" || f.metadata == "" {
				s.Errorf("%s is not offered whole: %+v", wheel, p.names)
				return
			}
			ask(&worst.file, "file", func() answer { return s.get(f.url) })
			ask(&worst.file, "metadata", func() answer { return s.get(f.url + ".metadata") })
			ask(&worst.list, "list of projects", func() answer { return s.get("/simple/", "Accept", pypi.ContentTypeJSON) })
			ask(&worst.list, "feed", s.feed)
			ask(&worst.list, "page for people", func() answer { return s.get("/") })
		})
	}
	asking.Wait()
	stop()
	waiting.Wait()
	// The work behind an answer is several times that of the plain server.
	for _, judge := range slow {
		judge(longest + 5*late)
	}
	return worst
}

// lateness is how much later than it should twenty clients of a plain server get
// answers that it gives after a while, at the same time on this machine: near nothing,
// unless the machine has more to do than it can.
func (s *scene) lateness() (worst time.Duration) {
	s.Helper()
	const while = 1500 * time.Millisecond
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(while):
		case <-r.Context().Done():
		}
	}))
	defer plain.Close()
	var asking sync.WaitGroup
	var mu sync.Mutex
	for range 20 {
		asking.Go(func() {
			begun := time.Now()
			resp, err := plain.Client().Get(plain.URL)
			if err != nil {
				s.Error(err)
				return
			}
			check(s, resp.Body.Close())
			mu.Lock()
			defer mu.Unlock()
			worst = max(worst, time.Since(begun)-while)
		})
	}
	asking.Wait()
	return worst
}

// feed asks for the last serial, as other mirrors do.
func (s *scene) feed() answer {
	const call = `<?xml version="1.0"?><methodCall><methodName>changelog_last_serial</methodName><params/></methodCall>`
	req, err := http.NewRequestWithContext(timeout(s), http.MethodPost, s.url+"/pypi", strings.NewReader(call))
	must(s, err)
	req.Header.Set("Content-Type", "text/xml")
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	a := answer{status: resp.StatusCode, header: resp.Header}
	var body bytes.Buffer
	_, a.err = body.ReadFrom(resp.Body)
	a.body = body.Bytes()
	check(s, resp.Body.Close())
	return a
}

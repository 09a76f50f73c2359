package hardship

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer/upstreamtest"
)

var seeds = flag.String("seeds", "", `which schedules TestSchedules makes: "17", or "1-1000"`)

// passes is how many passes may be needed once the truth is told.
const passes = 3

// TestSchedules draws what befalls a box from a seed: lies of every kind, faults
// of the line, kills, changes of the index and clients, in any combination. When
// all that has ended the box must have what a new one gets, or say what is
// missing, and the line must not have carried more than it had to.
func TestSchedules(t *testing.T) {
	t.Parallel()
	first, last := uint64(1), uint64(50)
	switch {
	case *seeds != "":
		a, b, span := strings.Cut(*seeds, "-")
		var err error
		first, err = strconv.ParseUint(a, 10, 64)
		must(t, err)
		if last = first; span {
			last, err = strconv.ParseUint(b, 10, 64)
			must(t, err)
		}
	case testing.Short():
		last = 6
	case os.Getenv("CHEESEBOARD_TEST_LONG") == "1":
		last = 1000
	}
	begun := time.Now()
	var sum tally
	slots := make(chan struct{}, 24)
	var running sync.WaitGroup
	for seed := first; seed <= last; seed++ {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				defer func() {
					if t.Failed() {
						t.Logf("to have it again: go test -race ./firmware/hardship -run TestSchedules -seeds %d", seed)
					}
				}()
				sum.add(befall(t, seed))
			})
		})
	}
	running.Wait()
	t.Logf("%d schedules in %v: %v", last-first+1, time.Since(begun).Round(time.Second), &sum)
}

// tally is what came of the schedules.
type tally struct {
	mu                        sync.Mutex
	rounds, kills, programs   int
	lies, faults              int
	delivered, payload, bound int64
	most                      int // passes that were needed
}

func (t *tally) add(other *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rounds += other.rounds
	t.kills += other.kills
	t.programs += other.programs
	t.lies += other.lies
	t.faults += other.faults
	t.delivered += other.delivered
	t.payload += other.payload
	t.bound += other.bound
	t.most = max(t.most, other.most)
}

func (t *tally) String() string {
	return fmt.Sprintf("%d rounds, %d of them killed, %d by the program; %d lies told, %d faults; %.1f MB came for %.1f MB of payload (%.3f; the bounds allow %.3f); at most %d passes at the end",
		t.rounds, t.kills, t.programs, t.lies, t.faults, float64(t.delivered)/1e6, float64(t.payload)/1e6,
		float64(t.delivered)/float64(max(t.payload, 1)), float64(t.bound)/float64(max(t.payload, 1)), t.most)
}

// course is one schedule under way.
type course struct {
	*testing.T
	schedule
	world  *world
	up     *upstreamtest.Server
	line   *line
	name   string // of the line, where it has one
	config app.Config
	box    *box // nil while it is closed
	always []*upstreamtest.Told
	sum    tally

	silences silences

	killed  map[int]bool     // rounds that ended with a kill, or were closed in mid-pass
	paths   map[string]int64 // lengths of all files that the index has or had
	log     []string
	logging sync.Mutex
}

// befall makes the schedule of a seed.
func befall(t *testing.T, seed uint64) *tally {
	random := rand.New(rand.NewPCG(seed, 20261122))
	w := newWorld(t, random)
	dialect := w.dialect()
	c := &course{T: t, world: w, killed: make(map[int]bool), paths: make(map[string]int64)}
	c.silences.of = make(map[string]int)
	c.up = upstream(t, w.index, func(s *upstreamtest.Server) { s.Dialect = dialect })
	c.line = lay(t, strings.TrimPrefix(c.up.URL(), "http://"))
	c.config = w.wants("")
	c.config.Data = t.TempDir() + "/data"
	c.schedule = draw(random, seed, w)
	address := c.line.address()
	if c.named {
		c.name = fmt.Sprintf("line-%s.test", strings.ReplaceAll(c.line.host, ".", "-"))
		names.set(c.name, c.line.host)
		address = c.name + ":" + c.line.port
	}
	c.config.Upstream.URL = "http://" + address + "/simple/"
	c.config.Upstream.ConnectTimeout = config.Duration(20 * time.Second)
	defer func() {
		if t.Failed() {
			t.Logf("dialect %+v\nsettings %+v\n%v%s", dialect, c.config, c.schedule, strings.Join(c.log, "\n"))
		}
	}()
	for _, x := range c.schedule.always {
		c.always = append(c.always, c.tell(x))
	}
	for i, r := range c.rounds {
		c.line.tap.update(func() { c.line.tap.round = i })
		c.round(i, r)
		if t.Failed() {
			return &c.sum
		}
	}
	c.conclude()
	return &c.sum
}

func (c *course) note(format string, arguments ...any) {
	c.logging.Lock()
	defer c.logging.Unlock()
	c.log = append(c.log, fmt.Sprintf(format, arguments...))
}

func (c *course) tell(x tale) *upstreamtest.Told {
	c.Helper()
	about, err := upstreamtest.ParseTarget(x.about)
	must(c, err)
	lie, err := upstreamtest.ParseLie(x.lie)
	must(c, err)
	return c.up.Tell(about, lie, x.times)
}

// round makes one pass, with all that goes wrong in it.
func (c *course) round(i int, r round) {
	for range r.changes {
		c.note("round %d: %s", i, c.world.change())
	}
	if r.program {
		c.shut()
		c.sum.programs++
		c.config.Upstream.StallTimeout = config.Duration(3 * time.Second) // its log is not read, so it must not err
	} else if c.box == nil {
		c.config.Upstream.StallTimeout = config.Duration(r.stall)
		c.box = c.open()
	}
	c.sum.rounds++
	before := c.held()
	c.up.SetBandwidth(r.rate)
	begun := len(c.line.tap.exchanges())
	// The clock begins with the first request: a machine may be slow to come to it.
	passing, passed := context.WithTimeout(context.Background(), limit)
	ctx, end := context.WithCancel(context.Background())
	defer end()
	var clock sync.WaitGroup
	clock.Go(func() {
		defer end()
		c.line.tap.asked(passing, begun)
		over, stop := context.WithTimeout(context.Background(), r.end)
		defer stop()
		<-over.Done()
	})
	var going, asking sync.WaitGroup
	for _, x := range r.lies {
		going.Go(func() {
			if c.line.tap.wait(ctx, x.at) {
				told := c.tell(x)
				<-ctx.Done()
				told.Stop()
				told.Release()
			}
		})
	}
	for _, f := range r.faults {
		going.Go(func() {
			if c.line.tap.wait(ctx, f.at) {
				c.fault(ctx, f)
			}
		})
	}
	c.sum.faults += len(r.faults)
	if b := c.box; b != nil {
		for _, a := range r.asks {
			asking.Go(func() {
				if c.line.tap.wait(ctx, a.at) {
					c.ask(b, a)
				}
			})
		}
	}
	c.pass(ctx, i, r, passed)
	clock.Wait()
	going.Wait()
	asking.Wait()
	if r.kill != nil || r.shut {
		c.shut()
	}
	c.notAgain(before, begun)
}

// pass makes the pass of a round, by the box or by the program, and kills it. It
// tells when the pass is over.
func (c *course) pass(ctx context.Context, i int, r round, passed func()) {
	defer passed()
	killing, cancel := context.WithCancel(context.Background())
	defer cancel()
	var killer sync.WaitGroup
	defer killer.Wait()
	defer cancel()
	if r.program {
		p := start(c, c.config, "sync")
		if r.kill != nil {
			killer.Go(func() {
				if c.line.tap.wait(killing, *r.kill) && p.kill() {
					c.killed[i] = true
					c.sum.kills++
				}
			})
		}
		<-p.ended
		passed()
		cancel()
		killer.Wait()
		c.note("round %d: the program: %v\n%s", i, p.err, p.output.String())
		return
	}
	b := c.box
	if r.kill != nil {
		killer.Go(func() {
			if c.line.tap.wait(killing, *r.kill) {
				c.killed[i] = true
				c.sum.kills++
				b.Engine.Close()
			}
		})
	}
	summary, err := b.sync()
	passed()
	c.note("round %d: %+v, %v", i, summary, err)
	<-ctx.Done()
}

// open opens the box, or runs it.
func (c *course) open() *box {
	if c.served {
		return serve(c, c.config, &c.silences)
	}
	return open(c, c.config, &c.silences)
}

func (c *course) shut() {
	if c.box != nil {
		c.box.close()
		c.box = nil
	}
}

// ask is a client: whatever it gets whole has the digest that the page states.
func (c *course) ask(b *box, a ask) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	form := pypi.ContentTypeJSON
	if a.html {
		form = pypi.ContentTypeLegacyHTML
	}
	got := b.getWithin(ctx, b.url+"/simple/"+a.project+"/", "Accept", form)
	if !got.whole() || a.html || !a.file {
		return
	}
	p := b.read(b.url+"/simple/"+a.project+"/", a.project, got)
	if len(p.files) == 0 {
		return
	}
	f := p.files[len(p.files)-1]
	if body := b.getWithin(ctx, f.url); body.whole() && digestOf(body.body) != f.sha256 {
		c.Errorf("a client got %s with the sha256 %s, the page states %s", f.name, digestOf(body.body), f.sha256)
	}
}

// fault befalls the line, for its time or until the round ends.
func (c *course) fault(ctx context.Context, f fault) {
	over, cancel := context.WithTimeout(ctx, f.lasts)
	defer cancel()
	switch f.kind {
	case "toxics":
		address, stop, err := poison(c, strings.TrimPrefix(c.up.URL(), "http://"), f.toxics)
		if err != nil {
			c.Error(err)
			return
		}
		c.line.lead(address)
		c.line.drop(false)
		<-over.Done()
		c.line.lead(strings.TrimPrefix(c.up.URL(), "http://"))
		c.line.drop(false)
		stop()
	case "swallow", "refuse", "portal":
		c.line.become(map[string]mode{"swallow": swallow, "refuse": refused, "portal": portal}[f.kind])
		<-over.Done()
		c.line.become(open_)
	case "freeze":
		c.line.freeze()
	case "drop", "reset":
		c.line.drop(f.kind == "reset")
	case "flap":
		for range f.times {
			c.line.become(refused)
			<-over.Done()
			c.line.become(open_)
			again, stop := context.WithTimeout(ctx, f.lasts)
			<-again.Done()
			stop()
			if ctx.Err() != nil {
				return
			}
			over, stop = context.WithTimeout(ctx, f.lasts)
			defer stop()
		}
	case "no name":
		if c.named {
			names.set(c.name, "")
			<-over.Done()
			names.set(c.name, c.line.host)
		}
	}
}

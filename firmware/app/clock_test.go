package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cheeseboard/board/clock"
	"cheeseboard/firmware/app"
	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
)

// fakeClock is that of a machine, which a test has begin in 1970.
type fakeClock struct {
	mu    sync.Mutex
	ahead time.Duration // of the truth
}

func (f *fakeClock) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Add(f.ahead)
}

func (f *fakeClock) set(to time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ahead = time.Until(to)
	return nil
}

// TestClockIn1970 starts a box whose clock begins in 1970, without a battery. It serves
// at once what is here, asks its upstream for nothing, says why, and goes on by itself
// when the time is known: from a time server, from web servers, or from a browser.
func TestClockIn1970(t *testing.T) {
	for name, tell := range map[string]func(*app.App, chan<- struct{}, chan<- struct{}){
		"NTP":     func(_ *app.App, ntp, _ chan<- struct{}) { close(ntp) },
		"HTTP":    func(_ *app.App, _, web chan<- struct{}) { close(web) },
		"browser": func(box *app.App, _, _ chan<- struct{}) { _ = box.SetClock(time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, names := many(t, 3)
			c := boxConfig(server, t.TempDir(), names[:2])
			first := openBox(t, server, c.Data, names[:1]) // something is here already
			if _, err := syncBox(t, first); err != nil {
				t.Fatal(err)
			}
			closeBox(t, first)
			server.Forget()

			c.Clock.Verify, c.Pull.Enabled = config.VerifyAlways, false // only a pass brings something
			machine := &fakeClock{ahead: -time.Since(time.Unix(5, 0))}
			ntp, web := make(chan struct{}), make(chan struct{})
			var box *app.App
			answers := func(open <-chan struct{}, hosts int) func(context.Context) []clock.Sample {
				return func(context.Context) (out []clock.Sample) {
					select {
					case <-open:
						for range hosts {
							out = append(out, clock.Sample{Time: time.Now(), At: time.Now(), Within: time.Second})
						}
					default: // nobody answers
					}
					return out
				}
			}
			s := serveBox(t, c, func(a *app.App) {
				box = a
				a.Clock = func(o *clock.Options) {
					o.Now, o.Set, o.Facts = machine.now, machine.set, func() clock.Facts { return clock.Facts{Board: true} }
					o.NTP, o.Date, o.DateHosts = answers(ntp, 1), answers(web, 2), 2
					o.Built = time.Now().AddDate(0, -1, 0)
				}
			})
			// The pass that came with the start has been refused the line.
			s.diary.await(t, "sync ended early")
			if !s.whole(server, names[0]) {
				t.Error("what is here is not served")
			}
			if asked := server.Requests().Paths(); len(asked) > 0 {
				t.Errorf("the upstream was asked for %v", asked)
			}
			status, err := box.Status()
			if err != nil {
				t.Fatal(err)
			}
			if w := status.Sync.Budget.Waiting; !strings.HasPrefix(w, "waiting until the time is known: The clock of this box is not verified: it shows ") {
				t.Errorf("the sync waits since %q", w)
			}
			if v := status.Health; v.Severity != health.Attention || !strings.Contains(v.Summary, "not verified") || v.Action == "" {
				t.Errorf("health: %+v", v)
			}
			if shows := machine.now(); time.Since(shows) > 32*24*time.Hour {
				t.Errorf("the clock shows %v, which was over when this was made", shows)
			}

			tell(box, ntp, web)
			s.diary.await(t, "the time is known")
			if off := time.Until(machine.now()).Abs(); off > time.Minute {
				t.Errorf("the clock is off by %v", off)
			}
			look := time.NewTicker(20 * time.Millisecond)
			defer look.Stop()
			for !s.whole(server, names[1]) {
				<-look.C // the pass that was asked for brings it
			}
			if status, err = box.Status(); err != nil || status.Sync.Budget.Waiting != "" || status.Health.Severity == health.Attention {
				t.Errorf("afterwards: %+v, %v", status.Health, err)
			}
		})
	}
}

// TestClockIsSaved: after a power cut a box without a battery knows that it is later
// than when it was switched off.
func TestClockIsSaved(t *testing.T) {
	server, _ := many(t, 1)
	c := boxConfig(server, t.TempDir(), nil)
	c.Clock.Verify = config.VerifyAlways
	right := time.Now().Add(30 * 24 * time.Hour)
	start := func(machine *fakeClock, ntp func(context.Context) []clock.Sample) *served {
		return serveBox(t, c, func(a *app.App) {
			a.Clock = func(o *clock.Options) {
				o.Now, o.Set, o.Facts = machine.now, machine.set, func() clock.Facts { return clock.Facts{Board: true} }
				o.NTP, o.Date = ntp, nil
			}
		})
	}
	s := start(&fakeClock{}, func(context.Context) []clock.Sample {
		return []clock.Sample{{Time: right, At: time.Now()}, {Time: right, At: time.Now()}}
	})
	s.diary.await(t, "the time is known")
	s.end()
	machine := &fakeClock{ahead: -time.Since(time.Unix(5, 0))}
	s = start(machine, func(context.Context) []clock.Sample { return nil })
	if shows := machine.now(); shows.Before(right.Add(-time.Second)) {
		t.Errorf("the clock shows %v, and it was %v", shows, right)
	}
	if resp, err := http.Get(s.url + "/healthz"); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", resp, err)
	}
}

// TestOneBuildTime: what judges the line goes by the same time of making as the clock's
// keeper does. Programs for use know it by a stamp alone.
func TestOneBuildTime(t *testing.T) {
	c := app.DefaultConfig()
	c.Data = t.TempDir()
	a, err := app.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got, want := a.Engine.Prober.Built, clock.Built(); !got.Equal(want) {
		t.Errorf("the prober has %s, the clock %s", got, want)
	}
}

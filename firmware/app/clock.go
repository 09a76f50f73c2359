package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"cheeseboard/board/clock"
	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/storage"
)

const (
	clockKey = "clock"
	// clockEvery is the time between two notes of what time it is, for a box without a
	// battery: it is as far behind after a power cut, and the card is written as often.
	clockEvery = time.Hour
)

// timing is what the box knows of its clock. Until Serve has looked, the clock is
// taken as it is: a command that only reads does not judge it.
type timing struct {
	keeper  atomic.Pointer[clock.Keeper]
	changed chan struct{} // holds one
}

func newTiming() timing { return timing{changed: make(chan struct{}, 1)} }

func (t *timing) verified() bool {
	k := t.keeper.Load()
	return k == nil || k.Verified()
}

// waiting says why nothing is fetched by itself while the clock is in doubt. Each
// certificate would be refused, windows of the day would be others, and what is noted
// would bear a wrong time.
func (t *timing) waiting() string {
	k := t.keeper.Load()
	if k == nil || k.Verified() {
		return ""
	}
	return "waiting until the time is known: " + k.Sentence()
}

func (t *timing) probe() health.Finding {
	k := t.keeper.Load()
	if k == nil {
		return health.Finding{Summary: "the clock is that of the machine"}
	}
	s := k.State()
	f := health.Finding{Summary: k.Sentence(), Action: s.Action()}
	if !s.Verified {
		f.Severity = health.Attention
		f.Summary += " What is here is served; nothing is fetched by itself until the time is known."
	}
	return f
}

// startClock looks at the clock before anything goes by it.
func (a *App) startClock() *clock.Keeper {
	c := a.config
	o := clock.Options{
		Built: clock.Built(), Floor: a.noted, Always: c.Clock.Verify == config.VerifyAlways, Never: c.Clock.Verify == config.VerifyNever,
		DateHosts: len(c.Clock.WebServers), Log: a.log,
	}
	servers := &clock.Servers{Log: a.log, List: func() []string { return append(clock.LeaseServers("/"), c.Clock.Servers...) }}
	o.NTP = servers.Ask
	if len(c.Clock.WebServers) > 0 {
		client := dateClient(c)
		o.Date = func(ctx context.Context) []clock.Sample {
			return clock.AskDates(ctx, client, c.Clock.WebServers, a.log)
		}
	}
	if a.Clock != nil {
		a.Clock(&o)
	}
	told := o.Changed
	o.Changed = func(s clock.State) {
		if told != nil {
			told(s)
		}
		select {
		case a.timing.changed <- struct{}{}:
		default: // told already
		}
	}
	keeper := clock.New(o)
	a.timing.keeper.Store(keeper)
	if !keeper.Verified() {
		a.log.Warn("the clock is not verified: what is here is served, nothing is fetched by itself", "reason", keeper.Sentence())
	}
	return keeper
}

// dateClient asks web servers for the date, through the same proxy as all else.
func dateClient(c config.Config) *http.Client {
	proxy := http.ProxyFromEnvironment
	if u, err := url.Parse(c.Upstream.Proxy); err == nil && c.Upstream.Proxy != "" {
		proxy = http.ProxyURL(u)
	}
	return &http.Client{Transport: &http.Transport{Proxy: proxy, DisableKeepAlives: true}}
}

// noted is the time that this box has written down as over; zero: none. What else bears
// a time, the events of the line say, has it from whoever was believed then.
func (a *App) noted() time.Time {
	var at time.Time
	if raw, err := a.Store.Value(clockKey); err != nil || raw == nil || json.Unmarshal(raw, &at) != nil {
		return time.Time{}
	}
	return at
}

// noteTime writes down what time it is, as far as those who are sure have told. Where
// later is false, it only replaces one that is too late.
func (a *App) noteTime(keeper *clock.Keeper, later bool) {
	at, sure := keeper.Over()
	old := a.noted()
	wrong := at.Before(old.Add(-time.Second))
	if a.Store.ReadOnly() || at.IsZero() || !wrong && (!later || !sure) {
		return
	}
	raw, err := json.Marshal(at.UTC().Round(time.Second))
	if err == nil {
		err = a.Store.SetValue(clockKey, raw)
	}
	switch {
	case err == nil && wrong:
		a.log.Info("the time that was written down was too late", "was", old, "is", at)
	case err != nil && !errors.Is(err, storage.ErrFull):
		a.log.Warn("the time could not be written down", "reason", err)
	}
}

// tendClock writes down what time it is, on a box that would not know after a power
// cut, and has the engines go on when the time is known; until ctx ends. It is for the
// rooms that are open.
func (a *App) tendClock(ctx context.Context) {
	engines, keeper := a.engines(), a.timing.keeper.Load()
	if keeper == nil {
		return
	}
	if !keeper.Doubted() {
		a.noteTime(keeper, false)
		return // it costs such a machine nothing
	}
	defer a.noteTime(keeper, true)
	ticker := time.NewTicker(clockEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			a.noteTime(keeper, true)
		case <-a.timing.changed:
			// While nobody is believed this comes often: the card is to be spared.
			a.noteTime(keeper, keeper.Verified())
			if !keeper.Verified() {
				continue
			}
			a.log.Info("the time is known", "source", keeper.State().Source)
			for _, e := range engines {
				e.Poke()
			}
		}
	}
}

// SetClock takes the time that a person says it is. Its error is a sentence.
func (a *App) SetClock(now time.Time) error {
	k := a.timing.keeper.Load()
	if k == nil {
		return errors.New("this box does not serve, and leaves the clock alone")
	}
	return k.Person(now)
}

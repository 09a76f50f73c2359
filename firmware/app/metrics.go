package app

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cheeseboard/httpd/metrics"
	"cheeseboard/storage"
	"cheeseboard/syncer"
	"cheeseboard/syncer/link"
)

// lineTally counts the changes of a line, and passes them on.
type lineTally struct {
	next    link.Recorder // nil: to nobody
	changes atomic.Int64
}

func (t *lineTally) Record(e link.Event) {
	t.changes.Add(1)
	if t.next != nil {
		t.next.Record(e)
	}
}

// passLog remembers when passes last went through, by index.
type passLog struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (l *passLog) note(index string, sum syncer.Summary, err error) {
	if err != nil || !sum.Complete {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = make(map[string]time.Time)
	}
	l.at[index] = sum.Started.Add(sum.Took)
}

// last is when a pass last went through, as far as that is known; zero for never. A
// pass that changed nothing is not written down, so that after a start it is not known.
func (l *passLog) last(index string, s syncer.Status) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.at[index]
	if s.Last != nil && s.Last.Complete && s.Last.Started.Add(s.Last.Took).After(at) {
		at = s.Last.Started.Add(s.Last.Took)
	}
	return at
}

// census counts what is in the store, not oftener than that is worth: it reads every
// reference.
type census struct {
	mu      sync.Mutex
	store   *storage.Store
	version uint64
	totals  storage.Totals
	made    time.Time
	took    time.Duration
}

// censusShare is the part of the time that may be spent on counting.
const censusShare = 100

// count gives the totals. Where something changes all the time, they are those of a
// moment ago.
func (c *census) count(store *storage.Store) (storage.Totals, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version := store.Version()
	same := c.store == store && (c.version == version || time.Since(c.made) < censusShare*c.took)
	if !same {
		begun := time.Now()
		totals, err := store.Totals()
		if err != nil {
			return totals, err
		}
		c.store, c.version, c.totals, c.made, c.took = store, version, totals, time.Now(), time.Since(begun)
	}
	return c.totals, nil
}

// metrics gathers what is to be known in numbers.
func (a *App) metrics() ([]metrics.Family, error) {
	totals, err := a.census.count(a.Store)
	if err != nil {
		return nil, err
	}
	space, err := a.Store.Space()
	if err != nil {
		return nil, err
	}
	waiting, err := a.Store.Waiting()
	if err != nil {
		return nil, err
	}
	lost, err := a.Store.Lost()
	if err != nil {
		return nil, err
	}
	gauge := func(name, help string, value int64) metrics.Family {
		return metrics.One("cheeseboard_"+name, help, metrics.Gauge, float64(value))
	}
	out := []metrics.Family{
		{Name: "cheeseboard_build_info", Help: "The program that runs.", Kind: metrics.Gauge, Samples: []metrics.Sample{
			{Labels: []string{"version", Version, "goversion", runtime.Version(), "arch", runtime.GOARCH}, Value: 1},
		}},
		gauge("start_time_seconds", "When the box was opened, in seconds since 1970.", a.opened.Unix()),
		gauge("store_projects", "Projects whose pages are here.", int64(totals.Projects)),
		gauge("store_files", "Distributions that are here.", int64(totals.Files)),
		gauge("store_bytes", "Bytes of the distributions and metadata that are here.", totals.Bytes),
		gauge("store_cached_bytes", "Bytes of them that nothing selects, and that make room when it is needed.", space.Cached),
		gauge("store_partials", "Downloads that will go on where they stopped.", int64(len(waiting))),
		gauge("store_lost_files", "Files that the disk has lost or changed, and that are not here again.", int64(len(lost))),
		gauge("disk_free_bytes", "Free bytes on the disk.", space.Free),
		gauge("disk_reserve_bytes", "Bytes of them that stay free.", space.Reserve),
		gauge("resident_memory_bytes", "Memory of the program that is not swapped out, shared pages included.", residentMemory()),
		gauge("goroutines", "Goroutines that there are.", int64(runtime.NumGoroutine())),
	}
	engines, err := a.engineMetrics()
	return slices.Concat(out, a.healthMetrics(), a.vitalMetrics(), a.modemMetrics(), engines), err
}

// residentMemory is 0 where the kernel does not tell.
func residentMemory() int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

func (a *App) healthMetrics() []metrics.Family {
	v := a.Health.Verdict()
	f := metrics.Family{Name: "cheeseboard_health", Help: "What the probes say: -1 not measured, 0 well, 1 reduced, 2 wants attention, 3 failed.", Kind: metrics.Gauge}
	for _, p := range v.Probes {
		f.Samples = append(f.Samples, metrics.Sample{Labels: []string{"probe", p.Name}, Value: float64(p.Severity)})
	}
	return []metrics.Family{f}
}

// engineMetrics are those of the indexes; the default one has the empty name.
func (a *App) engineMetrics() ([]metrics.Family, error) {
	family := func(name, help string, kind metrics.Kind) metrics.Family {
		return metrics.Family{Name: "cheeseboard_" + name, Help: help, Kind: kind}
	}
	up := family("line_up", "Whether the upstream of an index can be asked.", metrics.Gauge)
	state := family("line_state", "1 for the state that the line to an index is in.", metrics.Gauge)
	changes := family("line_changes_total", "How often the state of the line has changed.", metrics.Counter)
	received := family("upstream_received_bytes_total", "Bytes that came over the line, headers included.", metrics.Counter)
	selected := family("sync_selected", "Requirements that are selected.", metrics.Gauge)
	running := family("sync_running", "Whether a pass is under way.", metrics.Gauge)
	success := family("sync_last_success_timestamp_seconds", "When a pass last went through, in seconds since 1970.", metrics.Gauge)
	problems := family("sync_problems", "Projects and files of which there is something that a person should know.", metrics.Gauge)
	wishes := family("wishes", "Projects that were asked for while the line was down.", metrics.Gauge)
	used := family("line_month_bytes", "Bytes that count for this month.", metrics.Gauge)
	limit := family("line_month_limit_bytes", "Bytes that the line may carry in a month, where there is a limit.", metrics.Gauge)
	var errs []error
	for i, e := range a.engines() {
		name, tally := "", a.tally
		if i > 0 {
			name, tally = a.wings[i-1].config.Name, a.wings[i-1].tally
		}
		s, err := e.Status()
		errs = append(errs, err)
		add := func(f *metrics.Family, value float64, labels ...string) {
			f.Samples = append(f.Samples, metrics.Sample{Labels: append([]string{"index", name}, labels...), Value: value})
		}
		add(&up, truth(s.Line.Up))
		for _, other := range link.States() {
			add(&state, truth(other == s.Line.State), "state", other.String())
		}
		add(&changes, float64(tally.changes.Load()))
		add(&received, float64(s.Line.Received))
		add(&selected, float64(s.Selected))
		add(&running, truth(s.Syncing))
		if at := a.through.last(name, s); !at.IsZero() {
			add(&success, float64(at.Unix()))
		}
		add(&problems, float64(len(s.Problems)+s.Left))
		add(&wishes, float64(len(s.Wishes)))
		if i == 0 { // one budget for all
			used.Samples = append(used.Samples, metrics.Sample{Value: float64(s.Budget.Used)})
			if s.Budget.Cap > 0 {
				limit.Samples = append(limit.Samples, metrics.Sample{Value: float64(s.Budget.Cap)})
			}
		}
	}
	return []metrics.Family{up, state, changes, received, selected, running, success, problems, wishes, used, limit}, errors.Join(errs...)
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

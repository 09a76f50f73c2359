// Package app wires the rooms of the house together: it opens the store, builds
// the engine and the HTTP front over it, and closes everything in reverse. The
// end-to-end tests, the demo and the commands all use it.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cheeseboard/board/clock"
	"cheeseboard/board/modem"
	"cheeseboard/board/stick"
	"cheeseboard/board/vitals"
	"cheeseboard/board/watchdog"
	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/firmware/machine"
	"cheeseboard/httpd"
	"cheeseboard/httpd/metrics"
	"cheeseboard/httpd/throttle"
	"cheeseboard/httpd/upload"
	"cheeseboard/storage"
	"cheeseboard/storage/names"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/mirror"
	"cheeseboard/syncer/plan"
	"cheeseboard/syncer/policy"
)

// Version is stamped in by scripts/build.
var Version = "development"

// App is a box that is open: its store and its engine. Serve runs it.
type App struct {
	rooms
	Health *health.Board
	// Hot tells whether the board is too hot for work that can wait; nil: it
	// never is. It is set before Serve.
	Hot func() bool
	// Busy decides instead whether work that can wait should; nil: while people
	// install, or the board is hot. It is set before Serve, for measurements.
	Busy func() bool
	// Clock may change what the keeper of the clock is built from; nil: nothing is to be
	// changed. It is set before Serve, for tests.
	Clock func(*clock.Options)
	// Watchdog opens another device than the machine's; nil: it does not. It is set
	// before Serve, for tests.
	Watchdog func() (watchdog.Device, error)

	// IsStick tells whether a stick is mounted at a folder; nil: by its device. It is set
	// before Serve, for tests.
	IsStick func(folder string) bool

	log    *slog.Logger
	gate   gate     // requests under way
	calls  calls    // of its own methods
	jobs   chan job // what is to be done while nothing is open; see house.go
	paused pause    // for such a job
	visits visits
	errand *errand
	secure secure
	timing timing
	recent *recent        // lines of the log
	sticks *stick.Watcher // nil: they are left alone
	// imports brings in what is on them.
	imports imports

	modem      *modem.Gauge // nil: it is not asked
	mayRoam    bool
	used       atomic.Pointer[modem.Used] // nil: not counted
	panel      *Panel                     // nil: this box has none
	mistakes   mistakes
	machine    *machine.Client // nil: the init is not ours
	updates    updates
	called     string // serve.name
	naming     naming
	listens    atomic.Pointer[net.Addr] // nil: it does not yet
	first      *first
	supervisor *Supervisor     // nil: nobody is told
	vitals     *vitals.Monitor // nil: nobody looks at the machine
	moving     atomic.Int32    // above 0 while the data folder is copied, or closed
	// confined are the folders that the process can write; nil: all that its user can.
	confined []string
	// guesses counts wrong tokens and passphrases.
	guesses *throttle.Throttle
	trying  sync.Mutex // held while a PIN is tried at the console
	fresh   string     // see FirstPassphrase

	opened    time.Time
	responses metrics.Responses // of all fronts
	through   passLog
	census    census
	swept     time.Time // when attestations were last swept; of run

	commands *http.Server   // answers on the control sockets
	sockets  sync.WaitGroup // those that were added while it serves
}

// rooms is what stands on the data folder. They are opened and closed together.
type rooms struct {
	Store  *storage.Store
	Engine *syncer.Engine

	config config.Config
	front  *httpd.Handler
	tally  *lineTally
	wings  []*wing // indexes beside the default one
	// entrance is the front, with the wings before it where there are any.
	entrance http.Handler
	line     *budget.Budget
	record   *lineRecord
	names    *names.Finder
	ours     ours
	keys     *keys
	admin    *administration // nil: the settings want none

	ctx    context.Context // ends before they are closed
	cancel context.CancelFunc
	closed bool
}

// Open opens the data folder and builds what stands on it. Nothing listens and
// nothing is fetched yet. Damaged metadata are set aside and begun anew. Errors
// are sentences that say what to do.
func Open(c config.Config, log *slog.Logger) (*App, error) {
	return open(c, log, storage.Options{Mend: true})
}

func open(c config.Config, log *slog.Logger, options storage.Options) (*App, error) {
	configured := c.Data
	c, err := located(c)
	if err != nil {
		return nil, err
	}
	if c.Data != configured {
		log.Warn("the data folder was moved; set data to the new one", "data", configured, "moved to", c.Data)
	}
	last := &recent{}
	log = slog.New(remembering{Handler: log.Handler(), recent: last})
	a := &App{recent: last, Health: &health.Board{}, opened: time.Now(), log: log, called: c.Serve.Name, jobs: make(chan job), errand: newErrand(), timing: newTiming(), first: newFirst(), guesses: throttle.New(throttle.Options{})}
	a.modem, a.mayRoam = a.newModem(c.Modem.Port), c.Modem.Roaming
	if err := a.furnish(c, options); err != nil {
		return nil, err
	}
	a.addProbes()
	return a, nil
}

// furnish opens the rooms.
func (a *App) furnish(c config.Config, o storage.Options) error {
	options, err := engineOptions(c, a.log)
	if err != nil {
		return err
	}
	options.Passed = a.passed
	o.Reserve, o.Cache, o.Log = noneIfZero(int64(c.Storage.Reserve)), int64(c.Storage.Cache), a.log
	store, err := storage.Open(c.Data, o)
	if err != nil {
		return explain(err)
	}
	own, err := newOurs(c.Private, store)
	if err == nil && o.Mend && !store.ReadOnly() {
		err = own.take(a.log, c.Sync.RemovalGuard)
	}
	if err == nil {
		options.Private = own.has
		err = a.build(c, store, own, options)
	}
	if err != nil {
		return errors.Join(err, store.Close())
	}
	return nil
}

// build puts engine and front over an open store.
func (a *App) build(c config.Config, store *storage.Store, own ours, options syncer.Options) error {
	line, err := lineBudget(c, store, a.waiting)
	if err != nil {
		return err
	}
	options.Budget, options.Attestations = line, storeAttestations{store}
	if c.Sync.Names {
		options.Roll = storeRoll{store}
		if c.Sync.Pages {
			options.Bulk = storeBulk{store}
		}
	}
	r := rooms{Store: store, config: c, line: line, record: &lineRecord{store: store, log: a.log, doubtful: func() bool { return !a.timing.verified() }}, ours: own}
	if r.keys, err = loadKeys(store); err != nil {
		return err
	}
	whole := spaceOf(c, "")
	options.Foreign = r.adopt("")
	if r.Engine, err = newEngine(c, store, line, c.Upstream.URL, whole, options); err != nil {
		return err
	}
	r.tally = &lineTally{next: r.record}
	r.Engine.Line.Recorder = r.tally
	changes := &journal{store: store, space: whole}
	var adminFront http.Handler
	r.admin, adminFront = a.newAdmin(c, store)
	r.names = store.Search(r.Engine.Heard)
	r.front = httpd.New(httpd.Deps{
		Search: a.search, State: a.state, Projects: a.project,
		Index: frontIndex{r.Engine, store, changes, whole}, Feed: changes, Legacy: frontLegacy{store, r.Engine, whole}, Source: frontFiles{r.Engine, store, &a.visits, whole},
		Upload: upload.New(upload.Deps{
			Keys: r.keys, Shelf: uploads{own, time.Now}, MaxSize: int64(c.Private.MaxFileSize), Throttle: a.guesses, Log: a.log,
			Patience: time.Duration(c.Limits.UploadTimeout),
		}),
		Root: a.secure.root, Admin: adminFront, Health: a.healthz, Metrics: a.metrics, Provenance: frontProvenance{r.Engine, whole}, Responses: &a.responses, Name: c.Serve.Name, Log: a.log, Scratch: store.Scratch,
		Patience: time.Duration(c.Limits.SendTimeout),
	})
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := a.addWings(&r, options); err != nil {
		return err
	}
	a.rooms = r
	return nil
}

// Handler is the HTTP front, for whoever listens by himself.
func (a *App) Handler() http.Handler {
	return a.gate.guard(respectMirrors(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.readers(a.entrance).ServeHTTP(w, r)
	})))
}

// respectMirrors gives another box that asks as a mirror's client what is here:
// nothing is fetched for it, which it could fetch itself.
func respectMirrors(front http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(mirror.HereOnly) != "" {
			r = r.WithContext(syncer.HereOnly(r.Context()))
		}
		front.ServeHTTP(w, r)
	})
}

// Close ends what is under way, waits for it, keeps what has arrived, and gives the
// data folder free. That includes requests at the Handler, and calls of the App's
// own methods, which may be made at any time: those that come later get an error.
// Serve must have returned. Close must not be called by a function that was given
// to one of these methods.
func (a *App) Close() error {
	a.cancel()
	a.closeEngines() // nobody waits for the line any more
	a.gate.end()
	a.calls.end()
	return a.rooms.close()
}

// close closes the rooms. Nobody must be at work in them.
func (r *rooms) close() error {
	if r.closed {
		return nil // they could not be opened again
	}
	r.closed = true
	r.cancel()
	r.closeEngines()
	r.names.Close()
	err := errors.Join(r.record.flush(), r.line.Close())
	if r.Store.ReadOnly() || errors.Is(err, storage.ErrFull) {
		err = nil // on a full disk they are not written down, as the status has said
	}
	return errors.Join(r.front.Close(), r.closeWings(), err, r.Store.Close())
}

// lineBudget makes the budget of the line; what was counted is kept in the store.
// hold says why what nobody waits for may not use it.
func lineBudget(c config.Config, store *storage.Store, hold func() string) (*budget.Budget, error) {
	o := budget.Options{Hold: hold, Rate: int64(c.Line.Rate), Cap: int64(c.Line.MonthlyCap), Keeper: lineKeeper{store}}
	for _, text := range c.Line.Windows {
		w, err := budget.ParseWindow(text)
		if err != nil {
			return nil, fmt.Errorf("read line.windows: %w", err)
		}
		o.Windows = append(o.Windows, w)
	}
	return budget.New(o)
}

func userAgent(contact string) string {
	s := "cheeseboard/" + Version
	if contact != "" {
		s += " (" + contact + ")"
	}
	return s
}

// noneIfZero translates the configuration's 0, which means none, into that of
// the packages below, where 0 means their default.
func noneIfZero[T ~int64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

func engineOptions(c config.Config, log *slog.Logger) (syncer.Options, error) {
	o := syncer.Options{
		Dependencies: c.Sync.Dependencies,
		Connections:  c.Sync.Connections,
		Interval:     time.Duration(c.Sync.Interval),
		Fresh:        noneIfZero(time.Duration(c.Pull.Fresh)),
		Wait:         noneIfZero(time.Duration(c.Pull.Wait)),
		Pull:         c.Pull.Enabled,
		RemovalGuard: c.Sync.RemovalGuard,
		Log:          log,
	}
	for _, text := range c.Sync.Projects {
		r, err := pypi.ParseRequirement(text)
		if err != nil {
			return o, fmt.Errorf("read sync.projects: %w", err)
		}
		o.Selection = append(o.Selection, r)
	}
	targets, err := plan.NewTargets(c.Sync.Python, c.Sync.Platforms)
	if err != nil {
		return o, fmt.Errorf("read sync.python and sync.platforms: %w", err)
	}
	if o.Rules, err = policy.New(policy.Options{MinAge: time.Duration(c.Policy.MinAge), Block: c.Policy.Block, Allow: c.Policy.Allow}); err != nil {
		return o, fmt.Errorf("read policy: %w", err)
	}
	o.Policy = plan.Policy{
		Latest: c.Sync.Latest, Prereleases: c.Sync.Prereleases, Targets: targets, MaxFileSize: int64(c.Sync.MaxFileSize),
		Sdists: map[config.SDistPolicy]plan.Sdists{
			config.SDistsAlways: plan.SdistsAlways, config.SDistsNever: plan.SdistsNever, config.SDistsWhenNoWheel: plan.SdistsWhenNoWheel,
		}[c.Sync.SDists],
	}
	return o, nil
}

// explain adds to an error of the store what a person can do about it.
func explain(err error) error {
	var locked *storage.LockedError
	switch {
	case errors.As(err, &locked):
		who := "another process"
		if locked.PID > 0 {
			who = fmt.Sprintf("process %d", locked.PID)
		}
		return fmt.Errorf("%w: %s uses this data folder; stop it, or name another folder with --data", err, who)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: this user may not write there; run as the folder's owner, or name another folder with --data", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: the file system is read-only; mount it writable, or name another folder with --data", err)
	}
	return err
}

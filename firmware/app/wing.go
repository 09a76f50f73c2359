package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"cheeseboard/board/clock"
	"cheeseboard/firmware/config"
	"cheeseboard/httpd"
	"cheeseboard/httpd/indexes"
	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/budget"
	"cheeseboard/syncer/mirror"
	"cheeseboard/syncer/upstream"
	"cheeseboard/syncer/wire"
)

// wing is an index beside the default one: an engine and a front of its own, over the
// store that all share. Each judges its own line; the budget is one for all.
type wing struct {
	config config.Index
	Engine *syncer.Engine
	front  *httpd.Handler
	tally  *lineTally
}

// wingPages is the memory for rendered pages of a wing, in bytes.
const wingPages = 1 << 20

// newClient makes what an engine asks by.
func newClient(c config.Config, line *budget.Budget) (*wire.Client, error) {
	return wire.NewClient(wire.Options{
		Proxy: c.Upstream.Proxy, CAFile: c.Upstream.CAFile,
		Connect: time.Duration(c.Upstream.ConnectTimeout), Stall: time.Duration(c.Upstream.StallTimeout),
		UserAgent: userAgent(c.Upstream.Contact), Spend: line.Spend,
	})
}

// newEngine makes the engine of an index that stands at an address. The options hold
// for the default one; what belongs to another is taken out.
func newEngine(c config.Config, store *storage.Store, line *budget.Budget, address string, s space, options syncer.Options) (*syncer.Engine, error) {
	client, err := newClient(c, line)
	if err != nil {
		return nil, err
	}
	index, err := upstream.New(address, client, 0)
	if err != nil {
		return nil, err
	}
	if s.owner != nil {
		options.Owns = s.owns
		selection := options.Selection
		options.Selection = nil
		for _, r := range selection {
			if s.owns(r.Name) {
				options.Selection = append(options.Selection, r)
			}
		}
	}
	if s.Namespace == "" {
		if options.Mirrors, err = mirror.New(index, c.Upstream.Mirrors, mirror.Options{Log: options.Log}); err != nil {
			return nil, err
		}
	} else {
		options.Mirrors, options.Roll, options.Bulk = nil, nil, nil
	}
	e := syncer.New(index, client, spaceCatalogue{storeCatalogue{store}, s}, spaceShelf{storeShelf{store}, s}, spaceNotes{storeNotes{store}, s}, options)
	e.Prober.Built = clock.Built() // one answer to that in the whole program
	return e, nil
}

// spaceOf is an index by its name.
func spaceOf(c config.Config, name string) space {
	s := space{Namespace: pypi.Namespace(name), integrity: integrityBase(c, name)}
	if len(c.Index) > 0 {
		s.owner = c.Owner
	}
	return s
}

// addWings builds the other indexes, and puts them before the front.
func (a *App) addWings(r *rooms, options syncer.Options) error {
	r.entrance = r.front
	if err := r.learnRules(); err != nil {
		return err
	}
	var others []indexes.Index
	for _, x := range r.config.Index {
		s := spaceOf(r.config, x.Name)
		options.Foreign = r.adopt(x.Name)
		options.Passed = func(sum syncer.Summary, err error) { a.through.note(x.Name, sum, err) }
		engine, err := newEngine(r.config, r.Store, r.line, x.URL, s, options)
		if err != nil {
			return err
		}
		tally := new(lineTally)
		engine.Line.Recorder = tally
		w := &wing{config: x, Engine: engine, tally: tally, front: httpd.New(httpd.Deps{
			Index:  frontIndex{engine, r.Store, &journal{store: r.Store, space: s}, s},
			Source: frontFiles{engine, r.Store, &a.visits, s},
			Name:   r.config.Serve.Name, Log: a.log, Scratch: r.Store.Scratch, PageCacheBytes: wingPages, Patience: time.Duration(r.config.Limits.SendTimeout), Responses: &a.responses, Provenance: frontProvenance{engine, s},
		})}
		r.wings = append(r.wings, w)
		others = append(others, indexes.Index{Name: x.Name, Front: w.front})
	}
	if len(others) > 0 {
		r.entrance = indexes.New(r.front, others, r.config.Owner)
	}
	return nil
}

// rulesKey is where the rules stand by which the pins were made.
const rulesKey = "indexes"

// learnRules gives up pins where the rules have changed.
func (r *rooms) learnRules() error {
	before, err := r.Store.Value(rulesKey)
	if err != nil || r.Store.ReadOnly() {
		return err
	}
	rules, err := json.Marshal(r.config.Index)
	if err != nil {
		return err
	}
	if bytes.Equal(before, rules) || before == nil && len(r.config.Index) == 0 {
		return nil
	}
	if err := r.unpinStrangers(); err != nil {
		return err
	}
	return r.Store.SetValue(rulesKey, rules)
}

// adopt gives what takes the needs of an index's files, and hands each to the index
// that it belongs to; nil where there is only one.
func (r *rooms) adopt(from string) func([]pypi.Requirement) {
	if len(r.config.Index) == 0 {
		return nil
	}
	return func(needed []pypi.Requirement) {
		by := make(map[string][]pypi.Requirement)
		for _, n := range needed {
			owner := r.config.Owner(n.Name)
			by[owner] = append(by[owner], n)
		}
		for _, w := range r.wings {
			if w.config.Name != from {
				w.Engine.Adopt(from, by[w.config.Name])
			}
		}
		if from != "" {
			r.Engine.Adopt(from, by[""])
		}
	}
}

// engines are all, that of the default index first.
func (r *rooms) engines() []*syncer.Engine {
	out := []*syncer.Engine{r.Engine}
	for _, w := range r.wings {
		out = append(out, w.Engine)
	}
	return out
}

// engineOf is that of an index; nil where there is none of that name any more.
func (r *rooms) engineOf(of pypi.Namespace) *syncer.Engine {
	if of == "" {
		return r.Engine
	}
	for _, w := range r.wings {
		if w.config.Name == string(of) {
			return w.Engine
		}
	}
	return nil
}

// closeEngines ends all of them.
func (r *rooms) closeEngines() {
	for _, e := range r.engines() {
		e.Close()
	}
}

// closeWings ends what is prepared in the fronts of the wings.
func (r *rooms) closeWings() error {
	var errs []error
	for _, w := range r.wings {
		errs = append(errs, w.front.Close())
	}
	return errors.Join(errs...)
}

// IndexStatus is how an index beside the default one is doing. In its problems a
// project stands as it is kept, "numpy@wheels".
type IndexStatus struct {
	Name     string        `json:"name"`
	Projects []string      `json:"projects"` // the patterns of its rule
	Sync     syncer.Status `json:"sync"`
}

func (r *rooms) indexes() ([]IndexStatus, error) {
	var out []IndexStatus
	var errs []error
	for _, w := range r.wings {
		s, err := w.Engine.Status()
		errs = append(errs, err)
		for i := range s.Problems {
			s.Problems[i].Project = pypi.Namespace(w.config.Name).In(s.Problems[i].Project)
		}
		out = append(out, IndexStatus{w.config.Name, w.config.Projects, s})
	}
	return out, errors.Join(errs...)
}

// passes has every index make a pass, and once more where the files of another turned
// out to need something of it.
func (r *rooms) passes(ctx context.Context, o syncer.SyncOptions) (syncer.Summary, error) {
	const rounds = 4 // needs that lead to and fro between indexes for longer wait for the next pass
	var errs []error
	heard, last := make(map[*syncer.Engine]int), make(map[*syncer.Engine]syncer.Summary)
	sum := syncer.Summary{Started: time.Now(), Complete: true}
	for round := range rounds {
		for _, e := range r.engines() {
			told := e.Adoptions()
			if round > 0 && told == heard[e] {
				continue
			}
			heard[e] = told
			s, err := pass(ctx, e, o)
			errs = append(errs, err)
			last[e] = s
			sum.Took += s.Took
			sum.Files += s.Files
			sum.Bytes += s.Bytes
			sum.Received += s.Received
			sum.Removed += s.Removed
			sum.Complete = sum.Complete && s.Complete
			if ctx.Err() != nil {
				return sum, errors.Join(errs...)
			}
		}
	}
	for _, s := range last {
		sum.Projects += s.Projects
		sum.Failed += s.Failed
		sum.HeldBack += s.HeldBack
		sum.Cost = addCosts(sum.Cost, s.Cost)
	}
	return sum, errors.Join(errs...)
}

// pass makes one, after the one that is under way.
func pass(ctx context.Context, e *syncer.Engine, o syncer.SyncOptions) (syncer.Summary, error) {
	s, err := e.Sync(ctx, o)
	for errors.Is(err, syncer.ErrPassing) && ctx.Err() == nil {
		e.WaitPass(ctx)
		s, err = e.Sync(ctx, o)
	}
	return s, err
}

// addCosts sums up what the passes of two indexes would bring; they share one line.
func addCosts(a, b *syncer.Cost) *syncer.Cost {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	sum := *a
	sum.Files += b.Files
	sum.Bytes += b.Bytes
	sum.Unsized += b.Unsized
	sum.Untold += b.Untold
	sum.Rate = max(a.Rate, b.Rate)
	sum.Takes += b.Takes
	return &sum
}

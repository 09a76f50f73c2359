package app

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"cheeseboard/storage"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
)

// runEvery is the longest time between two looks at what is to be brought again.
const runEvery = time.Hour

// errand is what is to be done when something was lost: take over what is on the
// disk already, and fetch the rest.
type errand struct {
	wake   chan struct{} // holds one
	passed atomic.Bool   // a pass went through since the last run
	turned atomic.Bool   // one ended before that, and had brought something
}

func newErrand() *errand { return &errand{wake: make(chan struct{}, 1)} }

// poke asks for a run now.
func (e *errand) poke() {
	select {
	case e.wake <- struct{}{}:
	default: // asked for already
	}
}

// passed hears of the end of each pass. What failed while the line is up is a
// project's own trouble; while it is down, nothing was learnt.
func (a *App) passed(sum syncer.Summary, err error) {
	a.through.note("", sum, err)
	switch {
	case err == nil && (sum.Failed == 0 || a.Engine.Line.Up()):
		a.errand.passed.Store(true)
		a.errand.poke()
	case sum.Received > 0: // the first sync over a poor line goes on for weeks
		a.errand.turned.Store(true)
	}
}

// run sees to what was lost, until ctx ends.
func (a *App) run(ctx context.Context) {
	ticker := time.NewTicker(runEvery)
	defer ticker.Stop()
	for {
		up := a.Engine.Line.Changed()
		if err := a.recover(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("what the disk has lost could not be brought again; it is tried later", "reason", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-up:
		case <-ticker.C:
		case <-a.errand.wake:
		}
	}
}

// recover takes over what the disk has and no record knows, once the pages are
// here, and fetches what it has lost.
func (a *App) recover(ctx context.Context) error {
	var errs []error
	// Where nothing is selected there may be no passes: then clients bring the pages.
	nothing := len(a.config.Sync.Projects) == 0 && a.Engine.Line.Up()
	passed := a.errand.passed.Swap(false) || nothing
	errs = append(errs, a.claim(ctx, passed))
	turned := a.errand.turned.Swap(false)
	if passed {
		errs = append(errs, a.sweepAttestations())
	}
	if rebuilt, err := a.Store.Rebuilt(); passed || turned && !rebuilt && err == nil {
		errs = append(errs, a.keepBackup(ctx))
	}
	lost, err := a.Store.Lost()
	if err != nil || len(lost) == 0 {
		return errors.Join(append(errs, err)...)
	}
	items := make(map[pypi.Namespace][]syncer.Item)
	for _, r := range lost {
		item, of := toItem(r), pypi.Namespace("")
		item.Name, of = item.Name.Apart()
		items[of] = append(items[of], item)
	}
	var refs []storage.Ref
	for _, of := range slices.Sorted(maps.Keys(items)) {
		engine := a.engineOf(of)
		if engine == nil {
			continue // its index may be configured again
		}
		done, err := engine.Again(ctx, items[of])
		errs = append(errs, err)
		for _, i := range done {
			i.Name = of.In(i.Name)
			refs = append(refs, toRef(i))
		}
	}
	return errors.Join(append(errs, a.Store.Forsake(refs...))...)
}

// claim takes over what is on the disk and known to a page, where the metadata are
// younger than the files. passed says that what is wanted has its page again.
func (a *App) claim(ctx context.Context, passed bool) error {
	rebuilt, err := a.Store.Rebuilt()
	if rebuilt && err == nil {
		_, err = a.Store.Claim(ctx, passed, a.busy)
	}
	if err != nil || !passed {
		return err
	}
	return a.Store.Settled()
}

// keepRate is how many bytes of the metadata are read in a second for the backup in
// the data folder: nobody waits for it.
const keepRate = 8 << 20

// keepBackup renews the backup in the data folder, where that is due.
func (a *App) keepBackup(ctx context.Context) error {
	o := a.backupOptions()
	o.Rate, o.Hold = keepRate, a.busy
	kept, err := a.Store.Keep(ctx, false, o)
	if kept {
		a.log.Info("the backup in the data folder was made anew")
	}
	if errors.Is(err, storage.ErrFull) {
		a.log.Debug("there is no room for a backup in the data folder", "reason", err)
		return nil
	}
	return err
}

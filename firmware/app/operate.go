package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/storage"
	"cheeseboard/syncer"
)

// tick is the time between two progress events.
const tick = 250 * time.Millisecond

// Errors by which a command ends with a status that is not zero although it did
// its work.
var (
	ErrIncomplete = errors.New("something could not be had; cheeseboard status names it")
	ErrFindings   = errors.New("the store is not sound")
)

// Sync makes one pass and reports how it goes. Where one is under way already,
// it is waited for.
func (a *App) Sync(ctx context.Context, opts SyncOptions, report func(Event)) error {
	ctx, leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	stop := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				for _, e := range a.engines() {
					if p, ok := e.Progress(); ok {
						report(Event{Sync: &p})
						break
					}
				}
			}
		}
	}()
	options := syncer.SyncOptions{Now: true, AcceptRemovals: opts.AcceptRemovals, Plan: opts.Plan}
	summary, err := a.passes(ctx, options)
	close(stop)
	<-told
	status, statusErr := a.Engine.Status()
	others, othersErr := a.indexes()
	statusErr = errors.Join(statusErr, othersErr)
	for _, x := range others {
		status.Problems = append(status.Problems, x.Sync.Problems...)
	}
	for i := range status.Problems {
		report(Event{Problem: &status.Problems[i]})
	}
	report(Event{Synced: &summary})
	if b := status.Budget; summary.Cost != nil && b.Cap > 0 && summary.Cost.Bytes > b.Cap-b.Used {
		report(Event{Note: fmt.Sprintf("that is more than line.monthly-cap leaves this month: %d MB of %d MB are used", b.Used>>20, b.Cap>>20)})
	}
	if err = errors.Join(err, statusErr); err != nil {
		return err
	}
	if summary.Failed > 0 {
		return fmt.Errorf("%d of %d projects are not complete: %w", summary.Failed, summary.Projects, ErrIncomplete)
	}
	return nil
}

// Verify proves the invariants of the store and reports what it finds.
func (a *App) Verify(ctx context.Context, opts VerifyOptions, report func(Event)) error {
	ctx, leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	last := time.Now()
	progress, err := a.Store.Verify(ctx, storage.VerifyOptions{
		Repair: opts.Repair, Restart: opts.Restart, Unclaimed: opts.Unclaimed,
		Report: func(f storage.Finding) { report(Event{Finding: &f}) },
		Progress: func(p storage.VerifyProgress) {
			if time.Since(last) >= tick {
				last = time.Now()
				report(Event{Verify: &p})
			}
		},
	})
	report(Event{Verified: &progress})
	if err != nil {
		return err
	}
	if progress.Unmended > 0 {
		return fmt.Errorf("%d faults: %w", progress.Unmended, ErrFindings)
	}
	return nil
}

// once opens a box for one command, where none is serving. With mend, damaged
// metadata are set aside; a command that only looks says that they are damaged.
func once(c config.Config, log *slog.Logger, mend bool, do func(*App) error) error {
	a, err := open(c, log, storage.Options{Mend: mend})
	if err != nil {
		return err
	}
	return errors.Join(do(a), a.Close())
}

// RunSync makes one pass: in the box that serves this data folder, or by itself.
func RunSync(ctx context.Context, c config.Config, log *slog.Logger, opts SyncOptions, report func(Event)) error {
	c, err := located(c)
	if err != nil {
		return err
	}
	if remote, ok := dial(ctx, c.Data); ok {
		status, err := remote.status(ctx)
		if err != nil {
			return err
		}
		if status.Settings != fingerprint(c) {
			report(Event{Note: "the box that serves this data folder goes by its own settings, which are not these; restart it to have it take them"})
		}
		return remote.stream(ctx, "/sync", opts, report)
	}
	return once(c, log, true, func(a *App) error { return a.Sync(ctx, opts, report) })
}

// existing refuses a data folder that is none: a command that only looks must
// not make one where a name was mistyped.
func existing(c config.Config) error {
	absent := func(name string) bool {
		_, err := os.Stat(filepath.Join(c.Data, name))
		return errors.Is(err, fs.ErrNotExist)
	}
	if absent("FORMAT") && absent("meta") {
		return fmt.Errorf("there is no cheeseboard's data in %s; name the right folder with --data, or begin with cheeseboard serve or sync", c.Data)
	}
	return nil
}

// RunVerify proves the store: in the box that serves it, or by itself.
func RunVerify(ctx context.Context, c config.Config, log *slog.Logger, opts VerifyOptions, report func(Event)) error {
	c, err := located(c)
	if err != nil {
		return err
	}
	if remote, ok := dial(ctx, c.Data); ok {
		return remote.stream(ctx, "/verify", opts, report)
	}
	if err := existing(c); err != nil {
		return err
	}
	return once(c, log, false, func(a *App) error { return a.Verify(ctx, opts, report) })
}

// ReadStatus asks the box that serves this data folder, or reads the folder.
func ReadStatus(ctx context.Context, c config.Config, log *slog.Logger) (Status, error) {
	var s Status
	c, err := located(c)
	if err != nil {
		return s, err
	}
	if remote, ok := dial(ctx, c.Data); ok {
		return remote.status(ctx)
	}
	if err := existing(c); err != nil {
		return s, err
	}
	err = once(c, log, false, func(a *App) (err error) {
		s, err = a.Status()
		return err
	})
	return s, err
}

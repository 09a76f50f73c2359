package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/storage"
)

// Some things can only be done while nothing has the data folder open: to move to
// another, to set metadata aside that turned out to be damaged, or to write again
// what was opened on a full disk to be read. Then the rooms
// are closed, the thing is done, and they are opened again, while the listeners
// stay and requests wait at the gate.

// target says how the rooms are opened again.
type target struct {
	config  config.Config
	options storage.Options
	undo    func() error // called where that fails, before the old ones are opened; nil: nothing is to be undone
}

// job is something to be done while the rooms are closed. do gives how to open
// them again; where it fails, they are opened as they were.
type job struct {
	do   func() (target, error)
	done chan error // takes the outcome; holds one
}

// swapPatience is how long requests that are under way may go on before the rooms
// are closed. Files that are being sent need not end: see letGo.
const swapPatience = 3 * time.Second

// work starts what goes on beside the requests; stop ends it.
func (a *App) work(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	var runErr error
	engine, record, store, names := a.Engine, a.record, a.Store, a.names
	running.Go(func() { runErr = engine.Run(ctx) })
	for _, w := range a.wings {
		running.Go(func() {
			if err := w.Engine.Run(ctx); err != nil {
				a.log.Error("an index is not followed any more", "index", w.config.Name, "reason", err)
			}
		})
	}
	running.Go(func() { record.run(ctx) })
	running.Go(func() { a.tendClock(ctx) })
	running.Go(func() { store.Tend(ctx) })
	running.Go(func() {
		if err := names.Prepare(); err != nil {
			a.log.Warn("the search could not be prepared; it is when somebody searches", "reason", err)
		}
	})
	running.Go(func() { a.scrub(ctx) })
	running.Go(func() { a.tendFirst(ctx) })
	running.Go(func() { a.tendUpdates(ctx) })
	running.Go(func() {
		select {
		case <-store.Roomy():
			a.log.Info("there is room on the disk again: the data folder is opened anew, to be written")
			a.renew(ctx, storage.Options{Mend: true})
		case <-ctx.Done():
		}
	})
	running.Go(func() { a.run(ctx) })
	return func() error {
		cancel()
		running.Wait()
		return runErr
	}
}

// keep works until ctx ends, and does the jobs in between. An error means that
// the rooms are closed and cannot be opened.
func (a *App) keep(ctx context.Context) error {
	for {
		stop := a.work(ctx)
		select {
		case <-ctx.Done():
			return stop()
		case j := <-a.jobs:
			err := a.swap(stop, j.do)
			if err != nil {
				a.log.Error("what was to be done with the data folder closed failed", "reason", err)
			}
			j.done <- err
			if a.closed {
				return err
			}
		}
	}
}

// swap does something while the rooms are closed.
func (a *App) swap(stop func() error, do func() (target, error)) error {
	begun := time.Now()
	a.paused.begin() // before anybody waits
	defer a.paused.end()
	a.gate.close()
	defer func() {
		if a.closed {
			a.gate.end() // there is nothing to be let in to
			a.calls.end()
			return
		}
		a.gate.open()
		a.calls.open()
	}()
	a.cancel()
	a.closeEngines() // nobody inside waits for the line any more
	err := stop()
	a.gate.drain(swapPatience)
	a.calls.close() // after those at the gate, of whom some make calls
	old := target{config: a.config, options: storage.Options{Mend: true}}
	if err = errors.Join(err, a.rooms.close()); err != nil {
		a.log.Error("closing the data folder", "reason", err)
	}
	next, err := do()
	if err == nil {
		if err = a.furnish(next.config, next.options); err == nil {
			a.log.Info("the data folder is open again", "folder", next.config.Data, "closed for", time.Since(begun))
			return nil
		}
		err = fmt.Errorf("open the data folder again: %w", err)
		if next.undo != nil {
			err = errors.Join(err, next.undo())
		}
	}
	if again := a.furnish(old.config, old.options); again != nil {
		err = errors.Join(err, fmt.Errorf("open the old data folder again: %w", again))
	}
	return err
}

// enqueue has a job done by Serve, and gives its outcome.
func (a *App) enqueue(ctx context.Context, do func() (target, error)) error {
	j := job{do, make(chan error, 1)}
	select {
	case a.jobs <- j:
		return <-j.done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew has Serve open the same folder again. It does not wait for that, since it is
// called by what must end before.
func (a *App) renew(ctx context.Context, options storage.Options) {
	c := a.config
	j := job{done: make(chan error, 1), do: func() (target, error) { return target{config: c, options: options}, nil }}
	select {
	case a.jobs <- j:
	case <-ctx.Done():
	}
}

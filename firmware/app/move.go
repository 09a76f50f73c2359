package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/storage"
)

// MoveOptions are those of the command.
type MoveOptions struct {
	To        string `json:"to"` // the new data folder, with its whole path
	RemoveOld bool   `json:"remove_old"`
}

// Moved is what a move did.
type Moved struct {
	From    string        `json:"from"`
	To      string        `json:"to"`
	Files   int           `json:"files"` // and metadata of files
	Bytes   int64         `json:"bytes"`
	Paused  time.Duration `json:"paused_ns"` // for which requests waited
	Removed bool          `json:"removed"`   // the old folder was removed
}

const (
	// moveLeft is how many bytes a round of copying may have brought for the rest
	// to be left to the pause.
	moveLeft = 4 << 20
	// moveRounds is how many rounds there are at most: where more comes in than is
	// copied, the pause is long.
	moveRounds = 20
	// moveQuiet is how long the pause waits for downloads to end that clients follow.
	moveQuiet = time.Minute
)

// move copies the data folder to another, while this box serves, and then has it
// served from there. pause does what can only be done while the folder is closed.
func (a *App) move(ctx context.Context, opts MoveOptions, report func(Event), pause func(func() (target, error)) error) (err error) {
	if err := a.mayMove(opts.To); err != nil {
		return err
	}
	a.moving.Add(1)
	defer a.moving.Add(-1)
	from := a.Store.Dir()
	last := time.Now()
	var progress storage.MoveProgress
	m, err := storage.BeginMove(a.Store, opts.To, storage.MoveOptions{Lost: a.errand.poke, Progress: func(p storage.MoveProgress) {
		if progress = p; time.Since(last) >= tick {
			last = time.Now()
			report(Event{Move: &p})
		}
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	for range moveRounds {
		n, err := m.Copy(ctx)
		if err != nil {
			return fmt.Errorf("%w; what was copied stays in %s, and the next move to it goes on from there", err, opts.To)
		}
		if n < moveLeft {
			break
		}
	}
	a.visits.settle(ctx, moveQuiet)
	if err := ctx.Err(); err != nil {
		return err
	}
	c := a.config
	begun := time.Now()
	err = pause(func() (target, error) {
		if err := errors.Join(m.Finish(), m.Close()); err != nil {
			return target{}, err
		}
		c.Data = opts.To
		return target{c, storage.Options{Mend: true}, m.Undo}, nil
	})
	if err != nil {
		return err
	}
	done := Moved{From: from, To: opts.To, Files: progress.Blobs, Bytes: progress.Done, Paused: time.Since(begun), Removed: opts.RemoveOld}
	a.log.Info("the data folder was moved", "from", from, "to", opts.To, "paused", done.Paused)
	if opts.RemoveOld {
		err = m.RemoveOld()
	}
	report(Event{Moved: &done})
	return err
}

// serveMove is the command in a box that serves.
func (a *App) serveMove(w http.ResponseWriter, r *http.Request) {
	var opts MoveOptions
	a.streaming(w, r, &opts, func(ctx context.Context, report func(Event)) error {
		return a.move(ctx, opts, report, func(do func() (target, error)) error {
			letGo(r.Context()) // this request is not to be waited for
			if err := a.enqueue(ctx, do); err != nil {
				return err
			}
			return a.listenAlso()
		})
	})
}

// listenAlso has commands find this box in the folder to which it has moved.
func (a *App) listenAlso() error {
	socket, release, err := listenControl(a.Store.Dir())
	if err != nil {
		return err
	}
	a.sockets.Go(func() {
		defer release()
		serveControl(a.commands, socket, a.log)
	})
	return nil
}

// RunMove moves the data folder: the box that serves it does, or this command by
// itself.
func RunMove(ctx context.Context, c config.Config, log *slog.Logger, opts MoveOptions, report func(Event)) (err error) {
	if opts.To, err = filepath.Abs(opts.To); err != nil {
		return err
	}
	if c, err = located(c); err != nil {
		return err
	}
	if remote, ok := dial(ctx, c.Data); ok {
		return remote.stream(ctx, "/move", opts, report)
	}
	if err := existing(c); err != nil {
		return err
	}
	return once(c, log, true, func(a *App) error {
		return a.move(ctx, opts, report, func(do func() (target, error)) error {
			return a.swap(func() error { return nil }, do)
		})
	})
}

// located follows a data folder to where it was moved.
func located(c config.Config) (config.Config, error) {
	dir, err := storage.Follow(c.Data)
	c.Data = dir
	return c, err
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/update"
)

// UpdateNow takes the newest release and installs it.
func (a *App) UpdateNow(ctx context.Context, o UpdateOptions, report func(Event)) error {
	ctx, leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	offer, err := a.checkReleases(ctx)
	if err != nil {
		return err
	}
	s, _ := a.updates.now()
	switch {
	case offer == nil:
		return fmt.Errorf("nothing is released for a %s", s.Board)
	case !o.Again && !update.Worth(s, offer.Version):
		report(Event{Note: fmt.Sprintf("version %s is the newest release; %s runs here", offer.Version, s.Version)})
		report(Event{Updated: &Updated{Version: s.Version, Slot: s.Slot}})
		return nil
	}
	done, err := a.takeOffer(ctx, *offer, o, report)
	if err == nil {
		report(Event{Updated: &done})
	}
	return err
}

// CheckReleases asks for releases, and gives what is known then.
func (a *App) CheckReleases(ctx context.Context) (Releases, error) {
	ctx, leave, err := a.enter(ctx)
	if err != nil {
		return Releases{}, err
	}
	defer leave()
	_, err = a.checkReleases(ctx)
	a.noteReleases(err)
	if err != nil {
		return Releases{}, err
	}
	return *a.releases(), nil
}

// serveUpdate installs a bundle that comes over the control socket; without one, the
// newest release.
func (a *App) serveUpdate(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o := UpdateOptions{Again: q.Get("again") != "", Stay: q.Get("stay") != ""}
	a.streamEvents(w, r, func(ctx context.Context, report func(Event)) error {
		if q.Get("bundle") == "" {
			return a.UpdateNow(ctx, o, report)
		}
		done, err := a.install(ctx, r.Body, r.ContentLength, o, report)
		if err == nil {
			report(Event{Updated: &done})
		}
		return err
	})
}

func (a *App) serveReleases(w http.ResponseWriter, r *http.Request) {
	known, err := a.CheckReleases(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	a.sendJSON(w, known)
}

// RunUpdate installs a bundle from a file, or the newest release where path is "": by
// the box that serves the data folder, or where none does and there is a file, by init.
func RunUpdate(ctx context.Context, c config.Config, path string, o UpdateOptions, report func(Event)) error {
	c, err := located(c)
	if err != nil {
		return err
	}
	box, serving := dial(ctx, c.Data)
	if path == "" {
		if !serving {
			return errors.New("no box serves here that could fetch the newest release; name the file of a bundle")
		}
		return box.update(ctx, nil, 0, o, report)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case serving:
		return box.update(ctx, f, info.Size(), o, report)
	}
	a := &App{machine: FindMachine(), log: slog.New(slog.DiscardHandler)}
	done, err := a.install(ctx, f, info.Size(), o, report)
	if err == nil {
		report(Event{Updated: &done})
	}
	return err
}

// RunCheck has the box that serves the data folder ask for releases.
func RunCheck(ctx context.Context, c config.Config) (Releases, error) {
	var known Releases
	c, err := located(c)
	if err != nil {
		return known, err
	}
	box, serving := dial(ctx, c.Data)
	if !serving {
		return known, errors.New("no box serves here; cheeseboard serve does")
	}
	resp, err := box.do(ctx, http.MethodPost, "/releases", nil)
	if err != nil {
		return known, err
	}
	return known, errors.Join(json.NewDecoder(resp.Body).Decode(&known), resp.Body.Close())
}

// ReadMachine asks init how the machine is, also where no box serves.
func ReadMachine(ctx context.Context) (MachineState, error) {
	m := FindMachine()
	if m == nil {
		return MachineState{}, errNoMachine
	}
	return m.State(ctx)
}

// update sends a bundle to a box that serves; nil asks for the newest release.
func (r *remote) update(ctx context.Context, bundle io.Reader, size int64, o UpdateOptions, report func(Event)) error {
	q := url.Values{}
	for name, is := range map[string]bool{"again": o.Again, "stay": o.Stay, "bundle": bundle != nil} {
		if is {
			q.Set(name, "1")
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://cheeseboard/update?"+q.Encode(), bundle)
	if err != nil {
		return err
	}
	req.ContentLength = size
	resp, err := r.send(req)
	if err != nil {
		return err
	}
	return r.events(resp, report)
}

// updated implements admin.Updater's end: a sentence for people.
func (u Updated) sentence() string {
	if u.Restarting {
		return fmt.Sprintf("Version %s is installed. The box restarts into it now, on trial: if it does not do well within a quarter of an hour, the box goes back to the version before by itself.", u.Version)
	}
	return fmt.Sprintf("Version %s is installed, and waits to be started.", u.Version)
}

// Updatable implements admin.Updater.
func (b *administration) Updatable() string {
	s, known := b.app.updates.now()
	switch {
	case b.app.machine == nil:
		return ""
	case !known:
		return "The image of this box cannot be told: init does not answer."
	}
	u := &b.app.updates
	u.mu.Lock()
	offer, failed := u.offer, u.failed
	u.mu.Unlock()
	return sentence(judgeUpdate(s, offer, failed, time.Now()).Summary)
}

// Update implements admin.Updater.
func (b *administration) Update(ctx context.Context, bundle io.Reader, size int64, again bool, say func(stage string, done, total int64)) (string, error) {
	done, err := b.app.install(ctx, bundle, size, UpdateOptions{Again: again}, func(e Event) {
		if p := e.Update; p != nil {
			say(p.Stage, p.Done, p.Total)
		}
	})
	if err != nil {
		return "", err
	}
	return done.sentence(), nil
}

// Refused implements admin.Updater.
func (b *administration) Refused(err error) bool {
	return errors.As(err, new(*machine.Refusal))
}

package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"cheeseboard/firmware/config"
)

// An order is what a command wants done at once, and has one answer. What takes its time,
// and tells of its progress, goes by events (control.go).

// serveOrder carries out an order that comes through the control socket.
func serveOrder[O, A any](a *App, w http.ResponseWriter, r *http.Request, carryOut func(O) (A, error)) {
	var o O
	err := json.NewDecoder(r.Body).Decode(&o)
	var answer A
	if err == nil {
		answer, err = carryOut(o)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.sendJSON(w, answer)
}

// runOrder has the box that serves the data folder carry an order out, at a path of its
// control socket; where none does, it is done here, in a folder that is usable.
func runOrder[O, A any](ctx context.Context, c config.Config, log *slog.Logger, path string, o O, usable func(config.Config) error, carryOut func(*App) (A, error)) (answer A, err error) {
	if c, err = located(c); err != nil {
		return answer, err
	}
	if remote, ok := dial(ctx, c.Data); ok {
		return answer, remote.order(ctx, path, o, &answer)
	}
	if err := usable(c); err != nil {
		return answer, err
	}
	err = once(c, log, false, func(a *App) (err error) {
		answer, err = carryOut(a)
		return err
	})
	return answer, err
}

// order has the box that serves do something that is done at once.
func (r *remote) order(ctx context.Context, path string, order, answer any) error {
	resp, err := r.do(ctx, http.MethodPost, path, order)
	if err != nil {
		return err
	}
	var raw bytes.Buffer
	_, err = raw.ReadFrom(http.MaxBytesReader(nil, resp.Body, 4<<20))
	if err == nil {
		err = json.Unmarshal(raw.Bytes(), answer)
	}
	return errors.Join(err, resp.Body.Close())
}

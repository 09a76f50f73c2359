package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cheeseboard/storage"
	"cheeseboard/syncer"
)

// A box that serves has its data folder to itself. Other commands reach it
// through a socket in that folder, which only the folder's owner can open: GET
// /status, POST /sync and POST /verify, the last two answering with one Event a
// line. The socket's protocol is between two commands of one version.

const socketName = "control.sock"

// socketPath gives a name for the socket that fits into the 107 bytes which the
// kernel allows, whatever the folder is called. release ends its use.
func socketPath(folder string) (path string, release func(), err error) {
	path = filepath.Join(folder, socketName)
	if len(path) < 100 {
		return path, func() {}, nil
	}
	dir, err := os.Open(folder)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName), func() { _ = dir.Close() }, nil
}

// listenControl makes the socket. The lock of the data folder is held, so an
// old one belongs to nobody.
func listenControl(folder string) (net.Listener, func(), error) {
	path, release, err := socketPath(folder)
	if err != nil {
		return nil, nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		release()
		return nil, nil, err
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("make the control socket: %w", err)
	}
	return l, release, nil
}

func (a *App) control(started time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		s, err := a.Status()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.Serving, s.Started = true, started
		a.sendJSON(w, s)
	})
	mux.HandleFunc("POST /sync", func(w http.ResponseWriter, r *http.Request) {
		var opts SyncOptions
		a.streaming(w, r, &opts, func(ctx context.Context, report func(Event)) error { return a.Sync(ctx, opts, report) })
	})
	mux.HandleFunc("POST /verify", func(w http.ResponseWriter, r *http.Request) {
		var opts VerifyOptions
		a.streaming(w, r, &opts, func(ctx context.Context, report func(Event)) error { return a.Verify(ctx, opts, report) })
	})
	mux.HandleFunc("POST /backup", a.backup)
	mux.HandleFunc("POST /move", a.serveMove)
	mux.HandleFunc("POST /update", a.serveUpdate)
	mux.HandleFunc("POST /releases", a.serveReleases)
	mux.HandleFunc("POST /tokens", a.serveTokens)
	mux.HandleFunc("POST /private", a.servePrivate)
	mux.HandleFunc("POST /passphrase", a.servePassphrase)
	return mux
}

func (a *App) sendJSON(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		a.log.Debug("the other end of the control socket is gone", "reason", err)
	}
}

// streaming runs a command for the other end of the socket; when that goes away,
// the command is stopped.
func (a *App) streaming(w http.ResponseWriter, r *http.Request, opts any, run func(context.Context, func(Event)) error) {
	if err := json.NewDecoder(r.Body).Decode(opts); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.streamEvents(w, r, run)
}

// streamEvents is streaming for a command whose options are not in the body.
func (a *App) streamEvents(w http.ResponseWriter, r *http.Request, run func(context.Context, func(Event)) error) {
	flush := http.NewResponseController(w)
	_ = flush.EnableFullDuplex() // else a body that is still to come is read before the first line goes out
	events := make(chan Event, 64)
	done := make(chan struct{})
	go func() { // one writer: events come from several goroutines
		defer close(done)
		for e := range events {
			a.sendJSON(w, e)
			_ = flush.Flush() // a reader that is gone is seen by the next write
		}
	}()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.ctx, cancel)()
	err := run(ctx, func(e Event) { events <- e })
	if err != nil {
		events <- Event{Error: err.Error(), Kind: kindOf(err)}
	}
	close(events)
	<-done
}

// The kinds of errors that keep their identity over the socket.
var kinds = map[string]error{
	"incomplete": ErrIncomplete, "findings": ErrFindings, "guard": syncer.ErrGuard, "passing": syncer.ErrPassing, "full": storage.ErrFull, "moved": storage.ErrMoved,
}

func kindOf(err error) string {
	for kind, target := range kinds {
		if errors.Is(err, target) {
			return kind
		}
	}
	return ""
}

// remote is a box that is serving.
type remote struct{ client *http.Client }

// dial finds the box that serves a data folder; false where there is none.
func dial(ctx context.Context, folder string) (*remote, bool) {
	connect := func(ctx context.Context) (net.Conn, error) {
		path, release, err := socketPath(folder)
		if err != nil {
			return nil, err
		}
		defer release()
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	conn, err := connect(ctx)
	if err != nil {
		return nil, false
	}
	_ = conn.Close() // it was only to see whether somebody is there
	return &remote{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return connect(ctx) },
	}}}, true
}

func (r *remote) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://cheeseboard"+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return r.send(req)
}

// send sends a request; what is not a 200 is an error with the answer's text.
func (r *remote) send(req *http.Request) (*http.Response, error) {
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the serving cheeseboard: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, errors.Join(fmt.Errorf("the serving cheeseboard answered: %s", strings.TrimSpace(string(text))), err, resp.Body.Close())
	}
	return resp, nil
}

func (r *remote) status(ctx context.Context) (Status, error) {
	var s Status
	resp, err := r.do(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return s, err
	}
	return s, errors.Join(json.NewDecoder(resp.Body).Decode(&s), resp.Body.Close())
}

func (r *remote) stream(ctx context.Context, path string, opts any, report func(Event)) error {
	resp, err := r.do(ctx, http.MethodPost, path, opts)
	if err != nil {
		return err
	}
	return r.events(resp, report)
}

// events reports what a command says, to its end.
func (r *remote) events(resp *http.Response, report func(Event)) error {
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	ended := false
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read from the serving cheeseboard: %w", err)
		}
		if e.Error != "" {
			return remoteError{e.Error, kinds[e.Kind]}
		}
		ended = ended || e.Synced != nil || e.Verified != nil || e.Moved != nil || e.Updated != nil
		report(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read from the serving cheeseboard: %w", err)
	}
	if !ended {
		return errors.New("the serving cheeseboard went away in mid-command")
	}
	return nil
}

type remoteError struct {
	text string
	kind error
}

func (e remoteError) Error() string { return e.text }
func (e remoteError) Unwrap() error { return e.kind }

// serveControl answers on the socket until the server is closed.
func serveControl(s *http.Server, l net.Listener, log *slog.Logger) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Error("the control socket failed", "reason", err)
	}
}

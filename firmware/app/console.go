package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"cheeseboard/board/console"
	"cheeseboard/httpd/admin"
	"cheeseboard/httpd/throttle"
)

const (
	// consoleLines is how many lines of the log the console can show, and how many
	// wishes.
	consoleLines = 40
	// consoleWidth is where they are cut.
	consoleWidth = 300
)

// recent keeps the last lines of the log for the console, where a box without a screen
// has no other place for them.
type recent struct {
	mu    sync.Mutex
	lines []string // a ring; next is the oldest
	next  int
}

func (r *recent) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) < consoleLines {
		r.lines = append(r.lines, line)
		return
	}
	r.lines[r.next] = line
	r.next = (r.next + 1) % consoleLines
}

// all gives them, the newest last.
func (r *recent) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(append([]string{}, r.lines[r.next:]...), r.lines[:r.next]...)
}

// remembering is a handler that keeps what it hands on.
type remembering struct {
	slog.Handler
	recent *recent
	prefix string // attributes that were set before
}

// Handle implements slog.Handler.
func (h remembering) Handle(ctx context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s%s", r.Time.Format(time.TimeOnly), r.Level, r.Message, h.prefix)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%s", a.Key, a.Value)
		return b.Len() < consoleWidth
	})
	line := b.String()
	h.recent.add(line[:min(len(line), consoleWidth)])
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h remembering) WithAttrs(attrs []slog.Attr) slog.Handler {
	prefix := h.prefix
	for _, a := range attrs {
		prefix += fmt.Sprintf(" %s=%s", a.Key, a.Value)
	}
	return remembering{h.Handler.WithAttrs(attrs), h.recent, prefix}
}

// WithGroup implements slog.Handler. The console does without the group's name.
func (h remembering) WithGroup(name string) slog.Handler {
	return remembering{h.Handler.WithGroup(name), h.recent, h.prefix}
}

// newConsole makes what talks at the serial ports. stop ends Serve.
func (a *App) newConsole(stop func()) *console.Console {
	guesses := throttle.New(throttle.Options{})
	return console.New(console.Deps{
		Status: a.consoleStatus, Wishes: a.consoleWishes, Logs: a.recent.all, SetClock: a.SetClock,
		Addresses: a.addresses,
		Sync:      a.consoleSync,
		Import:    a.Import,
		SetPIN: func(pin string) error {
			return a.during(func() error { return a.choosePassphrase(pin) })
		},
		Check: func(pin string) (right bool, wait time.Duration, err error) {
			err = a.during(func() error { right, wait, err = a.checkPIN(guesses, pin); return err })
			return right, wait, err
		},
		ShutDown: func() error {
			a.log.Info("shutting down, as asked for at the console")
			a.panel.switchOffLater()
			stop()
			return nil
		},
		Notice: a.firstNotice,
		Open:   a.openPort,
		Log:    a.log,
	}, a.config.Console.Ports)
}

// openPort opens a serial port, and tells what to do where the confinement forbids it.
func (a *App) openPort(path string) (console.Port, error) {
	port, err := console.OpenSerial(path)
	if errors.Is(err, fs.ErrPermission) && a.confined != nil {
		err = fmt.Errorf("%w: a confined process opens only ports that were there when it started: start the box anew, or set confine.process = false", err)
	}
	return port, err
}

// during does something while the rooms stay open.
func (a *App) during(do func() error) error {
	_, leave, err := a.enter(context.Background())
	if err != nil {
		return err
	}
	defer leave()
	return do()
}

// browserURLs are the addresses of the page for people.
func browserURLs(urls []string) []string {
	for i, u := range urls {
		urls[i] = strings.TrimSuffix(u, "simple/")
	}
	return urls
}

// checkPIN tries the passphrase of the administration, one at a time whatever port it came
// from. Wrong ones make the next wait.
func (a *App) checkPIN(guesses *throttle.Throttle, pin string) (bool, time.Duration, error) {
	const who = "console" // all ports are one
	if a.admin == nil {
		return false, 0, errors.New("there is no administration here: access.admin is off")
	}
	a.trying.Lock() // or as many would be tried at once as there are ports
	defer a.trying.Unlock()
	if wait := guesses.Wait(who); wait > 0 {
		return false, wait, nil
	}
	right, err := a.admin.Passphrase(pin)
	switch {
	case errors.Is(err, admin.ErrUnset):
		return false, 0, errors.New("no passphrase is set: run cheeseboard passphrase on the box")
	case err != nil:
		return false, 0, err
	case right:
		guesses.Passed(who)
	default:
		guesses.Failed(who)
		a.log.Warn("a wrong passphrase at the console")
	}
	return right, 0, nil
}

// ConsoleStatus is what the console tells machines.
type ConsoleStatus struct {
	Version  string `json:"version"`
	Health   string `json:"health"` // as health.Severity is written
	Summary  string `json:"summary"`
	Action   string `json:"action,omitempty"`
	Files    int    `json:"files"`
	Projects int    `json:"projects"`
	Syncing  bool   `json:"syncing"`
	Line     string `json:"line"`              // the sentence
	Waiting  string `json:"waiting,omitempty"` // why nothing is fetched by itself
	Wishes   int    `json:"wishes"`
	Problems int    `json:"problems"`
	Clock    string `json:"clock"`            // a sentence
	Import   string `json:"import,omitempty"` // from a USB stick; a sentence
	Image    string `json:"image,omitempty"`  // which version runs, what waits, what was given back; a sentence
}

func (a *App) consoleStatus() ([]string, any, error) {
	s, err := a.Status()
	if err != nil {
		return nil, nil, err
	}
	c := ConsoleStatus{
		Version: s.Version, Health: s.Health.Severity.String(), Summary: s.Health.Summary, Action: s.Health.Action,
		Files: int(s.Store.Files), Projects: int(s.Store.Projects), Syncing: s.Sync.Syncing, Line: s.Sync.Line.Sentence,
		Waiting: s.Sync.Budget.Waiting, Wishes: len(s.Sync.Wishes), Problems: len(s.Sync.Problems) + s.Sync.Left, Clock: a.timing.probe().Summary,
	}
	lines := []string{fmt.Sprintf("%s: %s", c.Health, c.Summary)}
	if c.Action != "" {
		lines = append(lines, "do this: "+c.Action)
	}
	lines = append(lines, fmt.Sprintf("%d files of %d projects are here.", c.Files, c.Projects), c.Line, c.Clock)
	if m := s.Machine; m != nil {
		c.Image = judgeUpdate(*m, nil, "", time.Now()).Summary
		lines = append(lines, sentence(c.Image))
	}
	if c.Waiting != "" {
		lines = append(lines, "Nothing is fetched by itself: "+c.Waiting)
	}
	if c.Syncing {
		p := s.Sync.Progress
		lines = append(lines, fmt.Sprintf("A sync is under way: %d MB of %d MB.", p.BytesDone>>20, p.Bytes>>20))
	}
	if i := a.Imported(); i != nil {
		c.Import = i.String()
		lines = append(lines, c.Import)
	}
	for _, m := range a.mistakes.all() {
		lines = append(lines, "A mistake in the settings: "+m)
	}
	if c.Problems > 0 {
		lines = append(lines, fmt.Sprintf("%d things could not be had; cheeseboard status names them.", c.Problems))
	}
	return lines, c, nil
}

func (a *App) consoleWishes() ([]string, error) {
	s, err := a.Status()
	if err != nil {
		return nil, err
	}
	var out []string
	for i, w := range s.Sync.Wishes {
		if i == consoleLines {
			out = append(out, fmt.Sprintf("and %d more", len(s.Sync.Wishes)-i))
			break
		}
		out = append(out, string(w.Project))
	}
	return out, nil
}

// consoleSync asks for a pass, or says what it would wait for.
func (a *App) consoleSync() error {
	return a.during(func() error {
		if w := a.line.Status().Waiting; w != "" {
			return errors.New(w)
		}
		for _, e := range a.engines() {
			e.Poke()
		}
		return nil
	})
}

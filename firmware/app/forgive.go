package app

import (
	"fmt"
	"net"
	"strings"
	"sync"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/health"
	"cheeseboard/syncer/wire"
)

// Forgiven is what was wrong with a file of settings, and forgiven; nil is nothing.
type Forgiven = config.Forgiven

// mistakes are those that people made in the settings of a box that comes up all the
// same. The zero value is a box that forgives none.
type mistakes struct {
	mu       sync.Mutex
	forgives bool
	held     bool // nothing is fetched that nobody waits for
	lines    []string
}

func (m *mistakes) add(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, line)
}

func (m *mistakes) forgiving() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgives
}

// all gives one sentence for each.
func (m *mistakes) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.lines...)
}

// mendSettings is what the person at a laptop is to do.
const mendSettings = "mend the file with the settings, and start the box anew"

func (m *mistakes) probe() health.Finding {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.lines) == 0 {
		return health.Finding{Summary: "the settings are understood"}
	}
	f := health.Finding{Severity: health.Attention, Action: mendSettings, Summary: "there is a mistake in the settings: " + m.lines[0]}
	if n := len(m.lines); n > 1 {
		f.Summary = fmt.Sprintf("there are %d mistakes in the settings; the first: %s", n, m.lines[0])
	}
	if m.held {
		f.Summary += "; nothing is fetched by itself until it is mended"
	}
	return f
}

// waiting says why nothing is fetched by itself.
func (m *mistakes) waiting() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.held {
		return ""
	}
	return "waiting until mistakes in the settings are mended: " + m.lines[0]
}

// OpenForgiving is Open for a box that comes up whatever its file says: what is wrong
// keeps its default, and log, health, console and page name it. f is what was forgiven
// when the file was read; what only shows when a setting is used adds to it.
func OpenForgiving(c Config, f *Forgiven, open func(Config) (*App, error)) (*App, error) {
	var late []string
	if _, err := wire.NewClient(wire.Options{CAFile: c.Upstream.CAFile}); err != nil {
		late = append(late, "upstream.ca-file: "+err.Error())
		c.Upstream.CAFile = ""
	}
	a, err := open(c)
	if err != nil {
		return nil, err
	}
	a.forgive(f, late)
	return a, nil
}

func (a *App) forgive(f *Forgiven, late []string) {
	m := &a.mistakes
	m.mu.Lock()
	m.forgives, m.lines, m.held = true, append(f.Lines(), late...), f != nil && f.Held
	m.mu.Unlock()
	for _, line := range m.all() {
		a.log.Warn("a mistake in the settings; what is wrong keeps its default", "mistake", line)
	}
	a.Health.Add("settings", m.probe)
}

// mistaken notes a setting that cannot be used, and reports whether the box does
// without.
func (a *App) mistaken(err error) bool {
	if !a.mistakes.forgiving() {
		return false
	}
	a.mistakes.add(strings.ReplaceAll(err.Error(), "\n", " "))
	a.log.Error("a setting cannot be used; the box does without", "reason", err)
	return true
}

// listen opens the listener for http. A box that forgives is reached at all addresses
// where it cannot be at the one that somebody has written.
func (a *App) listen() (net.Listener, error) {
	address := a.config.Serve.Listen
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return listener, nil
	}
	err = explainListen("--listen", address, err)
	_, port, splitErr := net.SplitHostPort(address)
	if splitErr != nil || strings.HasPrefix(address, ":") || !a.mistakes.forgiving() {
		return nil, err
	}
	listener, everywhere := net.Listen("tcp", ":"+port)
	if everywhere != nil {
		return nil, err
	}
	a.mistaken(err)
	return listener, nil
}

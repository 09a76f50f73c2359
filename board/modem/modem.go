// Package modem asks an LTE modem how its network is, at a port for commands that
// nobody else uses: it is a gauge, and never dials. Where ModemManager runs, the port is
// that one's.
package modem

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"cheeseboard/board/vitals"
)

const (
	// DefaultEvery is the time between two readings.
	DefaultEvery = time.Minute
	// answerTime is how long a modem may take to answer a command.
	answerTime = 5 * time.Second
	// most is how many bytes an answer may have.
	most = 4096
)

// ErrSilent: the modem does not answer.
var ErrSilent = errors.New("the modem does not answer")

// Port is a serial port that is open. One goroutine uses it.
type Port interface {
	// Read waits some time; 0 and no error: nothing came.
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	Close() error
}

// Options are where a modem is, and how often it is asked.
type Options struct {
	Open  func() (Port, error)
	Every time.Duration // 0: DefaultEvery
	Log   *slog.Logger  // nil discards
}

// Gauge knows what a modem last told. Its methods may be called by anybody; Run, once.
type Gauge struct {
	o Options

	mu    sync.Mutex
	last  Reading
	taken time.Time // zero: never, or not any more
	why   string
}

// New makes a gauge that knows nothing yet.
func New(o Options) *Gauge {
	if o.Every == 0 {
		o.Every = DefaultEvery
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Gauge{o: o, why: "not asked yet"}
}

// Latest gives the last reading. Without one, or where it is older than three times the
// time between two, nothing is known, and the values say why.
func (g *Gauge) Latest() Reading {
	g.mu.Lock()
	defer g.mu.Unlock()
	why := g.why
	if !g.taken.IsZero() {
		if time.Since(g.taken) < 3*g.o.Every {
			return g.last
		}
		why = ErrSilent.Error()
	}
	return Reading{Signal: vitals.Unknown[int](why), Operator: vitals.Unknown[string](why)}
}

// Run asks the modem again and again, until ctx ends. A port that cannot be opened, or
// is gone, is tried again each time.
func (g *Gauge) Run(ctx context.Context) {
	tick := time.NewTicker(g.o.Every)
	defer tick.Stop()
	trouble := ""
	for {
		r, err := g.read(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != trouble { // once for each reason
			g.o.Log.Warn("the modem tells nothing", "reason", err)
		}
		g.note(r, err)
		trouble = ""
		if err != nil {
			trouble = err.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *Gauge) note(r Reading, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.taken, g.why = time.Time{}, err.Error()
		return
	}
	g.last, g.taken = r, time.Now()
}

// read opens the port for one reading: nothing is held while nobody asks.
func (g *Gauge) read(ctx context.Context) (r Reading, err error) {
	port, err := g.o.Open()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, port.Close()) }()
	// Some modems repeat what they are told, and answer the better without.
	if _, err := ask(ctx, port, "ATE0"); err != nil {
		return r, err
	}
	var signal, circuits, packets, operator []string
	for _, c := range []struct {
		command string
		answer  *[]string
	}{{"AT+CSQ", &signal}, {"AT+CREG?", &circuits}, {"AT+CEREG?", &packets}, {"AT+COPS?", &operator}} {
		if *c.answer, err = ask(ctx, port, c.command); err != nil {
			return r, err
		}
	}
	return Reading{
		Signal: parseSignal(signal), Operator: parseOperator(operator),
		Registration: either(parseRegistration(circuits, "+CREG"), parseRegistration(packets, "+CEREG")),
	}, nil
}

// ask sends a command, and gives the lines that come before the one that ends the
// answer. A command that the modem does not know gives none.
func ask(ctx context.Context, port Port, command string) ([]string, error) {
	if _, err := port.Write([]byte(command + "\r")); err != nil {
		return nil, fmt.Errorf("ask %s: %w", command, err)
	}
	var came []byte
	buffer := make([]byte, 256)
	for end := time.Now().Add(answerTime); time.Now().Before(end) && len(came) < most; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := port.Read(buffer)
		if err != nil {
			return nil, fmt.Errorf("read the answer to %s: %w", command, err)
		}
		came = append(came, buffer[:n]...)
		lines := strings.FieldsFunc(string(came), func(r rune) bool { return r == '\r' || r == '\n' })
		for i, line := range lines {
			whole := i+1 < len(lines) || came[len(came)-1] == '\n' || came[len(came)-1] == '\r'
			switch {
			case !whole:
			case line == "OK":
				return lines[:i], nil
			case line == "ERROR", strings.HasPrefix(line, "+CME ERROR"):
				return nil, nil
			}
		}
	}
	return nil, fmt.Errorf("%s: %w", command, ErrSilent)
}

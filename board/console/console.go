// Package console talks to people and machines over serial lines: a menu of words for
// people, and one JSON object a line for machines.
//
// A session (session.go, people.go, machine.go) makes answers of what comes in; an
// outbox (outbox.go) keeps them until somebody reads, and never has anybody wait for
// that; Console looks for the ports and holds a session at each (port.go).
package console

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// Deps is what the console shows and does. All are required but Notice, Open, Log, Now
// and Look. They are called from a goroutine for each port, and may take their time: nobody
// else waits for them.
type Deps struct {
	// Status gives lines for people, and a value that encodes to JSON.
	Status    func() (lines []string, value any, err error)
	Addresses func() []string // to type into a browser
	Wishes    func() ([]string, error)
	Logs      func() []string // the last lines, the newest last
	Sync      func() error    // asks for a pass, and does not wait for it
	Import    func() error    // begins to bring in what is on USB sticks, and does not wait for it
	SetClock  func(time.Time) error
	SetPIN    func(string) error
	ShutDown  func() error // begins it, and does not wait for it
	// Notice gives lines that stand above the menu and the status; nil: there are none.
	Notice func() []string
	// Check tries a PIN. A wait says that it was not tried, since there were too many
	// wrong ones.
	Check func(pin string) (right bool, wait time.Duration, err error)

	Open func(path string) (Port, error) // nil: OpenSerial
	Log  *slog.Logger                    // nil discards
	Now  func() time.Time                // nil: time.Now
	Look time.Duration                   // between two looks for ports that are not there; 0: DefaultLook
}

// DefaultLook is the time between two looks for ports that are not there, and between
// two tries of one that failed.
const DefaultLook = 5 * time.Second

// Port is a serial port that is open. One goroutine reads, and one writes.
type Port interface {
	// Read waits a second at most; 0 and no error: nothing came.
	Read([]byte) (int, error)
	// Write may wait for as long as nobody reads, until Flush makes room.
	Write([]byte) (int, error)
	// Flush drops what was written and not sent. It may be called while a Write waits.
	Flush() error
	// Close must not be called while one of the others is under way.
	Close() error
}

// Console is at several ports. Run may be called once.
type Console struct {
	d     Deps
	ports []string
}

// New makes a console for ports, by their paths. Two paths that lead to one device are
// one port.
func New(d Deps, ports []string) *Console {
	if d.Open == nil {
		d.Open = OpenSerial
	}
	if d.Notice == nil {
		d.Notice = func() []string { return nil }
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Look == 0 {
		d.Look = DefaultLook
	}
	return &Console{d: d, ports: ports}
}

// Run holds a session at each port that is there, and at those that come, until ctx
// ends. One goroutine looks for those that are missing: that costs two calls of the
// system for each of them every few seconds.
func (c *Console) Run(ctx context.Context) {
	if len(c.ports) == 0 {
		return
	}
	var talking sync.WaitGroup
	defer talking.Wait()
	var mu sync.Mutex
	taken := make(map[string]bool) // devices at which there is a session
	failed := make(map[string]string)
	ticker := time.NewTicker(c.d.Look)
	defer ticker.Stop()
	for first := true; ; first = false {
		var missing []string
		for _, path := range c.ports {
			device, err := resolve(path)
			if err != nil {
				missing = append(missing, path)
				continue
			}
			mu.Lock()
			busy := taken[device]
			taken[device] = true
			mu.Unlock()
			if busy {
				continue
			}
			port, err := c.d.Open(path)
			if err != nil {
				if failed[path] != err.Error() { // once for each reason
					c.d.Log.Warn("a serial port cannot be opened", "port", path, "reason", err)
				}
				failed[path] = err.Error()
				mu.Lock()
				delete(taken, device)
				mu.Unlock()
				continue
			}
			delete(failed, path)
			talking.Go(func() {
				c.talk(ctx, path, port)
				mu.Lock()
				delete(taken, device)
				mu.Unlock()
			})
		}
		if first && len(missing) == len(c.ports) {
			c.d.Log.Info("there is no serial port for a console; one that appears is used", "ports", strings.Join(missing, " "))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// resolve gives the device that a path leads to.
func resolve(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return deviceOf(path, info), nil
}

// closing is how long the last answers may take when a port is closed, and then a write
// that nobody takes.
const closing = time.Second

// talk holds a session at a port until that fails or ctx ends. The port is closed when
// reader and writer have ended, and not before: a number of a file that is closed soon
// belongs to another file, into which a late write would go.
func (c *Console) talk(ctx context.Context, path string, port Port) {
	c.d.Log.Info("a console is at a serial port", "port", path)
	out := newOutbox()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for piece := out.next(); piece != nil; piece = out.next() {
			if !write(port, piece, out) {
				out.close() // the port is gone, which the reader sees too
				return
			}
		}
	}()
	if err := read(ctx, port, &session{d: c.d, out: out, now: c.d.Now}); err != nil {
		c.d.Log.Info("a serial port is gone", "port", path, "reason", err)
	}
	out.end() // the last answer is still said
	ended := within(closing, written)
	out.close()
	if n := out.dropped(); n > 0 {
		c.d.Log.Info("nobody read what the console said", "port", path, "lines", n)
	}
	if !ended && !flushed(port, written) {
		// Some drivers keep a write until somebody reads. It stays there, with its port,
		// until the program ends.
		c.d.Log.Warn("the driver of a serial port does not let go of what was written", "port", path)
		return
	}
	if err := port.Close(); err != nil {
		c.d.Log.Info("a serial port was not closed well", "port", path, "reason", err)
	}
}

// within waits for a while until something has ended.
func within(patience time.Duration, ended <-chan struct{}) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// flushed makes room for what the writer writes until it has ended; false where it
// does not.
func flushed(port Port, written <-chan struct{}) bool {
	for range 20 {
		_ = port.Flush() // a port that is gone has nothing to drop
		if within(closing/20, written) {
			return true
		}
	}
	return false
}

// read feeds a session until the port fails, of which it gives the error, or ctx ends.
func read(ctx context.Context, port Port, s *session) error {
	var buffer [256]byte
	for ctx.Err() == nil {
		n, err := port.Read(buffer[:])
		s.take(buffer[:n])
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes all of a piece, unless the outbox is closed meanwhile; false where the
// port is gone.
func write(port Port, piece []byte, out *outbox) bool {
	for len(piece) > 0 && !out.over() {
		n, err := port.Write(piece)
		if err != nil || n == 0 {
			return false
		}
		piece = piece[n:]
	}
	return true
}

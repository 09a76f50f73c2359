package pid1

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"cheeseboard/firmware/pid1/ring"

	"golang.org/x/sys/unix"
)

// ringSize is how much of the log is kept in memory, in bytes.
const ringSize = 256 << 10

// journal takes the lines of init and of the program: to the ring, and to the console.
type journal struct {
	ring  *ring.Ring
	queue chan entry // to the console
}

// entry is a line for the console, or, without one, the wish to know that all before it
// was written.
type entry struct {
	line    []byte
	written chan<- struct{}
}

// newJournal makes one whose lines go to a console, which may be slow or stuck: then
// lines are left out there.
func newJournal(console io.Writer) *journal {
	j := &journal{ring: ring.New(ringSize), queue: make(chan entry, 512)}
	go func() { // for as long as the machine runs
		for e := range j.queue {
			if e.written != nil {
				close(e.written)
				continue
			}
			_, _ = console.Write(e.line) // nobody could be told
		}
	}()
	return j
}

// drain waits until the console has what was said, if it takes that within a moment.
func (j *journal) drain() {
	written := make(chan struct{})
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case j.queue <- entry{written: written}:
	case <-patience.C:
		return
	}
	select {
	case <-written:
	case <-patience.C:
	}
}

// say writes a line with the time since the kernel's start, as the kernel's own have it.
func (j *journal) say(who, text string) {
	line := fmt.Appendf(nil, "[%12.6f] %s: %s\n", sinceBoot().Seconds(), who, text)
	_, _ = j.ring.Write(line) // it never fails
	select {
	case j.queue <- entry{line: line}:
	default: // the console is stuck
	}
}

// sinceBoot is how long the kernel runs.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// writer gives what makes lines of what is written to it.
func (j *journal) writer(who string) io.Writer { return &lines{say: func(s string) { j.say(who, s) }} }

// mostLine bounds a line of the log, in bytes.
const mostLine = 2 << 10

// lines calls say with each line that is written to it.
type lines struct {
	mu   sync.Mutex
	part []byte
	say  func(string)
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok && len(l.part) <= mostLine {
			return len(b), nil
		}
		if !ok {
			line, rest = l.part[:mostLine], l.part[mostLine:]
		}
		l.say(string(bytes.ToValidUTF8(bytes.TrimRight(line, "\r"), []byte("?"))))
		l.part = bytes.Clone(rest)
	}
}

// logger makes the log of init.
func (j *journal) logger(debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(j.writer("init"), &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{} // each line has it already
		}
		return a
	}}))
}

// openConsole opens the kernel's console. A write to one that is stuck does not return.
func openConsole() io.Writer {
	f, err := os.OpenFile("/dev/console", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return io.Discard
	}
	return f
}

package pid1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"cheeseboard/firmware/machine"
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
	j.show(line)
}

// show brings a line to the console.
func (j *journal) show(line []byte) {
	select {
	case j.queue <- entry{line: line}:
	default: // the console is stuck
	}
}

// hear takes a line of the program. A secret is shown, and not kept.
func (j *journal) hear(line string) {
	if secret, ok := strings.CutPrefix(line, machine.ConsoleOnly); ok {
		j.show([]byte(secret + "\n"))
		return
	}
	j.say("cheeseboard", line)
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

// openConsole opens the kernel's console, and the screen beside it, if that is another. A
// write to one that is stuck does not return.
func openConsole() io.Writer {
	paths := []string{"/dev/console"}
	active, err := os.ReadFile("/sys/class/tty/console/active")
	if words := strings.Fields(string(active)); err == nil && slices.Contains(words, "tty1") && words[len(words)-1] != "tty1" {
		paths = append(paths, "/dev/tty1") // the kernel writes to all, and /dev/console is the last
	}
	var all []io.Writer
	for _, path := range paths {
		if f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOCTTY, 0); err == nil {
			all = append(all, f)
		}
	}
	return io.MultiWriter(all...)
}

// kernelWarns is the least severe of the kernel's messages that are kept (syslog(2)).
const kernelWarns = 4

// followKernel keeps what the kernel warns of, until ctx ends; the console has it already.
func (b *box) followKernel(ctx context.Context) {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		b.log.Debug("the kernel's log cannot be read", "reason", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() }) // it ends the read
	defer stop()
	record := make([]byte, 8<<10) // the most that the kernel gives at once
	for {
		n, err := f.Read(record)
		if errors.Is(err, unix.EPIPE) {
			continue // what was next is gone; it goes on with the oldest that is there
		}
		if err != nil {
			return
		}
		if line, ok := kernelLine(string(record[:n])); ok {
			_, _ = b.journal.ring.Write([]byte(line)) // it never fails
		}
	}
}

// kernelLine makes a line of a record of /dev/kmsg
// (Documentation/ABI/testing/dev-kmsg); false: it is no warning of the kernel.
func kernelLine(record string) (string, bool) {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return "", false
	}
	priority, err := strconv.Atoi(fields[0])
	micros, bad := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || bad != nil || priority > kernelWarns { // those of programs are above
		return "", false
	}
	text, _, _ = strings.Cut(text, "\n")
	return fmt.Sprintf("[%12.6f] kernel: %s\n", time.Duration(micros*1000).Seconds(), text), true
}

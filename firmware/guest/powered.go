package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Powered is a board that is on, or was. Its methods may be called concurrently.
type Powered struct {
	Dir string // holds the sockets of its devices
	QMP *QMP

	process *exec.Cmd
	ports   map[int]int // port of the guest -> port here
	off     chan struct{}

	mu      sync.Mutex
	lines   []Line
	partial []byte        // of a line that has not ended
	news    chan struct{} // closed, and replaced, with each line
}

// powerOn starts qemu, and asks it for the ports.
func powerOn(t *testing.T, dir, program string, args []string, ports []int) (*Powered, error) {
	ctx := t.Context()
	p := &Powered{Dir: dir, off: make(chan struct{}), news: make(chan struct{})}
	p.process = exec.CommandContext(context.WithoutCancel(ctx), program, args...)
	p.process.Stdout, p.process.Stderr = p, p
	// Closed at once: what is typed at a terminal is no business of the guest.
	p.process.Stdin = nil
	if err := p.process.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.off)
		_ = p.process.Wait() // it was cut, or the guest ended as it wanted
	}()
	t.Cleanup(func() {
		p.Cut()
		if t.Failed() || testing.Verbose() {
			t.Logf("the board's console:\n%s", p.Console())
		}
	})
	connect, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-p.off:
			stop()
		case <-connect.Done():
		}
	}()
	var err error
	if p.QMP, err = dialQMP(connect, filepath.Join(dir, "qmp")); err != nil {
		return nil, fmt.Errorf("%w; qemu said: %s", err, p.Console())
	}
	if len(ports) > 0 {
		if p.ports, err = p.QMP.askPorts(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// forwarded is a line of qemu's table of connections:
//
//	TCP[HOST_FORWARD]  12       127.0.0.1 42011       10.0.2.15    80     0     0
var forwarded = regexp.MustCompile(`(?m)^\s*TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+(\d+)`)

// askPorts asks qemu by which ports here those of the guest can be reached.
func (q *QMP) askPorts() (ports map[int]int, err error) {
	var table string
	if err := q.Do("human-monitor-command", map[string]string{"command-line": "info usernet"}, &table); err != nil {
		return nil, err
	}
	ports = map[int]int{}
	for _, match := range forwarded.FindAllStringSubmatch(table, -1) {
		var here, there int
		if _, err := fmt.Sscan(match[1], &here); err != nil {
			return nil, err
		}
		if _, err := fmt.Sscan(match[2], &there); err != nil {
			return nil, err
		}
		ports[there] = here
	}
	if len(ports) == 0 {
		return nil, fmt.Errorf("qemu forwards no port: %s", table)
	}
	return ports, nil
}

// Address is where a port of the guest can be reached from here, as host:port.
func (p *Powered) Address(port int) string { return fmt.Sprintf("127.0.0.1:%d", p.ports[port]) }

// Write takes what comes from the console, and what qemu complains of.
func (p *Powered) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var texts []string
	texts, p.partial = split(append(p.partial, b...))
	for _, text := range texts {
		p.lines = append(p.lines, Line{At: time.Now(), Text: text})
	}
	if len(texts) > 0 {
		close(p.news)
		p.news = make(chan struct{})
	}
	return len(b), nil
}

// Lines gives what the console has said so far, and a channel that is closed when there
// is more.
func (p *Powered) Lines() ([]Line, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[:len(p.lines):len(p.lines)], p.news
}

// Console is all that the console has said.
func (p *Powered) Console() string {
	lines, _ := p.Lines()
	var s strings.Builder
	for _, line := range lines {
		s.WriteString(line.Text + "\n")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Write(p.partial)
	return s.String()
}

// Await gives the first line of the console that contains a text, and waits for it.
func (p *Powered) Await(ctx context.Context, text string) (Line, error) {
	for seen := 0; ; {
		// First, or what came last would be missed.
		off := p.Off()
		lines, more := p.Lines()
		for ; seen < len(lines); seen++ {
			if strings.Contains(lines[seen].Text, text) {
				return lines[seen], nil
			}
		}
		if off {
			return Line{}, fmt.Errorf("wait for %q on the console: %w", text, ErrOff)
		}
		select {
		case <-more:
		case <-p.off:
		case <-ctx.Done():
			return Line{}, fmt.Errorf("wait for %q on the console: %w", text, ctx.Err())
		}
	}
}

// Off reports whether the machine has ended; then the console is complete.
func (p *Powered) Off() bool {
	select {
	case <-p.off:
		return true
	default:
		return false
	}
}

// Wait waits until the machine has ended by itself: it switched itself off, or asked for
// a restart, which it does not get.
func (p *Powered) Wait(ctx context.Context) error {
	select {
	case <-p.off:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait until the machine is off: %w", ctx.Err())
	}
}

// Cut takes the current away, and returns when the machine has ended. What the kernel of
// the guest has written is on the card; what it has not, is lost.
func (p *Powered) Cut() {
	if err := p.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err) // a process of our own
	}
	<-p.off
}

var _ io.Writer = (*Powered)(nil)

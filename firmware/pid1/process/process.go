// Package process starts programs for a process that is the parent of all orphans, and
// takes the last word of each: init must wait for every process that ends, its own or
// not, and os/exec would not share that.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct{ Status syscall.WaitStatus }

// String says it for people: "exit status 1", "killed by SIGSEGV".
func (e Exit) String() string {
	if e.Status.Signaled() {
		return "killed by " + unix.SignalName(e.Status.Signal())
	}
	return fmt.Sprintf("exit status %d", e.Status.ExitStatus())
}

// Code is the exit status; -1 where it was killed.
func (e Exit) Code() int {
	if e.Status.Signaled() {
		return -1
	}
	return e.Status.ExitStatus()
}

// Process is one that was started.
type Process struct {
	PID   int
	ended chan struct{}
	exit  Exit
}

// Ended is closed when it has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Exit tells how it ended, once it has.
func (p *Process) Exit() Exit { return p.exit }

// Reaper waits for all that end. Nothing else in the process may wait for a child.
type Reaper struct {
	mu       sync.Mutex // held from the start of a process until it is known
	children map[int]*Process
}

// NewReaper makes a Reaper; Run has it work.
func NewReaper() *Reaper { return &Reaper{children: make(map[int]*Process)} }

// Run takes the last word of all that end, until ctx does.
func (r *Reaper) Run(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	defer signal.Stop(signals)
	for {
		r.reap()
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
	}
}

// reap takes those that have ended by now.
func (r *Reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return // nobody is left, or nobody has ended
		}
		if p := r.children[pid]; p != nil && (status.Exited() || status.Signaled()) {
			delete(r.children, pid)
			p.exit = Exit{status}
			close(p.ended)
		}
	}
}

// Start starts a program; files are its standard input, output and error.
func (r *Reaper) Start(path string, args, env []string, files []*os.File, attr *syscall.SysProcAttr) (*Process, error) {
	p := &Process{ended: make(chan struct{})}
	var fds []uintptr
	for _, f := range files {
		fds = append(fds, f.Fd())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, append([]string{path}, args...), &syscall.ProcAttr{Dir: "/", Env: env, Files: fds, Sys: attr})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	p.PID = pid
	r.children[pid] = p
	return p, nil
}

// Output runs a program to its end and gives what it wrote, at most the last most bytes
// of it. When ctx ends it is killed.
func (r *Reaper) Output(ctx context.Context, most int, path string, args ...string) ([]byte, Exit, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, Exit{}, err
	}
	defer func() { _ = null.Close() }() // nothing was written
	read, write, err := os.Pipe()
	if err != nil {
		return nil, Exit{}, err
	}
	p, err := r.Start(path, args, []string{"PATH=/sbin:/bin"}, []*os.File{null, write, write}, nil)
	if err = errors.Join(err, write.Close()); err != nil {
		return nil, Exit{}, errors.Join(err, read.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(p.PID, unix.SIGKILL) }) // it may have ended
	defer stop()
	tail := &tail{most: most}
	_, err = io.Copy(tail, read)
	<-p.ended
	return tail.b, p.exit, errors.Join(err, read.Close(), ctx.Err())
}

// tail keeps the last bytes.
type tail struct {
	b    []byte
	most int
}

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if over := len(t.b) - t.most; over > 0 {
		t.b = bytes.Clone(t.b[over:])
	}
	return len(b), nil
}

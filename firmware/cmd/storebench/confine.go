package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// confinement is a way to limit the memory of a process, the pages of files that
// it has mapped and read among it.
type confinement struct {
	how     string // for people
	systemd bool
	root    string // of the cgroups that are made here; "": none are
	limit   string // the file that holds the limit
	reason  string // why there is none
}

// findConfinement tries systemd-run first, then a cgroup of its own.
func findConfinement(ctx context.Context) *confinement {
	if exec.CommandContext(ctx, "systemd-run", "--scope", "--quiet", "-p", "MemoryMax=64M", "true").Run() == nil {
		return &confinement{how: "systemd-run", systemd: true}
	}
	name := fmt.Sprintf("storebench-%d", os.Getpid())
	var why []string
	for _, c := range []confinement{
		{how: "a cgroup (v1)", root: filepath.Join("/sys/fs/cgroup/memory", name), limit: "memory.limit_in_bytes"},
		{how: "a cgroup (v2)", root: filepath.Join("/sys/fs/cgroup", name), limit: "memory.max"},
	} {
		if err := os.Mkdir(c.root, 0o755); err != nil {
			why = append(why, err.Error())
			continue
		}
		if _, err := os.Stat(filepath.Join(c.root, c.limit)); err == nil {
			return &c
		}
		why = append(why, c.root+" has no "+c.limit)
		_ = os.Remove(c.root) // it was made for this look
	}
	return &confinement{how: "nothing", reason: "systemd-run does not work here, and no cgroup can be made: " + strings.Join(why, "; ")}
}

func (c *confinement) String() string {
	if c.reason != "" {
		return "nothing (" + c.reason + ")"
	}
	return c.how
}

func (c *confinement) close() error {
	if c.root == "" {
		return nil
	}
	return os.Remove(c.root)
}

// cell is the confinement of one process.
type cell struct {
	dir string // "": systemd's, or none
}

// wrap gives the command that runs args inside of a limit.
func (c *confinement) wrap(name string, limit int64, args []string) (*cell, []string, error) {
	switch {
	case c.systemd:
		return &cell{}, append([]string{"systemd-run", "--scope", "--quiet", "-p", fmt.Sprintf("MemoryMax=%d", limit), "-p", "MemorySwapMax=0", "--"}, args...), nil
	case c.root == "":
		return &cell{}, args, nil
	}
	dir := filepath.Join(c.root, name)
	if strings.HasSuffix(c.limit, "max") { // v2 hands its controllers down by name
		_ = os.WriteFile(filepath.Join(c.root, "cgroup.subtree_control"), []byte("+memory"), 0o644) // the limit's error tells
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, c.limit), []byte(strconv.FormatInt(limit, 10)), 0o644); err != nil {
		return nil, nil, fmt.Errorf("limit memory: %w", err)
	}
	enter := []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, dir}
	return &cell{dir: dir}, append(enter, args...), nil
}

// peak is the most memory that a cell had at once, files among it, and how often
// the kernel had to kill in it; -1 where that cannot be told.
func (c *cell) peak() (bytes, kills int64) {
	if c.dir == "" {
		return -1, -1
	}
	bytes, kills = -1, -1
	for _, name := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
		if raw, err := os.ReadFile(filepath.Join(c.dir, name)); err == nil {
			bytes, _ = strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
		}
	}
	for _, name := range []string{"memory.oom_control", "memory.events"} {
		raw, _ := os.ReadFile(filepath.Join(c.dir, name)) // one of them is not there
		for line := range strings.Lines(string(raw)) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				kills, _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			}
		}
	}
	return bytes, kills
}

func (c *cell) close() error {
	if c.dir == "" {
		return nil
	}
	return os.Remove(c.dir)
}

// sampleEvery is how often a process is looked at.
const sampleEvery = 50 * time.Millisecond

// watcher looks at the memory of a process until it is told to stop.
type watcher struct {
	anon, resident atomic.Int64 // bytes, the most so far
	end, ended     chan struct{}
}

func watch(pid int) *watcher {
	w := &watcher{end: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			w.anon.Store(max(w.anon.Load(), statusField(pid, "RssAnon:")))
			w.resident.Store(max(w.resident.Load(), statusField(pid, "VmRSS:")))
			select {
			case <-w.end:
				return
			case <-tick.C:
			}
		}
	}()
	return w
}

func (w *watcher) stop() {
	close(w.end)
	<-w.ended
}

func statusField(pid int, field string) int64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // it may have ended
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// measured is what a child told, and what was seen of it from outside.
type measured struct {
	outcome
	anon, resident int64 // bytes, the most at one time
	peak, kills    int64 // of its cgroup; -1: cannot be told
	sectors        int64 // bytes written to the device; -1: cannot be told
}

// start runs a child under a limit of memory to its end, hands it what feed
// writes, and looks at it all the while.
func (b *bench) start(ctx context.Context, name, child string, limit int64, o *childOptions, feed func(pageWriter) error) (m measured, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	before, err := b.device.written()
	if err != nil {
		return m, err
	}
	cell, command, err := b.confine.wrap(name, limit, []string{self, "-child", child, "-dir", o.dir,
		fmt.Sprintf("-group=%d", o.group), fmt.Sprintf("-addresses=%v", o.addresses), fmt.Sprintf("-of=%d", o.projects), fmt.Sprintf("-day=%d", o.day)})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, cell.close()) }()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return m, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return m, err
	}
	if err := cmd.Start(); err != nil {
		return m, err
	}
	seen := watch(cmd.Process.Pid)
	var fed error
	if feed != nil {
		w := pageWriter{bufio.NewWriterSize(in, 1<<20)}
		fed = errors.Join(feed(w), w.Flush())
	}
	err = errors.Join(fed, in.Close())
	told, readErr := io.ReadAll(out)
	seen.stop()
	m.anon, m.resident = seen.anon.Load(), seen.resident.Load()
	m.peak, m.kills = cell.peak()
	if waitErr := errors.Join(readErr, cmd.Wait()); waitErr != nil {
		return m, fmt.Errorf("%s: %w (killed for want of memory: %d times)", name, errors.Join(waitErr, err), m.kills)
	}
	if err == nil {
		err = json.Unmarshal(told, &m.outcome)
	}
	after, writtenErr := b.device.written()
	if m.sectors = after - before; before < 0 {
		m.sectors = -1
	}
	return m, errors.Join(err, writtenErr)
}

// memory describes what a process needed.
func (m *measured) memory() string {
	text := fmt.Sprintf("anonymous %.1f MB, resident %.0f MB", mega(m.anon), mega(m.resident))
	if m.peak >= 0 {
		text += fmt.Sprintf(", with files %.0f MB in its cgroup, %d OOM kills", mega(m.peak), m.kills)
	}
	return text
}

// wroteDevice is what reached the device, or was handed to the kernel where that
// cannot be told.
func (m *measured) wroteDevice() int64 {
	if m.sectors < 0 {
		return m.Wrote
	}
	return m.sectors
}

// device describes what was written; payload 0 is not known.
func (m *measured) device(payload int64) string {
	text := fmt.Sprintf("made dirty %.1f MB", mega(m.Wrote))
	if m.sectors >= 0 {
		text += fmt.Sprintf(", to the device %.1f MB", mega(m.sectors))
	}
	if payload > 0 {
		text += fmt.Sprintf(": %.2f for each byte of payload", float64(m.wroteDevice())/float64(payload))
	}
	return text
}

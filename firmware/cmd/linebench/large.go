package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cheeseboard/syncer/upstreamtest"
)

// largeCuts is how often the line is cut on the way of the large file.
const largeCuts = 2000

// memory is what a process uses, in bytes, as /proc/PID/status tells it.
type memory struct {
	anonymous int64 // now: what is not backed by a file
	most      int64 // resident, at most so far, files that are mapped included
}

// look reads what a process uses now.
func look(pid int) (m memory, err error) {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch key {
		case "RssAnon":
			m.anonymous = n << 10
		case "VmHWM":
			m.most = n << 10
		}
	}
	return m, lines.Err()
}

// runLarge lets a box fetch one file through many cuts, and watches its memory.
func runLarge(ctx context.Context, box string, size int64) (err error) {
	if box == "" {
		return errors.New("which program? give it with -cheeseboard")
	}
	bulk := upstreamtest.Bulk{Name: "gouda", Version: "1.0", Size: size}
	index := upstreamtest.NewIndex()
	if _, err := index.AddBulk(bulk); err != nil {
		return err
	}
	b := &bench{box: box, server: upstreamtest.NewServer(index)}
	if b.folder, err = os.MkdirTemp("", "linebench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	if err := b.server.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Close()) }()
	file := upstreamtest.OnFile(filename)
	b.server.Tell(file, upstreamtest.CutAfter(size/largeCuts), 0)
	data := filepath.Join(b.folder, "data")
	cmd := b.sync(ctx, data)
	cmd.Args = append(cmd.Args, "--set", "sync.max-file-size="+strconv.FormatInt(2*size, 10))
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	seen, err := watch(cmd, ended, data, size)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, said.String())
	}
	took := time.Since(begun)
	got := blob(data)
	if err := same(got, bulk); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, box, "verify", "--data", data, "--set", "storage.reserve=0").CombinedOutput(); err != nil {
		return fmt.Errorf("verify: %w: %s", err, out)
	}
	requests := b.server.Requests().On(file)
	return reportLarge(os.Stdout, size, took, requests, seen)
}

// sample is the memory when so much of the file had arrived.
type sample struct {
	percent int
	memory
	peak int64 // the most of anonymous memory so far, of all looks
}

// watch looks at the box again and again until it ends.
func watch(cmd *exec.Cmd, ended <-chan error, data string, size int64) (seen []sample, err error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	marks := []int{1, 10, 25, 50, 75, 90, 100}
	var last sample
	for {
		select {
		case err := <-ended:
			last.percent = 100
			return append(seen, last), err
		case <-ticker.C:
		}
		m, err := look(cmd.Process.Pid)
		if err != nil || m.anonymous == 0 {
			continue // it has just ended
		}
		last = sample{last.percent, m, max(last.peak, m.anonymous)}
		last.percent = int(100 * arriving(data) / size)
		for len(marks) > 0 && last.percent >= marks[0] && marks[0] < 100 {
			seen = append(seen, sample{marks[0], last.memory, last.peak})
			marks = marks[1:]
		}
	}
}

// arriving is how many bytes of the file are here.
func arriving(data string) (n int64) {
	parts, err := filepath.Glob(filepath.Join(data, "partial", "*.part"))
	if err != nil {
		return 0
	}
	for _, path := range parts {
		if info, err := os.Stat(path); err == nil {
			n = max(n, info.Size())
		}
	}
	return n
}

// same compares a file with what it should be, by digest.
func same(path string, bulk upstreamtest.Bulk) error {
	if path == "" {
		return errors.New("the file is not there")
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	got, want := sha256.New(), sha256.New()
	if _, err := io.Copy(got, f); err != nil {
		return err
	}
	if _, err := io.Copy(want, bulk.Content()); err != nil {
		return err
	}
	if string(got.Sum(nil)) != string(want.Sum(nil)) {
		return errors.New("the file is WRONG")
	}
	return nil
}

func reportLarge(w io.Writer, size int64, took time.Duration, requests upstreamtest.Requests, seen []sample) error {
	ratio := float64(requests.Body()) / float64(size)
	_, err := fmt.Fprintf(w, "a file of %.0f MB through %d connections that were cut: arrived and verified, %.4f bytes sent for each, %.1f s\n\n%8s %14s %14s %14s\n",
		float64(size)/1e6, len(requests)-1, ratio, took.Seconds(), "arrived", "anonymous MB", "its peak MB", "VmHWM MB")
	for _, s := range seen {
		_, e := fmt.Fprintf(w, "%7d%% %14.1f %14.1f %14.1f\n", s.percent, float64(s.anonymous)/1e6, float64(s.peak)/1e6, float64(s.most)/1e6)
		err = errors.Join(err, e)
	}
	_, e := fmt.Fprintf(w, "\npayload_ratio_large: %.4f\nlarge_cuts: %d\nlarge_peak_anonymous_mb: %.1f\n", ratio, len(requests)-1, float64(seen[len(seen)-1].peak)/1e6)
	return errors.Join(err, e)
}

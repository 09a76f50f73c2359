package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tick is the unit of times in /proc/PID/stat: every Linux tells 100 in a second.
const tick = time.Second / 100

// cpu gives the time of processor that a process and its children, where they are
// workers, have used so far.
func cpu(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("look at process %d: %w", pid, err)
		}
		_, after, _ := bytes.Cut(raw, []byte(") ")) // the name may hold anything
		fields := strings.Fields(string(after))
		if len(fields) < 13 {
			return 0, fmt.Errorf("look at process %d: its times are missing", pid)
		}
		for _, field := range fields[11:13] { // utime and stime
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("look at process %d: %w", pid, err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// family gives a process and those that it has started.
func family(pid int) ([]int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(lists) == 0 {
		return nil, errors.Join(err, fmt.Errorf("the children of process %d cannot be told", pid))
	}
	all := []int{pid}
	for _, list := range lists {
		raw, err := os.ReadFile(list)
		if errors.Is(err, fs.ErrNotExist) {
			continue // that thread has ended
		}
		if err != nil {
			return nil, err
		}
		for field := range strings.FieldsSeq(string(raw)) {
			n, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			all = append(all, n)
		}
	}
	return all, nil
}

// memory is what a server needs, in bytes: its share of what is resident, where
// pages that several share count in parts, and of that what the kernel could not
// take back.
type memory struct{ share, own int64 }

func memoryOf(pids []int) (m memory) {
	for _, pid := range pids {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)) // it may have ended
		for line := range strings.Lines(string(raw)) {
			for field, into := range map[string]*int64{"Pss:": &m.share, "Pss_Anon:": &m.own} {
				if rest, is := strings.CutPrefix(line, field); is {
					kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
					*into += kb << 10
				}
			}
		}
	}
	return m
}

// sampleEvery is how often the memory of a server is looked at.
const sampleEvery = 100 * time.Millisecond

// watcher looks at the memory of processes until it is told to stop.
type watcher struct {
	mu   sync.Mutex
	most memory
	end  chan struct{}
	work sync.WaitGroup
}

func watch(pids []int) *watcher {
	w := &watcher{end: make(chan struct{})}
	w.work.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			now := memoryOf(pids)
			w.mu.Lock()
			w.most.share, w.most.own = max(w.most.share, now.share), max(w.most.own, now.own)
			w.mu.Unlock()
			select {
			case <-w.end:
				return
			case <-tick.C:
			}
		}
	})
	return w
}

// stop ends the watch and gives the most that was seen.
func (w *watcher) stop() memory {
	close(w.end)
	w.work.Wait()
	return w.most
}

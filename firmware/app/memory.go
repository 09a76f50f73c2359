package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What the garbage collector is to keep the program's memory under, in bytes: less
// than a box of 64 MB has while it serves, and of 128 MB while it only brings in,
// so that there is room for the pages of the store that the kernel keeps.
const (
	MemoryServing   = 44 << 20
	MemoryIngesting = 92 << 20
)

// Tune sets the garbage collector for a small board, unless the environment has
// set it: it trades a little CPU for a lot of memory, and while serving, where
// little is computed, a little more.
func Tune(limit int64) {
	if os.Getenv("GOGC") == "" {
		percent := 50
		if limit == MemoryServing {
			percent = 16
		}
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// TuneAfter runs open, which opens a store, then tunes. Until then the garbage of
// opening is left alone: the store takes the memory for what is going to be written
// all at once, 5 MB, and of memory that nobody has used before the kernel gives only
// as much as is written to.
func TuneAfter(open func() error, limit int64) error {
	debug.SetMemoryLimit(limit)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(-1)
	}
	defer Tune(limit)
	return open()
}

// restAfter is how long little must have been going on before memory is given back.
const restAfter = 20 * time.Second

// restful is how many bytes may be allocated in that time: a box that nobody asks for
// anything still looks after itself.
const restful = 1 << 20

// rest gives the memory back to the kernel that a busy time has left behind, when it
// is over.
func (a *App) rest(ctx context.Context) {
	tick := time.NewTicker(restAfter)
	defer tick.Stop()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	last, busy := uint64(0), true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(sample)
		now := sample[0].Value.Uint64()
		still := now-last < restful
		if still && busy {
			debug.FreeOSMemory()
			metrics.Read(sample)
			now = sample[0].Value.Uint64()
		}
		busy, last = !still, now
	}
}

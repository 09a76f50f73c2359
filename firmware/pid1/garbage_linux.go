package pid1

import (
	"context"
	"math"
	"runtime/debug"
	"time"
)

const (
	// garbage is how much of it init lets pile up, in percent of what it uses: it has little
	// to do, and the memory is the program's.
	garbage = 25
	// pile is how much memory init may use before it collects while the machine comes up, in
	// bytes.
	pile = 24 << 20
	// settleAfter is when the program has most likely come up too.
	settleAfter = 10 * time.Second
)

// letPile leaves garbage alone while the machine comes up: to collect it takes the
// processors from what people wait for.
func letPile() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(pile)
}

// settle gives back what bringing the machine up has taken, the lists of modules before
// all, when the program needs the processors no more, and keeps memory small from then on.
func settle(ctx context.Context) {
	pass(ctx, settleAfter)
	debug.SetMemoryLimit(math.MaxInt64)
	debug.SetGCPercent(garbage)
	debug.FreeOSMemory()
}

// Command cheeseboard is a PyPI mirror in a box: it keeps what a selection and
// its clients want of an index, and serves the LAN as PyPI would.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

// run is main with an exit status: 0 done, 1 not done or not sound, 2 used
// wrongly.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks; a second one is not caught any more, and ends a
	// program that a broken disk keeps from ending.
	defer context.AfterFunc(ctx, stop)()
	command := newRoot()
	err := command.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "cheeseboard: %v\n", err)
	if isUsage(err) {
		return 2
	}
	return 1
}

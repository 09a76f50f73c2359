package pid1

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// early is the program, started while its data are still being brought up: half of the
// time until it serves it needs to be read from the card and to make itself ready, and
// nothing else for that. Then it waits at a gate (machine.AwaitGate).
type early struct {
	*launched
	args []string // what it was told
	gate *os.File // the end that is ours
}

// startEarly has the program begin to start. Where that fails it is started later.
func (b *box) startEarly() {
	args := b.arguments()
	read, write, err := os.Pipe()
	if err != nil {
		b.log.Debug("the program is not started early", "reason", err)
		return
	}
	l, err := b.spawn(args, read)
	if err = errors.Join(err, read.Close()); err != nil {
		b.log.Debug("the program is not started early", "reason", errors.Join(err, write.Close()))
		return
	}
	b.early = &early{l, args, write}
}

// letThrough lets the program go on that was started early, and gives it; nil: there is
// none, or it was told what does not hold any more. One that has ended counts too.
func (b *box) letThrough(args []string) *launched {
	e := b.early
	b.early = nil
	if e == nil {
		return nil
	}
	defer func() { _ = e.gate.Close() }() // all was written
	if !slices.Equal(e.args, args) {
		e.Signal(unix.SIGKILL) // it has done nothing yet
		return nil
	}
	if _, err := e.gate.Write([]byte{1}); err != nil {
		b.log.Debug("the program does not wait to go on", "reason", err)
		e.Signal(unix.SIGKILL) // of one that has ended nobody hears
	}
	return e.launched
}

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ErrNotWanted says that the gate stays closed: whoever has started this program starts
// another one, or none.
var ErrNotWanted = errors.New("this program was started early, and is not wanted any more")

// AwaitGate waits at the gate that the environment names until it is opened; where it names
// none there is nothing to wait for. The variable and the gate are gone afterwards. Errors:
// ErrNotWanted, and that of ctx.
func AwaitGate(ctx context.Context) error {
	text := os.Getenv(GateEnv)
	if text == "" {
		return nil
	}
	_ = os.Unsetenv(GateEnv) // a name of ours is never refused; children are not meant
	fd, err := strconv.Atoi(text)
	if err != nil || fd <= 2 {
		return fmt.Errorf("wait at the gate: %s is %q, and should be the number of a file", GateEnv, text)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("wait at the gate: %w", err)
	}
	gate := os.NewFile(uintptr(fd), "gate")
	defer func() { _ = gate.Close() }() // it was only read
	stop := context.AfterFunc(ctx, func() { _ = gate.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err = io.ReadFull(gate, make([]byte, 1))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF):
		return ErrNotWanted
	case err != nil:
		return fmt.Errorf("wait at the gate: %w", err)
	}
	return nil
}

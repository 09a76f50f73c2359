package machine_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"syscall"
	"testing"

	"cheeseboard/firmware/machine"
)

// TestAwaitGate: a program goes through when a byte has come, and not when the pipe ends
// without one, nor when it is told to end itself.
func TestAwaitGate(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for name, c := range map[string]struct {
		ctx  context.Context
		do   func(gate *os.File) error
		want error
	}{
		"opened":     {t.Context(), func(gate *os.File) error { _, err := gate.Write([]byte{1}); return err }, nil},
		"not wanted": {t.Context(), (*os.File).Close, machine.ErrNotWanted},
		"told to":    {ended, func(*os.File) error { return nil }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = write.Close() }() // one case has done so
			fd, err := syscall.Dup(int(read.Fd()))
			if err = errors.Join(err, read.Close()); err != nil {
				t.Fatal(err)
			}
			t.Setenv(machine.GateEnv, strconv.Itoa(fd))
			done := make(chan error, 1)
			go func() { done <- machine.AwaitGate(c.ctx) }()
			if err := c.do(write); err != nil {
				t.Fatal(err)
			}
			if err := <-done; !errors.Is(err, c.want) || err != nil && c.want == nil {
				t.Errorf("%v, want %v", err, c.want)
			}
			if left, there := os.LookupEnv(machine.GateEnv); there {
				t.Errorf("children would wait at gate %s", left)
			}
		})
	}
}

// TestNoGate: whoever was not started early does not wait.
func TestNoGate(t *testing.T) {
	t.Setenv(machine.GateEnv, "")
	if err := machine.AwaitGate(t.Context()); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"x", "-1", "1"} {
		t.Setenv(machine.GateEnv, text)
		if err := machine.AwaitGate(t.Context()); err == nil {
			t.Errorf("%q is a gate", text)
		}
	}
}

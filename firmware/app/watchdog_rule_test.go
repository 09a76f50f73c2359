package app

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"cheeseboard/storage"
)

// TestRestartMends holds when a write that failed is a reason to have the box restarted:
// a disk that gives errors must not keep it starting over and over.
func TestRestartMends(t *testing.T) {
	of := func(err error) error { return fmt.Errorf("commit metadata: %w", err) }
	for _, c := range []struct {
		what string
		err  error
		open time.Duration
		want bool
	}{
		{"nothing failed", nil, 2 * restartAfter, false},
		{"a full disk", of(storage.ErrFull), 2 * restartAfter, false},
		{"a read-only disk, which no restart mends", of(syscall.EROFS), 2 * restartAfter, false},
		{"errors soon after the start, as after the restart before", of(syscall.EIO), restartAfter - time.Second, false},
		{"errors of a box that has served for long", of(syscall.EIO), restartAfter, true},
		{"something else that failed for long", errors.New("writes are blocked"), restartAfter, true},
		{"what hung until its time was over", of(context.DeadlineExceeded), time.Minute, true},
	} {
		if got := restartMends(c.err, c.open); got != c.want {
			t.Errorf("%s: %t, want %t", c.what, got, c.want)
		}
	}
}

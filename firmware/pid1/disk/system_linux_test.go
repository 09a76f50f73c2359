package disk

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCheck: what the exit codes of e2fsck(8) mean, of several runs where one is not
// enough.
func TestCheck(t *testing.T) {
	ended := errors.New("it was killed")
	for name, c := range map[string]struct {
		codes  []int
		err    error
		good   bool
		beyond bool
	}{
		"sound":                 {[]int{0}, nil, true, false},
		"repaired":              {[]int{1}, nil, true, false},
		"repaired, restart":     {[]int{3}, nil, true, false},
		"repaired the 2nd time": {[]int{12, 1}, nil, true, false},
		"repaired the 3rd time": {[]int{4, 4, 0}, nil, true, false},
		"beyond repair":         {[]int{12, 4, 4}, nil, false, true},
		"no memory":             {[]int{8, 8, 8}, nil, false, false},
		"an error of the card":  {[]int{12, 12, 12}, nil, false, false},
		"ended by a person":     {[]int{33}, nil, false, false},
		"killed":                {[]int{-1}, nil, false, false},
		"not started":           {[]int{0}, ended, false, false},
	} {
		runs := 0
		l := Linux{Repair: func(context.Context, string) (string, int, error) {
			runs++
			return "said", c.codes[runs-1], c.err
		}}
		_, err := l.Check(t.Context(), "/dev/x")
		if (err == nil) != c.good || errors.Is(err, ErrBeyondRepair) != c.beyond || runs != len(c.codes) {
			t.Errorf("%s: %v after %d runs", name, err, runs)
		}
	}
	if _, err := (Linux{}).Check(t.Context(), "/dev/x"); !errors.Is(err, ErrUnchecked) || errors.Is(err, ErrBeyondRepair) {
		t.Errorf("without a program: %v", err)
	}
}

// TestDamage: what is no fault of the file system is not taken for one: nothing is to be
// begun anew for that.
func TestDamage(t *testing.T) {
	for code, want := range map[unix.Errno]bool{
		unix.EUCLEAN: true, unix.EBADMSG: true, unix.EINVAL: true, unix.EIO: true,
		unix.ENODEV: false, unix.ENOENT: false, unix.EBUSY: false, unix.EPERM: false, unix.ENOMEM: false,
	} {
		if got := (Linux{}).Damage(fmt.Errorf("mount: %w", code)); got != want {
			t.Errorf("%v: %t", code, got)
		}
	}
}

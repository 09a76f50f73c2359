package pid1

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"

	"cheeseboard/firmware/pid1/process"
)

// TestLetThrough: the program that was started early goes on if it was told what it would
// be told now, is ended if not, and is the one that has ended if it has.
func TestLetThrough(t *testing.T) {
	reaper := process.NewReaper()
	reaping, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { reaper.Run(reaping) })
	defer running.Wait()
	defer stop()
	b := &box{log: slog.New(slog.DiscardHandler), reaper: reaper}
	if got := b.letThrough(nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	// It copies what comes through the gate, until that is closed.
	for name, c := range map[string]struct {
		command string
		args    []string
		through bool
		why     string
	}{
		"wanted":     {"test $(wc -c) = 1", []string{"serve"}, true, "exit status 0"},
		"not wanted": {"exec cat", []string{"serve", "--set", "storage.reserve=16MiB"}, false, "killed by SIGKILL"},
		"it failed":  {"exit 3", []string{"serve"}, true, "exit status 3"},
	} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := reaper.Start("/bin/sh", []string{"-c", c.command}, os.Environ(), []*os.File{read, null, null}, nil)
		if err = errors.Join(err, read.Close(), null.Close()); err != nil {
			t.Fatal(err)
		}
		if name == "it failed" {
			<-p.Ended()
		}
		b.early = &early{&launched{Process: p, ended: make(chan struct{}), last: &lastLine{}}, []string{"serve"}, write}
		if got := b.letThrough(c.args); (got != nil) != c.through || b.early != nil {
			t.Errorf("%s: %v", name, got)
		}
		<-p.Ended()
		if why := p.Exit().String(); why != c.why {
			t.Errorf("%s: %s", name, why)
		}
		if again := b.letThrough(c.args); again != nil {
			t.Errorf("%s: there is another one", name)
		}
	}
}

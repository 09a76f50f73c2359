package pid1

import (
	"os"
	"path/filepath"
	"time"

	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/update"

	"golang.org/x/sys/unix"
)

// The times in which the machine goes down.
const (
	workPatience = 45 * time.Second // the program's own and more
	killPatience = 2 * time.Second
)

// down takes the machine down: all work has been told to end. It does not return, unless
// the kernel refuses.
func (b *box) down(o order) {
	ended := make(chan struct{})
	go func() { b.work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(workPatience):
		b.log.Error("not all work ends in time")
	}
	wink("/")
	// Whoever is left: what they have open keeps file systems from being unmounted.
	_ = unix.Kill(-1, unix.SIGTERM) // there may be nobody
	waitForAll(killPatience)
	_ = unix.Kill(-1, unix.SIGKILL)
	waitForAll(killPatience)
	b.saveClock()
	b.lastWords(o.reason)
	unix.Sync()
	if err := unmountAll(); err != nil {
		b.log.Error("a file system is still in use", "reason", err)
	}
	unix.Sync()
	b.log.Warn("goodbye")
	b.journal.drain()
	b.reboot(o.how)
}

// lastWords brings the log and the reason to the card.
func (b *box) lastWords(reason string) {
	if b.notes != nil {
		_ = b.notes.machine(reason) // nobody could be told
	}
	b.flush()
}

// waitForAll waits until no other program runs, for so long.
func waitForAll(patience time.Duration) {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) && othersRun() {
		time.Sleep(20 * time.Millisecond)
	}
}

// othersRun tells whether a program runs beside this one: the kernel's own have no command
// line.
func othersRun() bool {
	paths, err := filepath.Glob("/proc/[1-9]*/cmdline")
	if err != nil {
		return false // a pattern of ours is not malformed
	}
	for _, path := range paths {
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 && path != "/proc/1/cmdline" {
			return true
		}
	}
	return false
}

func (b *box) reboot(how machine.How) {
	var err error
	switch how {
	case machine.PowerOff:
		dark("/")
		err = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	case machine.TryOther:
		err = rebootWith(update.TryCommand)
	default:
		err = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	// A machine that cannot do as it was told is restarted by the kernel.
	panic(err)
}

package pid1

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cheeseboard/board/clock"
	"cheeseboard/board/stick"
	"cheeseboard/board/watchdog"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/pid1/disk"
	"cheeseboard/firmware/update"

	"golang.org/x/sys/unix"
)

// The times by which the machine is tended.
const (
	judgeEvery = 5 * time.Second
	flushEvery = time.Hour
	firstFlush = 5 * time.Minute
	// uselessFor is how long the program may be of no use before the machine is restarted:
	// that may help where nothing else does.
	uselessFor = 30 * time.Minute
)

// startTending starts what goes on while the machine runs.
func (b *box) startTending(ctx context.Context) {
	b.begin("announcements", func() { b.announceAll(ctx) })
	b.begin("log", func() { b.keepLog(ctx) })
	b.begin("use", func() { b.watchUse(ctx) })
	b.begin("data", func() { b.watchData(ctx) })
	if b.updater.OnTrial() {
		b.begin("trial", func() { b.judge(ctx) })
	}
	watcher := stick.New(stick.Options{Folder: sticksFolder, Log: b.log, Mount: mountStick})
	watcher.Subscribe(func(c stick.Change) {
		if !c.Gone {
			b.begin("a stick", func() { b.lookAtStick(ctx, c.Stick) })
		}
	})
	b.begin("sticks", func() {
		if err := watcher.Run(ctx); err != nil {
			b.log.Error("USB sticks", "reason", err)
		}
	})
}

// poke has the console say how the machine can be reached.
func (b *box) poke() {
	select {
	case b.announce <- struct{}{}:
	default: // asked for already
	}
}

// announceAll says on the console how the machine can be reached, whenever that changes.
func (b *box) announceAll(ctx context.Context) {
	told := ""
	for {
		if text := b.reached(); text != told {
			told = text
			for line := range strings.SplitSeq(text, "\n") {
				b.journal.say("cheeseboard", line)
			}
		}
		select {
		case <-b.announce:
		case <-ctx.Done():
			return
		}
	}
}

// reached says in a few lines what this machine is called, and where it is.
func (b *box) reached() string {
	s := keeper{b}.State()
	text := fmt.Sprintf("this is %s, version %s", s.Hostname, s.Version)
	port := ""
	if _, p, err := net.SplitHostPort(b.listens()); err == nil && p != "80" {
		port = ":" + p
	}
	if len(s.Addresses) == 0 {
		return text + "; it has no address yet: is the cable in?"
	}
	text += fmt.Sprintf("\n  http://%s.local%s/", s.Hostname, port)
	for _, a := range s.Addresses {
		host := a.Address
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		text += fmt.Sprintf("\n  http://%s%s/  (%s, %s)", host, port, a.Interface, a.From)
	}
	if s.Data.State != string(disk.Clean) {
		text += fmt.Sprintf("\n  the partition for data: %s: %s", s.Data.State, s.Data.Detail)
	}
	for _, mistake := range s.Config {
		text += "\n  a mistake in the settings: " + mistake
	}
	return text
}

// keepLog writes the log to the card now and then, and when the program has ended.
func (b *box) keepLog(ctx context.Context) {
	timer := time.NewTimer(firstFlush)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.flushNow:
		case <-timer.C:
			b.saveClock()
			timer.Reset(flushEvery)
		}
		b.flush()
	}
}

func (b *box) flush() {
	b.flushing.Lock()
	defer b.flushing.Unlock()
	if b.files == nil {
		return
	}
	if err := b.files.Flush(b.journal.ring); err != nil {
		b.log.Warn("the log", "reason", err)
	}
}

// watchUse restarts the machine when the program was of no use for long.
func (b *box) watchUse(ctx context.Context) {
	for ctx.Err() == nil {
		pass(ctx, time.Minute)
		if s := b.keeper.Load().State(); time.Since(s.Useful) > uselessFor && ctx.Err() == nil {
			b.order(machine.Reboot, fmt.Sprintf("the program was of no use for %s: %s", uselessFor, s.Last))
			return
		}
	}
}

// mendAfter is how long the machine runs at least before it is restarted to have the file
// system checked: a card that dies must not keep it from serving what can be read.
const mendAfter = time.Hour

// watchData restarts the machine when the kernel has found errors in the file system for
// data, which can be read only from then on: the next start checks and repairs it.
func (b *box) watchData(ctx context.Context) {
	if b.data.Condition == disk.Memory || b.data.Condition == disk.ReadOnly {
		return // no check could mend it
	}
	counter := filepath.Join("/sys/fs/ext4", filepath.Base(b.card.Partition(disk.Data)), "errors_count")
	told := false
	for ctx.Err() == nil {
		pass(ctx, time.Minute)
		raw, err := os.ReadFile(counter)
		if count := strings.TrimSpace(string(raw)); err != nil || count == "0" || ctx.Err() != nil {
			continue
		}
		if !told {
			told = true
			b.log.Error("the file system for data is damaged: it is checked at the next start", "in", max(mendAfter-sinceBoot(), 0).Round(time.Minute))
		}
		if sinceBoot() >= mendAfter {
			b.order(machine.Reboot, "the kernel found errors in the file system for data, which is to be checked")
			return
		}
	}
}

// startWatchdog keeps the watchdog of the hardware quiet while the program is of use, and
// for a time before and after. Where init itself hangs, or cannot restart the machine, it
// bites.
func (b *box) startWatchdog(ctx context.Context) {
	if b.noWatchdog {
		return
	}
	// No work that the machine waits for as it goes down: then it is needed most.
	go func() {
		defer b.rescue("watchdog")
		for {
			if _, err := os.Stat("/dev/watchdog"); !errors.Is(err, fs.ErrNotExist) {
				break
			}
			pass(ctx, 10*time.Second) // its module may come later
			if ctx.Err() != nil {
				return
			}
		}
		if err := b.keepWatchdog(context.WithoutCancel(ctx), watchdog.OpenDevice); err != nil {
			b.log.Error("the watchdog of the hardware is not kept", "reason", err)
		}
	}()
}

// keepWatchdog keeps a watchdog. It is never disarmed as the machine goes down, for a card
// that answers no more can keep that from its end; the kernel does it as it restarts.
func (b *box) keepWatchdog(ctx context.Context, open func() (watchdog.Device, error)) error {
	useful := watchdog.Check{Name: "the program", Try: func(context.Context) error {
		k := b.keeper.Load()
		switch {
		case b.leaving.Load():
			return errors.New("the machine goes down, and does not come to the end of that")
		case k == nil:
			return nil // the machine is being brought up
		}
		if s := k.State(); time.Since(s.Useful) > uselessFor {
			return fmt.Errorf("it was of no use for %s: %s", uselessFor, s.Last)
		}
		return nil
	}}
	return watchdog.Run(ctx, watchdog.Options{Open: open, Checks: []watchdog.Check{useful}, Every: 10 * time.Second, Log: b.log})
}

// judge looks at a slot on trial until it is kept or given back.
func (b *box) judge(ctx context.Context) {
	b.log.Warn("this version is on trial", "version", b.release.Version)
	told := ""
	for ctx.Err() == nil {
		pass(ctx, judgeEvery)
		v, err := b.updater.Judge(b.signs())
		if err != nil && err.Error() != told {
			told = err.Error()
			b.log.Error("the trial", "reason", err)
		}
		switch v.Decision {
		case update.Commit:
			b.log.Warn("this version is kept", "version", b.release.Version)
			return
		case update.Rollback:
			b.order(machine.Reboot, "this version is not kept: "+v.Text)
			return
		}
	}
}

// askHealth asks the program how the box is, as others do.
func (b *box) askHealth() (healthy bool, summary string) {
	client := &http.Client{Timeout: judgeEvery, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, address := range healthAt(b.listens()) {
		resp, err := client.Get("http://" + address + "/healthz")
		if err != nil {
			continue
		}
		var verdict struct{ Status, Summary string }
		err = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&verdict)
		if err = errors.Join(err, resp.Body.Close()); err == nil && verdict.Status != "" {
			return verdict.Status != "failed", verdict.Summary
		}
	}
	return false, ""
}

// healthAt is where a program answers this machine that was told to listen at an address:
// there, or where it cannot be had, as it forgives, at all addresses.
func healthAt(listen string) []string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil
	}
	local := net.JoinHostPort("127.0.0.1", port)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return []string{local}
	}
	return []string{net.JoinHostPort(host, port), local}
}

// mountStick mounts a stick such that the program can read and write it.
func mountStick(device, folder string) error {
	const flags = quiet | unix.MS_NOATIME
	owner := fmt.Sprintf(",uid=%d,gid=%d", programUser, programUser)
	var errs []error
	for _, kind := range []struct{ name, options string }{
		{"vfat", "utf8=1,errors=remount-ro,flush" + owner}, {"exfat", owner[1:]}, {"ext4", "errors=remount-ro"},
	} {
		err := unix.Mount(device, folder, kind.name, flags, kind.options)
		if err == unix.EROFS || err == unix.EACCES {
			err = unix.Mount(device, folder, kind.name, flags|unix.MS_RDONLY, kind.options)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("as %s: %w", kind.name, err))
	}
	return fmt.Errorf("mount %s: %w", device, errors.Join(errs...))
}

// lookAtStick installs an update that lies on a stick, and restarts into it.
func (b *box) lookAtStick(ctx context.Context, s stick.Stick) {
	installed, err := b.updater.FromFolder(ctx, s.Folder, func(machine.Progress) {})
	if errors.Is(err, fs.ErrNotExist) {
		return // most sticks are for something else
	}
	if err != nil {
		b.log.Warn("an update on a stick was not installed", "reason", err)
		return
	}
	b.log.Warn("an update on a stick is installed", "version", installed.Version)
	if err := (keeper{b}).Restart(machine.TryOther); err != nil {
		b.log.Error("an update on a stick", "reason", err)
	}
}

// clockFile bears the time to which the clock is set at the next start.
const clockFile = ownFolder + "/clock"

// setClock sets the clock to the latest time that is known to be over, where it is before
// that: when this was built, and when the machine ran last. What time it is, the program
// finds out.
func (b *box) setClock() {
	floor := time.Time{}
	for _, path := range []string{"/init", clockFile} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(floor) {
			floor = info.ModTime()
		}
	}
	if built := clock.Built(); built.After(floor) {
		floor = built
	}
	if now := time.Now(); !floor.After(now) || floor.After(clock.Built().AddDate(mostYears, 0, 0)) {
		return
	}
	if err := clock.SetSystem(floor); err != nil {
		b.log.Warn("the clock", "reason", err)
		return
	}
	b.log.Info("the clock was set to the latest time that is known to be over", "to", floor.UTC().Format(time.RFC3339))
}

// mostYears is how long after it was built a version may believe that it is.
const mostYears = 20

// saveClock notes what time it is: by the time of a file.
func (b *box) saveClock() {
	if b.data.Condition == disk.Memory || b.data.Condition == disk.ReadOnly {
		return
	}
	now := time.Now()
	err := os.WriteFile(clockFile, nil, 0o600)
	if err = errors.Join(err, os.Chtimes(clockFile, now, now)); err != nil {
		b.log.Debug("the time could not be noted", "reason", err)
	}
}

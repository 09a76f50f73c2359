package pid1

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"cheeseboard/firmware/config"
	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/pid1/disk"
	"cheeseboard/firmware/pid1/network"
	"cheeseboard/firmware/pid1/process"
	"cheeseboard/firmware/pid1/program"
	"cheeseboard/firmware/pid1/ring"
	"cheeseboard/firmware/pid1/uevent"
	"cheeseboard/firmware/update"

	"golang.org/x/sys/unix"
)

// box is the machine as init knows it. What is set while it starts is read by others only
// after that.
type box struct {
	parameters
	journal *journal
	log     *slog.Logger
	reaper  *process.Reaper
	modules *uevent.Modules

	card     disk.Card
	cardErr  error // why there is no card
	boot     update.Boot
	release  update.Release
	settings config.Config
	wrong    []string // in the settings
	data     disk.Report
	network  *network.Manager
	messages <-chan program.Message         // of the program
	deaf     context.CancelFunc             // ends them
	early    *early                         // nil: it was not started early, or goes on
	keeper   atomic.Pointer[program.Keeper] // nil: the machine is being brought up
	updater  *update.Updater
	notes    *notebook
	files    *ring.Files
	flushing sync.Mutex
	flushNow chan struct{} // holds one

	leaving  atomic.Bool // the machine goes down: the watchdog gives it some minutes
	orders   chan order  // how to go down; holds one
	ordered  atomic.Bool
	work     sync.WaitGroup
	announce chan struct{} // holds one
	booting  sync.Mutex    // held while the first partition is writable
}

// order is how the machine goes down, and why.
type order struct {
	how    machine.How
	reason string
}

// Main is the first process. It does not return.
func Main() {
	letPile()
	err := mountKernel()
	j := newJournal(openConsole())
	line, _ := os.ReadFile("/proc/cmdline") // without it all has its default
	p := parseParameters(string(line))
	b := &box{
		parameters: p, journal: j, log: j.logger(p.debug), reaper: process.NewReaper(),
		orders: make(chan order, 1), announce: make(chan struct{}, 1), flushNow: make(chan struct{}, 1),
	}
	if err != nil {
		b.log.Error("the machine cannot be brought up", "reason", err)
	}
	b.run()
}

// run brings the machine up, waits for an order, and takes it down.
func (b *box) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer b.rescue("init")
	b.log.Info("this is init", "kernel", release(), "board", modelName())
	if missing := setSysctls(); len(missing) > 0 {
		b.log.Debug("some settings of the kernel are not there", "names", missing)
	}
	reaping, stopReaping := context.WithCancel(context.Background())
	defer stopReaping()
	go func() { defer b.rescue("reaper"); b.reaper.Run(reaping) }()
	b.heed(ctx)
	b.begin("kernel's log", func() { b.followKernel(ctx) })
	b.start(ctx)
	o := <-b.orders
	b.log.Warn("the machine goes down", "how", o.how, "reason", o.reason)
	b.leaving.Store(true)
	cancel()
	b.down(o)
}

// order has the machine go down, unless it does so already: then the answer is false.
func (b *box) order(how machine.How, reason string) bool {
	if !b.ordered.CompareAndSwap(false, true) {
		return false
	}
	b.orders <- order{how, reason} // there is room for one
	return true
}

// rescue is deferred by each goroutine: a panic of init is written down, and restarts the
// machine. The kernel would do so too, without a word.
func (b *box) rescue(what string) {
	r := recover()
	if r == nil {
		return
	}
	b.leaving.Store(true)
	b.journal.say("init", fmt.Sprintf("panic in %s: %v\n%s", what, r, debug.Stack()))
	b.lastWords(fmt.Sprintf("init failed in %s: %v", what, r))
	b.journal.drain()
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // else the watchdog does
}

// begin starts work that ends with the machine's.
func (b *box) begin(what string, do func()) {
	b.work.Go(func() {
		defer b.rescue(what)
		do()
	})
}

// heed has the signals obeyed that the kernel and people send to init.
func (b *box) heed(ctx context.Context) {
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) // Ctrl-Alt-Del is then SIGINT, and not a restart without a sync
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGPWR, unix.SIGUSR2)
	b.begin("signals", func() {
		select {
		case s := <-signals:
			how := machine.Reboot
			if s == unix.SIGPWR || s == unix.SIGUSR2 {
				how = machine.PowerOff
			}
			b.log.Warn("a signal has come", "signal", s)
			b.order(how, "")
		case <-ctx.Done():
		}
	})
}

// cardPatience is how long a card that does not show up is waited for.
const cardPatience = 30 * time.Second

// start brings everything up. Whatever fails, the rest goes on: a box that can be reached
// can say what is wrong with it.
func (b *box) start(ctx context.Context) {
	b.startModules(ctx)
	b.findCard(ctx)
	b.startWatchdog(ctx)
	b.readSettings()
	unheard := b.hearProgram(ctx)
	if unheard == nil {
		b.startEarly()
	}
	b.startNetwork(ctx)
	b.openData(ctx)
	b.setClock()
	b.startUpdater()
	if err := b.listen(ctx); err != nil {
		b.log.Error("the program cannot speak to init", "reason", err)
	}
	if unheard != nil {
		b.log.Error("the program cannot be kept", "reason", unheard)
		b.order(machine.Reboot, unheard.Error())
		return
	}
	b.startProgram(ctx)
	b.startTending(ctx)
	b.begin("memory", func() { settle(ctx) })
}

// fileSystems are the modules that mount(2) would have asked modprobe for.
var fileSystems = []string{"ext4", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8", "exfat", "configfs", "packet", "af_packet"}

// startModules has modules loaded for what is there, and goes on when they are.
func (b *box) startModules(ctx context.Context) {
	b.modules = uevent.New(uevent.Insert, b.log)
	b.addModules("/")
	b.modules.Load(fileSystems...)
	ready := make(chan struct{})
	b.begin("modules", func() {
		if err := b.modules.Follow(ctx, ready, b.grant); err != nil {
			b.log.Error("devices that come later are not seen", "reason", err)
		}
	})
	<-ready
	mountLate()
	wink("/")
}

// addModules reads the lists of modules below a folder; false: there are none.
func (b *box) addModules(below string) (found bool) {
	for _, folder := range moduleFolders(below) {
		if _, err := os.Stat(folder); err != nil {
			continue
		}
		found = true
		if err := b.modules.Add(folder); err != nil {
			b.log.Error("modules of the kernel", "reason", err)
		}
	}
	return found
}

// findCard finds the card and mounts its first partition and the slot that runs.
func (b *box) findCard(ctx context.Context) {
	var err error
	if b.boot, err = update.ReadBoot(update.FirmwarePath); err != nil {
		b.log.Error("the boot firmware", "reason", err)
	}
	slot := b.boot.Slot
	if slot != disk.SlotA && slot != disk.SlotB {
		slot = b.slot
	}
	if slot == 0 {
		slot = disk.SlotA
	}
	wait, cancel := context.WithTimeout(ctx, cardPatience)
	defer cancel()
	b.card, b.cardErr = disk.Find(wait, "/", b.disk)
	if b.cardErr != nil {
		b.log.Error("there is no card", "reason", b.cardErr)
		return
	}
	b.log.Info("the card is found", "device", b.card.Device, "slot", slot, "size", b.card.Sectors*disk.SectorSize)
	if err := mountFAT(b.card.Partition(disk.Boot), bootFolder, quiet); err != nil {
		b.log.Error("the first partition", "reason", err)
	}
	if err := mountFAT(b.card.Partition(slot), slotFolder, unix.MS_NOSUID|unix.MS_NODEV); err != nil {
		b.log.Error("the slot", "reason", err)
	}
	b.readAhead(programFile)
	if b.addModules(slotFolder) {
		if err := b.modules.All("/"); err != nil {
			b.log.Warn("modules on the slot", "reason", err)
		}
	}
}

// aheadAtOnce is how much the kernel reads ahead for one wish, in bytes: of a larger one it
// takes the beginning, and forgets the rest without a word.
const aheadAtOnce = 128 << 10

// readAhead has the kernel bring a file into memory while other things are done: page by
// page, as a program starts, it takes a card many times as long.
func (b *box) readAhead(path string) {
	b.begin("reading ahead", func() {
		if err := readAhead(path); err != nil {
			b.log.Debug("a file could not be read ahead", "reason", err)
		}
	})
}

func readAhead(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	for at := int64(0); err == nil && at < info.Size(); at += aheadAtOnce {
		err = unix.Fadvise(int(f.Fd()), at, aheadAtOnce, unix.FADV_WILLNEED)
	}
	return errors.Join(err, f.Close())
}

// readSettings reads what a person has set, as the program does.
func (b *box) readSettings() {
	var forgiven *config.Forgiven
	b.settings, forgiven = config.LoadForgiving(settingsFile)
	if b.wrong = forgiven.Lines(); len(b.wrong) > 0 {
		b.log.Error("there are mistakes in the settings; what is wrong has its default", "mistakes", b.wrong)
	}
	var err error
	if b.release, err = update.ReadRelease(update.ReleasePath); err != nil {
		b.log.Warn("this version does not know itself", "reason", err)
	}
}

// startNetwork brings up the network, by what is set.
func (b *box) startNetwork(ctx context.Context) {
	s := networkSettings(b.settings.Network)
	b.setHostname(s.Hostname)
	b.network = network.New(network.Options{Settings: s, Log: b.log, Changed: func(now network.State) {
		b.setHostname(now.Hostname)
		b.poke()
	}})
	b.begin("network", func() {
		for ctx.Err() == nil {
			if err := b.network.Run(ctx); err != nil {
				b.log.Error("the network is looked at anew", "reason", err)
				pass(ctx, time.Second)
			}
		}
	})
}

func (b *box) setHostname(name string) {
	if err := unix.Sethostname([]byte(name)); err != nil {
		b.log.Warn("the name of this machine could not be set", "reason", err)
	}
}

// listen answers the program on its socket.
func (b *box) listen(ctx context.Context) error {
	if err := os.RemoveAll(machine.Socket); err != nil {
		return err
	}
	l, err := net.Listen("unix", machine.Socket)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chown(machine.Socket, 0, programUser), os.Chmod(machine.Socket, 0o660)); err != nil {
		return errors.Join(err, l.Close())
	}
	b.serveMachine(ctx, l)
	return nil
}

func pass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

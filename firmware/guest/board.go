package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Board is a machine that boots what lies on a card, as the boards do: kernel,
// initramfs and command line come from one of the card's slots. It stands in for the
// boot firmware up to the choice of the slot, which is the caller's.
type Board struct {
	Model  Model
	Card   Card
	Slot   int               // the partition to boot: 2 or 3
	Chosen map[string]uint32 // what the firmware says in /chosen/bootloader, as partition and tryboot; "partition" is Slot if absent
	Append string            // goes behind the slot's own command line
	Memory int               // MB; 0: 512. A raspi3b has 1024, whatever this says
	Cores  int               // 0: 2
	// Devices are further arguments for qemu; "{dir}" is a folder of this machine's own,
	// and "{card}" the path of the card.
	Devices []string
	// Drive, if not nil, are the arguments, with the same places, that give the machine of the model virt its
	// card, instead of the usual ones: for a log of writes.
	Drive []string
	// ReadOnly has the usual card refuse all that is written, as one at the end of its life.
	ReadOnly bool
	// Ports are those of the guest that can be reached from here, see Address.
	Ports []int
	// NoNetwork leaves the cable out.
	NoNetwork bool
	// OwnTime has the clock of a machine of the model virt go by what it computes, 500
	// million instructions a second on one core, however busy we are; while it waits, its
	// time flies.
	OwnTime bool
}

// Model is a kind of machine that qemu emulates.
type Model string

// The models that the product's kernel boots on. Virt is no board, and the faster one:
// its card is a virtio disk. Raspi3B has the board's own device tree, its SD card and
// its network at the USB; opening its watchdog ends it, and it cannot restart.
const (
	Virt    Model = "virt"
	Raspi3B Model = "raspi3b"
)

// console is the board's own port, which the boot firmware puts where the command line
// says serial0: without Bluetooth it is the first one on a Pi 3 too.
const console = "ttyAMA0"

const (
	kernelFile      = "vmlinuz"
	initramfsFile   = "initramfs.gz"
	commandLineFile = "cmdline.txt"
	configFile      = "config.txt"
	raspi3BTree     = "bcm2710-rpi-3-b.dtb"
)

// NeedBoards skips the test where boards cannot be emulated, and says what is missing.
func NeedBoards(t *testing.T) {
	t.Helper()
	for program, pkg := range map[string]string{
		"qemu-system-aarch64": "qemu-system-arm", "fdtput": "device-tree-compiler", "fdtoverlay": "device-tree-compiler", "mcopy": "mtools",
	} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("a board cannot be emulated here: %v (Debian: apt-get install --no-install-recommends %s)", err, pkg)
		}
	}
}

// PowerOn starts the machine. It is stopped when the test ends, or by Cut. The card is
// written to. A slot that cannot be booted fails with an error, as the firmware does.
func (b Board) PowerOn(t *testing.T) (*Powered, error) {
	t.Helper()
	// Not t.TempDir: the path of a socket may have 107 bytes.
	dir, err := os.MkdirTemp("", "board")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	args, err := b.arguments(t.Context(), dir)
	if err != nil {
		return nil, err
	}
	return powerOn(t, dir, "qemu-system-aarch64", args, b.Ports)
}

// arguments takes out of the slot what the firmware loads, and gives qemu's arguments.
func (b Board) arguments(ctx context.Context, dir string) ([]string, error) {
	tree := ""
	files := []string{kernelFile, initramfsFile, commandLineFile}
	if b.Model == Raspi3B {
		tree = filepath.Join(dir, raspi3BTree)
		files = append(files, raspi3BTree)
	}
	for _, name := range files {
		raw, err := b.Card.ReadFile(ctx, b.Slot, name)
		if err != nil {
			return nil, fmt.Errorf("boot slot %d: %w", b.Slot, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			return nil, err
		}
	}
	line, err := os.ReadFile(filepath.Join(dir, commandLineFile))
	if err != nil {
		return nil, err
	}
	words := strings.Fields(strings.ReplaceAll(string(line), "serial0", console) + " " + b.Append)
	if tree == "" {
		tree = filepath.Join(dir, "virt.dtb")
		if _, err := output(exec.CommandContext(ctx, "qemu-system-aarch64", b.machine(",dumpdtb="+tree)...)); err != nil {
			return nil, err
		}
	}
	if b.Model == Raspi3B {
		if err := b.overlay(ctx, tree); err != nil {
			return nil, err
		}
	}
	if err := b.choose(ctx, tree); err != nil {
		return nil, err
	}
	args := append(b.machine(""),
		"-display", "none", "-no-reboot", "-dtb", tree,
		"-kernel", filepath.Join(dir, kernelFile), "-initrd", filepath.Join(dir, initramfsFile),
		"-append", strings.Join(words, " "),
		"-chardev", "stdio,id=console,signal=off",
		"-qmp", "unix:"+filepath.Join(dir, "qmp")+",server=on,wait=off")
	args = append(args, b.wires()...)
	args = append(args, b.Devices...)
	places := strings.NewReplacer("{dir}", dir, "{card}", string(b.Card))
	for i := range args {
		args[i] = places.Replace(args[i])
	}
	return args, nil
}

// machine is the part that the device tree of the model virt depends on.
func (b Board) machine(more string) []string {
	if b.Model == Raspi3B {
		return []string{"-M", "raspi3b" + more}
	}
	memory, cores := b.Memory, b.Cores
	if memory == 0 {
		memory = 512
	}
	if cores == 0 {
		cores = 2
	}
	accel := []string{"-accel", "tcg,thread=multi"}
	if b.OwnTime {
		accel, cores = []string{"-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off", "-rtc", "clock=vm"}, 1
	}
	return append(accel, "-M", "virt"+more, "-cpu", "cortex-a72", "-smp", fmt.Sprint(cores), "-m", fmt.Sprint(memory), "-nographic", "-nodefaults")
}

// wires are console, card and network.
func (b Board) wires() []string {
	var args []string
	network := forward(b.Ports)
	if b.Model == Raspi3B {
		args = append(args, "-serial", "chardev:console", "-monitor", "none",
			"-drive", "file="+string(b.Card)+",if=sd,format=raw")
		if !b.NoNetwork {
			args = append(args, "-usb", "-device", "usb-net,netdev=lan", "-netdev", network)
		}
		return args
	}
	args = append(args, "-serial", "chardev:console")
	if b.Drive != nil {
		args = append(args, b.Drive...)
	} else {
		args = append(args, cardDrive(b.ReadOnly)...)
	}
	if !b.NoNetwork {
		args = append(args, "-netdev", network, "-device", "virtio-net-pci,netdev=lan,romfile=")
	}
	return args
}

// cardDrive are the usual arguments for a card that is a virtio disk.
func cardDrive(readOnly bool) []string {
	drive := "file={card},if=none,id=card,format=raw"
	if readOnly {
		drive += ",readonly=on"
	}
	return []string{"-drive", drive, "-device", "virtio-blk-pci,drive=card"}
}

// forward is a network behind this machine, with ports of the guest that are reached from
// here.
func forward(ports []int) string {
	network := "user,id=lan"
	for _, port := range ports {
		// Port 0: the kernel gives one that is free, and qemu says which.
		network += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", port)
	}
	return network
}

// overlay lays over a device tree what config.txt of the slot names for every board, as
// the firmware does.
func (b Board) overlay(ctx context.Context, tree string) error {
	text, err := b.Card.ReadFile(ctx, b.Slot, configFile)
	if err != nil {
		return err
	}
	everyBoard := true
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			everyBoard = line == "[all]"
		}
		name, found := strings.CutPrefix(line, "dtoverlay=")
		if !found || !everyBoard {
			continue
		}
		raw, err := b.Card.ReadFile(ctx, b.Slot, "overlays/"+name+".dtbo")
		if err != nil {
			return err
		}
		over := tree + "." + name
		if err := os.WriteFile(over, raw, 0o644); err != nil {
			return err
		}
		if _, err := output(exec.CommandContext(ctx, "fdtoverlay", "-i", tree, "-o", tree, over)); err != nil {
			return err
		}
	}
	return nil
}

// choose writes into a device tree what the firmware says of its choice.
func (b Board) choose(ctx context.Context, tree string) error {
	chosen := map[string]uint32{"partition": uint32(b.Slot)}
	maps.Copy(chosen, b.Chosen)
	for _, name := range slices.Sorted(maps.Keys(chosen)) {
		_, err := output(exec.CommandContext(ctx, "fdtput", "-p", "-t", "i", tree, "/chosen/bootloader", name, fmt.Sprint(chosen[name])))
		if err != nil {
			return err
		}
	}
	return nil
}

// Line is one line of the console.
type Line struct {
	At   time.Time // when it came, by our clock
	Text string
}

// split takes lines out of what came from a console; what follows the last is left.
func split(b []byte) (lines []string, rest []byte) {
	for {
		line, after, found := bytes.Cut(b, []byte("\n"))
		if !found {
			return lines, b
		}
		lines, b = append(lines, string(bytes.TrimRight(line, "\r"))), after
	}
}

// ErrOff says that the machine has switched itself off, or asked for a restart.
var ErrOff = errors.New("the machine is off")

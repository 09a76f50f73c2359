package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Lab is a machine of this computer's own kind with the lab kernel, a card, and an init
// that is not this test program: the fast way to try what runs on boards.
type Lab struct {
	Card    Card
	Init    string            // path here
	Files   map[string]string // path in the initramfs to path here; programs keep their mode
	Modules []string          // of the kernel, by name, with what they need; init has to load them
	Append  string            // to the kernel's command line
	Memory  int               // MB; 0: 512
	// Devices are further arguments for qemu; "{dir}" is a folder of this machine's own,
	// and "{card}" the path of the card.
	Devices  []string
	Drive    []string // instead of the usual arguments for the card: for a log of writes
	ReadOnly bool     // the usual card cannot be written, see Board
	Network  []string // instead of the usual arguments for the network
	Ports    []int    // of the guest, see Powered.Address
	// OwnTime has the machine's clock go by what it computes, see Machine.
	OwnTime bool
}

// LabModules are what the lab kernel needs to find a card and a network.
var LabModules = []string{
	"virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4", "vfat", "nls_cp437", "nls_iso8859-1", "nls_ascii", "nls_utf8",
	"af_packet", "atkbd", "i8042",
}

// NeedLab skips the test where such a machine cannot be had, and says what is missing.
func NeedLab(t *testing.T) {
	t.Helper()
	for program, pkg := range map[string]string{
		"qemu-system-x86_64": "qemu-system-x86", "cpio": "cpio", "depmod": "kmod", "xz": "xz-utils", "mcopy": "mtools",
		"mkfs.vfat": "dosfstools", "mkfs.ext4": "e2fsprogs", "e2fsck": "e2fsprogs",
	} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("a guest cannot be run here: %v (Debian: apt-get install --no-install-recommends %s)", err, pkg)
		}
	}
}

// Pack writes the initramfs, which several machines can use.
func (l Lab) Pack(ctx context.Context, kernel Kernel, initramfs string) error {
	root := initramfs + ".d"
	if err := copyInto(root, "init", l.Init, 0o755); err != nil {
		return err
	}
	below := path.Join("lib", "modules", kernel.Release)
	modules, err := kernel.Modules(l.Modules...)
	if err != nil {
		return err
	}
	for _, module := range modules {
		target := filepath.Join(root, below, strings.TrimSuffix(module, ".xz"))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := unxz(ctx, target, filepath.Join(kernel.modules, module)); err != nil {
			return err
		}
	}
	for _, list := range []string{"modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		if err := copyInto(root, path.Join(below, list), filepath.Join(kernel.modules, list), 0o644); err != nil {
			return err
		}
	}
	if _, err := output(exec.CommandContext(ctx, "depmod", "-b", root, kernel.Release)); err != nil {
		return err
	}
	for in, here := range l.Files {
		info, err := os.Stat(here)
		if err != nil {
			return err
		}
		if err := copyInto(root, in, here, info.Mode().Perm()); err != nil {
			return err
		}
	}
	for _, folder := range []string{"dev", "proc", "sys", "run", "tmp", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(archive(ctx, root, initramfs), os.RemoveAll(root))
}

func copyInto(root, name, source string, mode os.FileMode) error {
	target := filepath.Join(root, filepath.FromSlash(name))
	return errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), copyFile(target, source, mode))
}

// PowerOn starts the machine with a packed initramfs. It is stopped when the test ends,
// or by Cut. The card is written to.
func (l Lab) PowerOn(t *testing.T, kernel Kernel, initramfs string) (*Powered, error) {
	t.Helper()
	// Not t.TempDir: the path of a socket may have 107 bytes.
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return powerOn(t, dir, "qemu-system-x86_64", l.arguments(dir, kernel, initramfs), l.Ports)
}

func (l Lab) arguments(dir string, kernel Kernel, initramfs string) []string {
	memory := l.Memory
	if memory == 0 {
		memory = 512
	}
	args := []string{
		"-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", "1", "-m", fmt.Sprint(memory), "-no-reboot", "-display", "none",
		"-kernel", kernel.Image, "-initrd", initramfs, "-append", "console=ttyS0 loglevel=4 panic=2 " + l.Append,
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-monitor", "none",
		"-qmp", "unix:" + filepath.Join(dir, "qmp") + ",server=on,wait=off", "-device", "virtio-rng-pci",
	}
	drive := l.Drive
	if drive == nil {
		drive = cardDrive(l.ReadOnly)
	}
	network := l.Network
	if network == nil {
		user := "user,id=lan"
		for _, port := range l.Ports {
			user += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:0-:%d", port)
		}
		network = []string{"-netdev", user, "-device", "virtio-net-pci,netdev=lan,romfile="}
	}
	if l.OwnTime {
		args = append(args, "-icount", "shift=2,sleep=off", "-rtc", "clock=vm")
	}
	for _, list := range [][]string{drive, network, l.Devices} {
		for _, word := range list {
			args = append(args, strings.NewReplacer("{dir}", dir, "{card}", string(l.Card)).Replace(word))
		}
	}
	return args
}

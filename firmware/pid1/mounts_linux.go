package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// quiet is how file systems are mounted from which nothing is to be run.
const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mountKernel mounts what every program expects.
func mountKernel() error {
	for _, m := range []struct {
		kind, path, options string
		flags               uintptr
	}{
		{"devtmpfs", "/dev", "mode=755", unix.MS_NOSUID | unix.MS_NOEXEC},
		{"proc", "/proc", "", quiet},
		{"sysfs", "/sys", "", quiet},
		{"tmpfs", "/run", "mode=755,size=10%", quiet},
		{"tmpfs", "/tmp", "mode=1777,size=10%", quiet},
	} {
		err := os.MkdirAll(m.path, 0o755)
		if err == nil {
			err = unix.Mount(m.kind, m.path, m.kind, m.flags, m.options)
		}
		if err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.path, err)
		}
	}
	// That of the sticks too: a confined program may read only below what was there when
	// it started.
	return os.MkdirAll(sticksFolder, 0o755)
}

// mountLate mounts what some kernels have, and some have as a module only.
func mountLate() {
	for kind, path := range map[string]string{
		"configfs": "/sys/kernel/config", "pstore": "/sys/fs/pstore",
	} {
		_ = unix.Mount(kind, path, kind, quiet, "") // it is of use where it is there
	}
}

// sysctls are set at the start: what panics restarts, nobody reads the kernel's memory,
// and what is written goes to the card before there is much of it.
var sysctls = map[string]string{
	"kernel/panic":                       "2",
	"kernel/panic_on_oops":               "1",
	"kernel/printk":                      "4 4 1 7",
	"kernel/dmesg_restrict":              "1",
	"kernel/kptr_restrict":               "2",
	"kernel/unprivileged_bpf_disabled":   "1",
	"kernel/kexec_load_disabled":         "1",
	"kernel/yama/ptrace_scope":           "2",
	"fs/protected_hardlinks":             "1",
	"fs/protected_symlinks":              "1",
	"fs/protected_fifos":                 "2",
	"fs/protected_regular":               "2",
	"fs/suid_dumpable":                   "0",
	"vm/dirty_background_bytes":          "4194304",
	"vm/dirty_bytes":                     "33554432",
	"vm/panic_on_oom":                    "0",
	"net/ipv4/conf/all/accept_redirects": "0",
	"net/ipv4/conf/all/send_redirects":   "0",
	"net/ipv6/conf/all/accept_redirects": "0",
	"net/ipv6/conf/default/use_tempaddr": "0",
	// Each interface answers for its own addresses only, or two in one network would
	// both be asked.
	"net/ipv4/conf/all/arp_ignore":   "1",
	"net/ipv4/conf/all/arp_announce": "2",
}

// setSysctls gives what could not be set: a kernel need not have each.
func setSysctls() (missing []string) {
	for name, value := range sysctls {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// fatOptions are how the FAT partitions are mounted: all may read, nobody but root write.
const fatOptions = "utf8=1,errors=remount-ro,umask=0022"

// mountFAT mounts a FAT partition read-only.
func mountFAT(device, folder string, flags uintptr) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, folder, "vfat", unix.MS_RDONLY|unix.MS_NOATIME|flags, fatOptions); err != nil {
		return fmt.Errorf("mount %s at %s: %w", device, folder, err)
	}
	return nil
}

// writing has the first partition writable while do runs; what do wrote is durable then.
func writing(folder string, do func() error) error {
	if err := unix.Mount("", folder, "", unix.MS_REMOUNT|quiet|unix.MS_NOATIME, fatOptions); err != nil {
		return fmt.Errorf("make %s writable: %w", folder, err)
	}
	err := do()
	unix.Sync()
	// A file system that stays writable could be damaged by a cut.
	if back := unix.Mount("", folder, "", unix.MS_REMOUNT|unix.MS_RDONLY|quiet|unix.MS_NOATIME, fatOptions); back != nil {
		err = errors.Join(err, fmt.Errorf("make %s read-only again: %w", folder, back))
	}
	return err
}

// unmountAll takes all from their folders that lie on a device, the last first. What is in
// use is made read-only: nothing is lost then either.
func unmountAll() error {
	raw, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	var errs []error
	for i := len(lines) - 1; i >= 0; i-- {
		fields := strings.Fields(lines[i])
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "/dev/") {
			continue
		}
		folder := fields[1]
		if err := unix.Unmount(folder, 0); err == nil {
			continue
		}
		if err := unix.Mount("", folder, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			errs = append(errs, fmt.Errorf("let go of %s: %w", folder, err))
		}
	}
	return errors.Join(errs...)
}

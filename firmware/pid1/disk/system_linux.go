package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Linux is a System that is this machine.
type Linux struct {
	// Repair runs a checker of file systems to its end, and gives what it said and its
	// exit code (e2fsck(8)); nil: there is none.
	Repair func(ctx context.Context, device string) (said string, code int, err error)
	// MemorySize is what a file system in memory may take: tmpfs(5), "50%".
	MemorySize string
}

// dataFlags and dataOptions are how the partition for data is mounted. What is found to be
// damaged is written to no more, and is checked at the next start.
const (
	dataFlags   = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME
	dataOptions = "errors=remount-ro"
)

// Mount implements System.
func (Linux) Mount(device, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, folder, "ext4", dataFlags, dataOptions); err != nil {
		return os.NewSyscallError("mount "+device, err)
	}
	return nil
}

// MountReadOnly implements System. The device is made read-only first: of a file system that
// is mounted read-only the kernel still clears away what was being removed when the power
// went.
func (Linux) MountReadOnly(device, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	f, err := os.Open(device)
	if err != nil {
		return err
	}
	err = os.NewSyscallError("make "+device+" read-only", unix.IoctlSetPointerInt(int(f.Fd()), unix.BLKROSET, 1))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// Its journal cannot be replayed without writing.
	return os.NewSyscallError("mount "+device, unix.Mount(device, folder, "ext4", dataFlags|unix.MS_RDONLY, "noload,"+dataOptions))
}

// Unmount implements System.
func (Linux) Unmount(folder string) error {
	return os.NewSyscallError("umount "+folder, unix.Unmount(folder, 0))
}

// Damage implements System.
func (Linux) Damage(err error) bool {
	for _, code := range []unix.Errno{unix.EINVAL, unix.EUCLEAN, unix.EBADMSG, unix.EIO, unix.ENOTDIR, unix.EFBIG, unix.ESTALE} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// The bits of the exit code of e2fsck(8).
const (
	checkCorrected = 1 | 2
	checkLeft      = 4 // errors that could not be corrected
	checkCancelled = 32
)

// checks is how often a file system is checked before it is given up. e2fsck 1.47 gives up
// itself where it had to begin with a backup of the superblock that says there is a journal
// to be replayed, as all do of a file system that has grown while it was mounted; but it has
// replayed it, and goes on the next time.
const checks = 3

// Check implements System.
func (l Linux) Check(ctx context.Context, device string) (string, error) {
	if l.Repair == nil {
		return "", fmt.Errorf("check %s: there is no program for that: %w", device, ErrUnchecked)
	}
	all, last := "", 0
	for range checks {
		said, code, err := l.Repair(ctx, device)
		all += said
		switch {
		case err != nil:
			return all, fmt.Errorf("check %s: %w", device, err)
		case code < 0 || code&checkCancelled != 0:
			return all, fmt.Errorf("check %s: it was ended", device)
		case code&^checkCorrected == 0:
			return all, nil
		}
		last = code
	}
	// All else is no word on the file system: no memory, a device that gives errors, or one
	// on which it finds no superblock at all.
	why := ErrUnchecked
	if last&^checkCorrected == checkLeft {
		why = ErrBeyondRepair
	}
	return all, fmt.Errorf("check %s: exit status %d: %w", device, last, why)
}

// Memory implements System.
func (l Linux) Memory(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.NewSyscallError("mount tmpfs", unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size="+l.MemorySize))
}

// resizeFS is EXT4_IOC_RESIZE_FS, _IOW('f', 16, __u64).
const resizeFS = 0x40086610

// Grow implements System.
func (Linux) Grow(folder string, blocks uint64) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), resizeFS, uintptr(unsafe.Pointer(&blocks)))
	if errno != 0 {
		err = os.NewSyscallError("grow "+folder, errno)
	}
	return errors.Join(err, f.Close())
}

// GrowPartition has the partition for data reach to the end of the card: in the table, and
// in what the kernel knows. What is so already is left alone.
func GrowPartition(c Card) (grown bool, err error) {
	f, err := os.OpenFile(c.Device, os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("grow the partition for data: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	table, grown := c.Table.Grown(c.Sectors)
	if grown {
		if err := table.Write(f); err != nil {
			return false, err
		}
	}
	p := table.Partitions[Data-1]
	raw, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(c.Partition(Data)), "size"))
	if err != nil {
		return grown, fmt.Errorf("grow the partition for data: %w", err)
	}
	known, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil || known >= uint64(p.Sectors) {
		return grown, err
	}
	return true, resizePartition(f, Data, int64(p.Start)*SectorSize, int64(p.Sectors)*SectorSize)
}

// The numbers of linux/blkpg.h.
const (
	blkpg        = 0x1269
	resizePart   = 3
	partitionLen = 152 // of struct blkpg_partition
)

// resizePartition tells the kernel that a partition has another length, in bytes.
func resizePartition(disk *os.File, number int, start, length int64) error {
	var partition [partitionLen]byte
	binary.NativeEndian.PutUint64(partition[0:], uint64(start))
	binary.NativeEndian.PutUint64(partition[8:], uint64(length))
	binary.NativeEndian.PutUint32(partition[16:], uint32(number))
	request := struct {
		op, flags, length int32
		data              unsafe.Pointer
	}{op: resizePart, length: partitionLen, data: unsafe.Pointer(&partition)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), blkpg, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return os.NewSyscallError("tell the kernel of the partition's length", errno)
	}
	return nil
}

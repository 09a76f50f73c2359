package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// device is where the store lies: a file system of its own on a loop device,
// whose writes can be told from all others, or a plain folder.
type device struct {
	dir    string
	loop   string // of the device: loop3; "" for a plain folder
	reason string // why it is a plain folder
}

// openDevice makes a file system of ext4 in a file below folder, or says why not.
func openDevice(ctx context.Context, folder string, size int64) (*device, error) {
	image, mount := filepath.Join(folder, "image"), filepath.Join(folder, "mount")
	if err := os.Mkdir(mount, 0o755); err != nil {
		return nil, err
	}
	d := &device{dir: mount}
	err := os.WriteFile(image, nil, 0o600)
	if err == nil {
		err = os.Truncate(image, size)
	}
	if err != nil {
		return nil, err
	}
	loop, err := output(ctx, "losetup", "--direct-io=on", "--find", "--show", image)
	if err == nil {
		d.loop = filepath.Base(loop)
		// Some machines read megabytes ahead, which a small memory cannot hold.
		ahead := filepath.Join("/sys/block", d.loop, "queue", "read_ahead_kb")
		if err = os.WriteFile(ahead, []byte(readAhead), 0o644); err == nil {
			_, err = output(ctx, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", loop)
		}
		if err == nil {
			_, err = output(ctx, "mount", "-o", "noatime", loop, mount)
		}
		if err != nil {
			_, detach := output(ctx, "losetup", "--detach", loop)
			err = errors.Join(err, detach)
		}
	}
	if err != nil {
		d.loop, d.reason = "", err.Error()
	}
	return d, nil
}

// readAhead is how much the kernel reads ahead of a card, in KB: its default.
const readAhead = "128"

func output(ctx context.Context, command ...string) (string, error) {
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", command[0], err, text)
	}
	return text, nil
}

func (d *device) String() string {
	if d.loop == "" {
		return "a folder, whose writes cannot be told from others' (" + d.reason + ")"
	}
	return "a file system of its own on /dev/" + d.loop + ", its journal counted, read ahead by " + readAhead + " KB"
}

func (d *device) close() error {
	if d.loop == "" {
		return nil
	}
	// Also after an interrupt.
	ctx := context.Background()
	_, err := output(ctx, "umount", d.dir)
	_, detach := output(ctx, "losetup", "--detach", "/dev/"+d.loop)
	return errors.Join(err, detach)
}

// written is how many bytes have been written to the device so far, all that is
// in memory included; -1 where that cannot be told.
func (d *device) written() (int64, error) {
	if d.loop == "" {
		return -1, nil
	}
	f, err := os.Open(d.dir)
	if err != nil {
		return 0, err
	}
	err = unix.Syncfs(int(f.Fd()))
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("sync the device: %w", err)
	}
	raw, err := os.ReadFile(filepath.Join("/sys/block", d.loop, "stat"))
	if err != nil {
		return 0, err
	}
	const sectorsWritten = 6
	sectors, err := strconv.ParseInt(strings.Fields(string(raw))[sectorsWritten], 10, 64)
	return sectors * 512, err
}

// forget has the kernel drop what it keeps in memory of a folder's files.
func forget(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = errors.Join(unix.Fsync(int(f.Fd())), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		return errors.Join(err, f.Close())
	})
}

// sizeOf is what the files of a folder take on the disk: sparse ones less than
// their length.
func sizeOf(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if stat, ok := info.Sys().(*syscall.Stat_t); err == nil && ok {
			total += stat.Blocks * 512
		}
		return err
	})
	return total, err
}

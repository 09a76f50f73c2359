package stick

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// kernelGroup is the multicast group of what the kernel itself sends.
const kernelGroup = 1

// socket hears the kernel.
type socket struct {
	fd   int
	stop int // an eventfd that ends a wait
}

// Listen opens a socket on which the kernel tells of devices. It needs no privilege.
func Listen() (Source, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen for devices: %w", err)
	}
	// Without the sender's credentials nothing is believed.
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup})
	}
	stop := -1
	if err == nil {
		stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err != nil {
		_ = unix.Close(fd) // it is of no use
		return nil, fmt.Errorf("listen for devices: %w", err)
	}
	return &socket{fd, stop}, nil
}

// Next implements Source.
func (s *socket) Next(ctx context.Context) (Event, error) {
	written := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(written)
		_, _ = unix.Write(s.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // it only counts up
	})
	defer func() {
		if !stop() {
			<-written // after Close the number may be another file's
		}
	}()
	for {
		if ctx.Err() != nil {
			return Event{}, ctx.Err()
		}
		wait := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: int32(s.stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(wait, -1); err != nil && err != unix.EINTR {
			return Event{}, os.NewSyscallError("poll", err)
		}
		e, ok, err := s.read()
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err == unix.ENOBUFS:
			return Event{}, ErrMissed
		case err != nil:
			return Event{}, os.NewSyscallError("recvmsg", err)
		case ok:
			return e, nil
		}
	}
}

// read reads one message; false where it is none of the kernel's.
func (s *socket) read() (Event, bool, error) {
	message, control := make([]byte, maxEvent+1), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	n, controls, _, from, err := unix.Recvmsg(s.fd, message, control, 0)
	if err != nil {
		return Event{}, false, err
	}
	if !fromKernel(from, control[:controls]) {
		return Event{}, false, nil
	}
	e, ok := parseEvent(message[:n])
	return e, ok, nil
}

// fromKernel tells whether a message was sent by the kernel, to its own group: any
// process can send to our address, and one of the right user to a group.
func fromKernel(from unix.Sockaddr, control []byte) bool {
	sender, ok := from.(*unix.SockaddrNetlink)
	if !ok || sender.Pid != 0 || sender.Groups != kernelGroup {
		return false
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return false
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			return cred.Pid == 0 && cred.Uid == 0
		}
	}
	return false
}

// Close implements Source.
func (s *socket) Close() error {
	err := unix.Close(s.fd)
	if stop := unix.Close(s.stop); err == nil {
		err = stop
	}
	return err
}

// flags are how a stick is mounted: nothing on it is run, is a device, or has rights.
const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// fileSystems are what is tried, in this order.
var fileSystems = []struct{ name, options string }{
	{"vfat", "utf8=1,errors=remount-ro,flush"}, {"exfat", ""}, {"ext4", "errors=remount-ro"},
}

// Mount mounts a device at a folder, as the first file system that it turns out to be;
// read-only where the device can only be read.
func Mount(device, folder string) error {
	var errs []error
	for _, fs := range fileSystems {
		err := unix.Mount(device, folder, fs.name, flags, fs.options)
		if err == unix.EROFS || err == unix.EACCES {
			err = unix.Mount(device, folder, fs.name, flags|unix.MS_RDONLY, fs.options)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("as %s: %w", fs.name, err))
	}
	return fmt.Errorf("mount %s: %w", device, errors.Join(errs...))
}

// Unmount writes out what a stick has not got yet, and takes it from its folder. It is
// never left to the kernel to do that later: who pulls it then loses what was written.
// It tries again while something is open there, until patience is over. ErrUnwritten.
func Unmount(folder string, patience time.Duration) error {
	unwritten := syncFolder(folder)
	deadline := time.Now().Add(patience)
	for {
		err := unix.Unmount(folder, 0)
		switch {
		case err == nil && unwritten != nil:
			return fmt.Errorf("unmount %s: %w: %w", folder, ErrUnwritten, unwritten)
		case err == nil, err == unix.EINVAL: // it is mounted no more
			return nil
		case err != unix.EBUSY || time.Now().After(deadline):
			return fmt.Errorf("unmount %s: %w", folder, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func syncFolder(folder string) error {
	fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.Syncfs(fd)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	return err
}

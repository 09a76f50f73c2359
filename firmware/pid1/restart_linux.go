package pid1

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rebootWith restarts the machine with a word to its boot firmware (reboot(2),
// LINUX_REBOOT_CMD_RESTART2). It returns only where the kernel refuses.
func rebootWith(word string) error {
	text, err := unix.BytePtrFromString(word)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_RESTART2, uintptr(unsafe.Pointer(text)), 0, 0)
	return os.NewSyscallError("reboot", errno)
}

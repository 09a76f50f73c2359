package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What may be done with files, as the versions of Landlock's interface came to know
// it. Connections are not confined: an upstream, a mirror or a proxy can be anywhere.
const (
	readFile = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readAll  = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	change   = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	// arrange are the rights that only folders have, but for reading them.
	arrange = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	devices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	execute = unix.LANDLOCK_ACCESS_FS_EXECUTE
	control = unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	all = readAll | change | arrange | devices | execute | control
	// onFiles are the rights that a file can have; others are refused for it.
	onFiles = readFile | change | execute | control
)

// known gives the rights that a version of the interface knows, from the second on.
func known(version int) uint64 {
	rights := uint64(all)
	if version < 3 {
		rights &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version < 5 {
		rights &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return rights
}

// Apply confines the process, all its threads, and whatever it starts. It cannot be
// undone. It gives the version of the kernel's interface. ErrUnsupported; after
// another error the process is not confined.
func Apply(a Access) (version int, err error) {
	v, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || v < 1 {
		return 0, fmt.Errorf("%w: the kernel has no Landlock, or it is off (%w)", ErrUnsupported, errno)
	}
	version = int(v)
	if version < 2 { // it would keep every file in the folder that it was made in
		return 0, fmt.Errorf("%w: version %d of the kernel's Landlock allows no file to be moved to another folder", ErrUnsupported, version)
	}
	rights := known(version)
	// Of the structure only the first field, which every version knows.
	handled := struct{ fs uint64 }{rights}
	fd, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&handled)), unsafe.Sizeof(handled), 0)
	if errno != 0 {
		return version, fmt.Errorf("confine the process: make rules: %w", errno)
	}
	ruleset := int(fd)
	defer func() { _ = unix.Close(ruleset) }() // the rules hold without it
	for _, part := range []struct {
		paths []string
		allow uint64
	}{
		{a.Write, readAll | change | arrange}, {a.Read, readAll},
		{a.Use, readAll | change | control}, {a.Run, readAll | execute},
	} {
		for _, path := range part.paths {
			if err := allow(ruleset, path, part.allow&rights); err != nil {
				return version, fmt.Errorf("confine the process: allow %s: %w", path, err)
			}
		}
	}
	return version, restrict(ruleset)
}

// allow adds what may be done at a path and below it.
func allow(ruleset int, path string, rights uint64) error {
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only to name the path
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.IsDir() {
		rights &= onFiles
	}
	rule := pathBeneath(rights, int32(f.Fd()))
	_, _, errno := syscall.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// pathBeneath packs what the kernel reads of a rule: it is 12 bytes, without any
// between or behind the two fields.
func pathBeneath(rights uint64, parent int32) (rule [12]byte) {
	*(*[8]byte)(rule[:8]) = *(*[8]byte)(unsafe.Pointer(&rights))
	*(*[4]byte)(rule[8:]) = *(*[4]byte)(unsafe.Pointer(&parent))
	return rule
}

// restrict puts the rules into force for every thread. A program with cgo has threads
// that Go does not know of, so there it is not done.
func restrict(ruleset int) error {
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		if errno == syscall.ENOTSUP {
			return fmt.Errorf("%w: this program was built with cgo", ErrUnsupported)
		}
		return fmt.Errorf("confine the process: give up new privileges: %w", errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); errno != 0 {
		return fmt.Errorf("confine the process: put the rules into force: %w", errno)
	}
	return nil
}

package pid1

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Where things are while the machine runs.
const (
	bootFolder     = "/boot" // the first partition, read-only
	slotFolder     = "/slot" // the slot that runs, read-only
	dataFolder     = "/data"
	runFolder      = "/run/cheeseboard"
	sticksFolder   = runFolder + "/sticks"
	notifySocket   = runFolder + "/notify"
	settingsFile   = bootFolder + "/cheeseboard.toml"
	pinFile        = bootFolder + "/PIN.txt"
	programFile    = slotFolder + "/cheeseboard"
	programData    = dataFolder + "/cheeseboard"
	storeMark      = "cheeseboard/FORMAT" // below dataFolder: there is a store of the program's
	ownFolder      = dataFolder + "/init" // what init notes
	logFolder      = dataFolder + "/log"
	checkerProgram = "/sbin/e2fsck"
	seedFile       = "/etc/cheeseboard/data.ext4.gz"
)

// programUser is the user and the group of the program.
const programUser = 1000

// parameters are those of the kernel's command line that are ours.
type parameters struct {
	disk       uint32 // 0: any
	slot       int    // 0: not said
	noWatchdog bool
	debug      bool
}

func parseParameters(line string) (p parameters) {
	for word := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "cheeseboard.disk":
			if id, err := strconv.ParseUint(strings.TrimPrefix(value, "0x"), 16, 32); err == nil {
				p.disk = uint32(id)
			}
		case "cheeseboard.slot":
			if slot, err := strconv.Atoi(value); err == nil && (slot == 2 || slot == 3) {
				p.slot = slot
			}
		case "cheeseboard.watchdog":
			p.noWatchdog = value == "off"
		case "cheeseboard.log":
			p.debug = value == "debug"
		}
	}
	return p
}

// release is the kernel's, as uname says it.
func release() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// moduleFolders are where the kernel's modules lie; those on the slot appear with it.
func moduleFolders(below string) []string {
	return []string{filepath.Join(below, "modules", release()), filepath.Join(below, "lib/modules", release())}
}

// modelName is what the board calls itself; "" where it does not.
func modelName() string {
	raw, err := os.ReadFile("/proc/device-tree/model")
	if err != nil {
		return ""
	}
	return strings.Trim(string(raw), "\x00\n")
}

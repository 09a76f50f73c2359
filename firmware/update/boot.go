package update

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FirmwarePath is where the boot firmware tells what it started.
const FirmwarePath = "/proc/device-tree/chosen/bootloader"

// TryCommand is the argument of reboot(2) that has the firmware start the other
// slot, once.
const TryCommand = "0 tryboot"

// Boot is what the boot firmware says of this start.
type Boot struct {
	Slot int  // the partition it started; 0 where it does not say
	Try  bool // because of the flag that holds once
}

// ReadBoot reads the folder of the device tree. A machine without one is no error:
// it has no slots.
func ReadBoot(folder string) (Boot, error) {
	partition, err := readCell(folder, "partition")
	if errors.Is(err, fs.ErrNotExist) {
		return Boot{}, nil
	}
	if err != nil {
		return Boot{}, err
	}
	try, err := readCell(folder, "tryboot")
	if errors.Is(err, fs.ErrNotExist) {
		try, err = 0, nil
	}
	return Boot{Slot: int(partition), Try: try != 0}, err
}

func readCell(folder, name string) (uint32, error) {
	raw, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		return 0, fmt.Errorf("read what the boot firmware says: %w", err)
	}
	if len(raw) != 4 {
		return 0, fmt.Errorf("read what the boot firmware says: %s has %d bytes", name, len(raw))
	}
	return binary.BigEndian.Uint32(raw), nil
}

// autobootName is autoboot.txt as a directory of FAT has it.
const autobootName = "AUTOBOOTTXT"

// readAutoboot reads autoboot.txt from the first partition.
func readAutoboot(first Area) (Autoboot, place, error) {
	at, err := findInRoot(first, first.Size(), autobootName)
	if err != nil {
		return Autoboot{}, at, fmt.Errorf("find autoboot.txt on the first partition: %w", err)
	}
	text := make([]byte, at.size)
	if _, err := first.ReadAt(text, at.offset); err != nil {
		return Autoboot{}, at, fmt.Errorf("read autoboot.txt: %w", err)
	}
	a, err := ParseAutoboot(text)
	return a, at, err
}

// setDefault makes a slot the one that is started from now on. It is one write of
// one sector, which the card does wholly or not at all: neither the directory nor
// the allocation table is touched.
func setDefault(first Area, slot int) error {
	old, at, err := readAutoboot(first)
	if err != nil {
		return err
	}
	if old.Default == slot {
		return nil
	}
	text, err := Autoboot{Default: slot, Try: Other(slot)}.Text(at.size)
	if err != nil {
		return err
	}
	whole := append(text, make([]byte, sector-len(text))...)
	if _, err = first.WriteAt(whole, at.offset); err == nil { // the commit point of an update
		err = first.Sync()
	}
	got := make([]byte, sector)
	if err == nil {
		_, err = first.ReadAt(got, at.offset)
	}
	if err == nil && !bytes.Equal(got, whole) {
		err = errCard
	}
	if err != nil {
		return fmt.Errorf("write autoboot.txt: %w", err)
	}
	return nil
}

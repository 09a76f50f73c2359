package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Card is the disk that the machine runs from.
type Card struct {
	Name    string // below /dev: "mmcblk0", "vda"
	Device  string // "/dev/mmcblk0"
	Table   Table
	Sectors uint64 // of 512 bytes
}

// Partition gives the path of a partition: "/dev/mmcblk0p2", "/dev/vda2".
func (c Card) Partition(number int) string {
	if last := c.Name[len(c.Name)-1]; last >= '0' && last <= '9' {
		return fmt.Sprintf("%sp%d", c.Device, number)
	}
	return fmt.Sprintf("%s%d", c.Device, number)
}

// Find looks for the card among the disks below root, and waits for it until ctx ends:
// a card and what hangs on USB appear when they like. id is that of its table; 0: any
// card with partitions like ours. Where there are several, one that is soldered or plugged
// into the board goes before what hangs on USB.
func Find(ctx context.Context, root string, id uint32) (Card, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		card, err := look(root, id)
		if err == nil {
			return card, nil
		}
		select {
		case <-ctx.Done():
			return Card{}, fmt.Errorf("find the card: %w", err)
		case <-tick.C:
		}
	}
}

func look(root string, id uint32) (Card, error) {
	paths, err := filepath.Glob(filepath.Join(root, "sys/class/block/*"))
	if err != nil {
		return Card{}, err
	}
	var found []Card
	var usb []bool
	var errs []error
	for _, path := range paths {
		if target, err := os.Readlink(path); err == nil && strings.Contains(target, "/virtual/block/") {
			continue // the kernel's own: disks in memory, loops over files; it has two dozen
		}
		if _, err := os.Stat(filepath.Join(path, "partition")); err == nil {
			continue
		}
		c, err := openCard(root, filepath.Base(path))
		switch {
		case errors.Is(err, ErrNoTable), errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		}
		if id != 0 && c.Table.ID != id || !c.Table.Appliance() {
			continue
		}
		// The partitions appear after the disk.
		if _, err := os.Stat(c.Partition(Data)); err != nil {
			errs = append(errs, err)
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		found, usb = append(found, c), append(usb, err != nil || strings.Contains(real, "/usb"))
	}
	if len(found) == 0 {
		return Card{}, errors.Join(append(errs, fmt.Errorf("no disk has the partitions of a card (of %d block devices)", len(paths)))...)
	}
	if i := slices.Index(usb, false); i >= 0 {
		return found[i], nil
	}
	return found[0], nil
}

// openCard reads the table and the size of a disk.
func openCard(root, name string) (c Card, err error) {
	c = Card{Name: name, Device: filepath.Join(root, "dev", name)}
	raw, err := os.ReadFile(filepath.Join(root, "sys/class/block", name, "size"))
	if err != nil {
		return c, err
	}
	if c.Sectors, err = strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64); err != nil || c.Sectors == 0 {
		return c, errors.Join(err, ErrNoTable)
	}
	f, err := os.Open(c.Device)
	if err != nil {
		return c, fmt.Errorf("look at a disk: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	c.Table, err = ReadTable(f)
	if err != nil {
		return c, fmt.Errorf("look at %s: %w", name, err)
	}
	return c, nil
}

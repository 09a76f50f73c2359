package disk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sectorOf makes the first sector of a card like ours.
func sectorOf(id uint32, dataSectors uint32) []byte {
	b := make([]byte, SectorSize)
	for i := range b[:440] {
		b[i] = byte(i) // the boot code is nobody's business
	}
	binary.LittleEndian.PutUint32(b[idAt:], id)
	for i, p := range []Partition{{typeFAT16, 2048, 8192}, {typeFAT32, 16384, 98304}, {typeFAT32, 114688, 98304}, {typeLinux, 212992, dataSectors}} {
		e := b[entriesAt+i*entrySize:]
		e[4] = p.Type
		binary.LittleEndian.PutUint32(e[8:], p.Start)
		binary.LittleEndian.PutUint32(e[12:], p.Sectors)
	}
	b[signatureAt], b[signatureAt+1] = 0x55, 0xaa
	return b
}

func TestReadTable(t *testing.T) {
	got, err := ReadTable(bytes.NewReader(sectorOf(0x1234, 131072)))
	if err != nil || got.ID != 0x1234 || got.Partitions[Data-1] != (Partition{typeLinux, 212992, 131072}) || !got.Appliance() {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ReadTable(bytes.NewReader(make([]byte, SectorSize))); !errors.Is(err, ErrNoTable) {
		t.Errorf("of zeros: %v", err)
	}
	if _, err := ReadTable(bytes.NewReader(nil)); err == nil || errors.Is(err, ErrNoTable) {
		t.Errorf("of nothing: %v", err)
	}
}

// TestGrown: to the end of the card, in whole blocks, and no further than the table can
// say; nothing else of the sector changes.
func TestGrown(t *testing.T) {
	const gib = 1 << 30 / SectorSize
	for _, c := range []struct {
		name    string
		sectors uint64 // of the card
		want    uint32 // of the partition
		grows   bool
	}{
		{"64 GiB", 64 * gib, 64*gib - 212992, true},
		{"not whole blocks", 64*gib + 12345, 64*gib + 8192 - 212992, true},
		{"as it is", 212992 + 131072, 131072, false},
		{"a little more", 212992 + 131072 + 8191, 131072, false},
		{"smaller", 4096, 131072, false},
		{"4 TiB", 4096 * gib, 1<<32 - 8192 - 212992, true},
	} {
		before := sectorOf(7, 131072)
		table, err := ReadTable(bytes.NewReader(before))
		if err != nil {
			t.Fatal(err)
		}
		got, grows := table.Grown(c.sectors)
		if grows != c.grows || got.Partitions[Data-1].Sectors != c.want {
			t.Errorf("%s: %t, %d sectors, want %t, %d", c.name, grows, got.Partitions[Data-1].Sectors, c.grows, c.want)
		}
		if _, again := got.Grown(c.sectors); again {
			t.Errorf("%s: it grows again", c.name)
		}
		after := got.sector[:]
		at := entriesAt + (Data-1)*entrySize + 12
		if !bytes.Equal(before[:at], after[:at]) || !bytes.Equal(before[at+4:], after[at+4:]) {
			t.Errorf("%s: more than the length has changed", c.name)
		}
	}
}

// TestNotGrown: a partition that others follow stays as it is.
func TestNotGrown(t *testing.T) {
	b := sectorOf(7, 131072)
	binary.LittleEndian.PutUint32(b[entriesAt+entrySize+8:], 1<<20) // slot A lies behind it
	table, err := ReadTable(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if _, grows := table.Grown(1 << 30); grows {
		t.Error("it grows over another")
	}
	if _, grows := (Table{}).Grown(1 << 30); grows {
		t.Error("what is not there grows")
	}
}

// faulty is a disk that fails in a step.
type faulty struct {
	*bytes.Reader
	wrote []byte
	write error
	sync  error
}

func (f *faulty) WriteAt(b []byte, at int64) (int, error) {
	f.wrote = append(f.wrote, b...)
	return len(b), f.write
}
func (f *faulty) Sync() error { return f.sync }

func TestWriteTable(t *testing.T) {
	table, err := ReadTable(bytes.NewReader(sectorOf(7, 131072)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*faulty{{write: errors.New("no")}, {sync: errors.New("no")}} {
		if err := table.Write(f); err == nil {
			t.Errorf("it failed, and nobody is told: %+v", f)
		}
	}
	var good faulty
	if err := table.Write(&good); err != nil || !bytes.Equal(good.wrote, sectorOf(7, 131072)) {
		t.Errorf("%v, %d bytes", err, len(good.wrote))
	}
}

// machineWith makes a root with disks in /sys and /dev. A name before a slash is the bus.
func machineWith(t *testing.T, disks map[string][]byte) string {
	t.Helper()
	root := t.TempDir()
	put := func(path string, b []byte) {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "sys/class/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	for at, sector := range disks {
		name := filepath.Base(at)
		put("sys/devices/"+at+"/size", []byte("131072000\n"))
		put("dev/"+name, sector)
		put(Card{Name: name, Device: "dev/" + name}.Partition(Data), nil)
		if err := os.Symlink("../../devices/"+at, filepath.Join(root, "sys/class/block", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFind(t *testing.T) {
	other := sectorOf(3, 1)
	other[entriesAt+4] = 0x83
	for name, c := range map[string]struct {
		disks map[string][]byte
		id    uint32
		want  string
	}{
		"a card":                 {map[string][]byte{"mmc/mmcblk0": sectorOf(1, 9), "x/sda": other, "x/ram0": make([]byte, 512)}, 0, "mmcblk0"},
		"by its ID":              {map[string][]byte{"mmc/mmcblk0": sectorOf(1, 9), "x/vda": sectorOf(2, 9)}, 2, "vda"},
		"before one on USB":      {map[string][]byte{"pci/usb1/1-1/sda": sectorOf(1, 9), "virtio/vda": sectorOf(1, 9)}, 1, "vda"},
		"on USB, where no other": {map[string][]byte{"pci/usb1/1-1/sda": sectorOf(1, 9), "x/vda": other}, 0, "sda"},
		"none":                   {map[string][]byte{"x/sda": other}, 0, ""},
		"the kernel's own":       {map[string][]byte{"virtual/block/ram0": sectorOf(1, 9), "virtual/block/loop0": sectorOf(1, 9)}, 0, ""},
		"through NVMe":           {map[string][]byte{"virtual/nvme-subsystem/nvme-subsys0/nvme0n1": sectorOf(1, 9)}, 0, "nvme0n1"},
		"too short":              {map[string][]byte{"x/sda": nil}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			got, err := Find(ctx, machineWith(t, c.disks), c.id)
			if (err == nil) != (c.want != "") || got.Name != c.want {
				t.Errorf("%q, %v", got.Name, err)
			}
		})
	}
}

// TestFindLate: a disk that appears later is found.
func TestFindLate(t *testing.T) {
	root := machineWith(t, nil)
	found := make(chan Card)
	go func() {
		c, err := Find(t.Context(), root, 0)
		if err != nil {
			t.Error(err)
		}
		found <- c
	}()
	late := machineWith(t, map[string][]byte{"x/vda": sectorOf(1, 9)})
	for _, path := range []string{"dev", "sys/devices", "sys/class/block/vda"} { // the last one is what is looked for
		if err := os.Rename(filepath.Join(late, path), filepath.Join(root, path)); err != nil {
			t.Fatal(err)
		}
	}
	if c := <-found; c.Name != "vda" || c.Sectors != 131072000 {
		t.Errorf("%+v", c)
	}
}

func TestPartition(t *testing.T) {
	for name, want := range map[string]string{"mmcblk0": "/dev/mmcblk0p4", "vda": "/dev/vda4", "nvme0n1": "/dev/nvme0n1p4"} {
		if got := (Card{Name: name, Device: "/dev/" + name}).Partition(Data); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func FuzzReadTable(f *testing.F) {
	f.Add(sectorOf(1, 2), uint64(1<<24))
	f.Fuzz(func(t *testing.T, b []byte, sectors uint64) {
		table, err := ReadTable(bytes.NewReader(b))
		if err != nil {
			return
		}
		grown, ok := table.Grown(sectors)
		p, old := grown.Partitions[Data-1], table.Partitions[Data-1]
		if ok && (p.Sectors <= old.Sectors || uint64(p.Start)+uint64(p.Sectors) > sectors || p.Start != old.Start) {
			t.Errorf("%+v of %d sectors grows to %+v", old, sectors, p)
		}
	})
}

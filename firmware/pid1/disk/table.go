// Package disk brings the card of an appliance to what init can mount: it finds it by
// its partition table, grows the last partition over the whole card, checks the file
// system for data, has it repaired, or puts a new one in its place.
//
// Each step can be cut off by a loss of power at any moment, and is found undone or done,
// or goes on from there, at the next start.
package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// SectorSize is what a partition table counts in.
const SectorSize = 512

// The partitions of a card, by their numbers.
const (
	Boot  = 1 // FAT: autoboot.txt, cheeseboard.toml, PIN.txt
	SlotA = 2 // FAT: kernel, initramfs, program
	SlotB = 3
	Data  = 4 // ext4
)

// Types of partitions.
const (
	typeFAT16 = 0x0e
	typeFAT32 = 0x0c
	typeLinux = 0x83
)

// The places in the first sector of a disk.
const (
	idAt        = 440
	entriesAt   = 446
	entrySize   = 16
	signatureAt = 510
)

// ErrNoTable: a disk has no partition table of the kind that cards have.
var ErrNoTable = errors.New("there is no partition table (MBR)")

// Partition is an entry of a partition table; all zero: it is not used.
type Partition struct {
	Type    byte
	Start   uint32 // in sectors
	Sectors uint32
}

// Table is a partition table (MBR).
type Table struct {
	ID         uint32 // of the disk
	Partitions [4]Partition

	sector [SectorSize]byte
}

// ReadTable reads the partition table of a disk. ErrNoTable.
func ReadTable(r io.ReaderAt) (Table, error) {
	var t Table
	if _, err := r.ReadAt(t.sector[:], 0); err != nil {
		return Table{}, fmt.Errorf("read the partition table: %w", err)
	}
	if t.sector[signatureAt] != 0x55 || t.sector[signatureAt+1] != 0xaa {
		return Table{}, ErrNoTable
	}
	t.ID = binary.LittleEndian.Uint32(t.sector[idAt:])
	for i := range t.Partitions {
		e := t.sector[entriesAt+i*entrySize:]
		t.Partitions[i] = Partition{Type: e[4], Start: binary.LittleEndian.Uint32(e[8:]), Sectors: binary.LittleEndian.Uint32(e[12:])}
	}
	return t, nil
}

// Appliance tells whether this is the table of a card of ours, by the partitions that it
// has; which card, its ID says.
func (t Table) Appliance() bool {
	p := t.Partitions
	return p[Boot-1].Type == typeFAT16 && p[SlotA-1].Type == typeFAT32 && p[SlotB-1].Type == typeFAT32 && p[Data-1].Type == typeLinux
}

// alignment of the end of a partition that was grown, in sectors: the size in which cards
// erase.
const alignment = 4 << 20 / SectorSize

// Grown gives the table with the partition for data reaching to the end of a disk of so
// many sectors; false where it does, or nothing else is possible. Nothing but the number
// of sectors of that entry changes.
func (t Table) Grown(sectors uint64) (Table, bool) {
	data := t.Partitions[Data-1]
	if data.Sectors == 0 {
		return t, false
	}
	for _, p := range t.Partitions[:Data-1] {
		if p.Sectors > 0 && p.Start >= data.Start {
			return t, false // it would grow over this one
		}
	}
	end := min(sectors, 1<<32-1) / alignment * alignment
	if end <= uint64(data.Start)+uint64(data.Sectors) {
		return t, false
	}
	t.Partitions[Data-1].Sectors = uint32(end - uint64(data.Start))
	binary.LittleEndian.PutUint32(t.sector[entriesAt+(Data-1)*entrySize+12:], t.Partitions[Data-1].Sectors)
	return t, true
}

// Disk is what a partition table is written to.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Write puts the table on a disk; durable when it returns. It is one sector, which a card
// writes whole or not at all.
func (t Table) Write(d Disk) error {
	if _, err := d.WriteAt(t.sector[:], 0); err != nil {
		return fmt.Errorf("write the partition table: %w", err)
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write the partition table: %w", err)
	}
	return nil
}

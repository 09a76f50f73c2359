// Package card builds what is written on a card: the image with its four partitions,
// and the files that accompany it. The same parts give the same bytes.
//
// The card has a Master Boot Record, which every board's firmware reads:
//
//  1. FAT16, what a person reaches in any laptop: cheeseboard.toml, and what chooses
//     the slot (autoboot.txt)
//  2. slot A, FAT32: boot firmware, kernel, initramfs with init, and the program
//  3. slot B, empty until the first update
//  4. ext4 for the data, which grows over the rest of the card at the first boot
package card

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

const (
	sector = 512
	mib    = 1 << 20
)

// Types of partitions in the record.
const (
	typeFAT16 = 0x0e
	typeFAT32 = 0x0c
	typeLinux = 0x83
)

// Extent is a part of the card, in bytes; both are multiples of a MiB.
type Extent struct {
	Start, Size int64
	kind        byte
}

// Layout is where the partitions 1 to 4 lie. An update replaces what is in a slot, never
// the layout, so the slots have room to grow: they are half empty.
func Layout() [4]Extent { return layOut(16*mib, 96*mib, 64*mib) }

// layOut places partitions of these sizes one behind the other.
func layOut(first, slot, data int64) [4]Extent {
	layout := [4]Extent{
		{Size: first, kind: typeFAT16}, {Size: slot, kind: typeFAT32}, {Size: slot, kind: typeFAT32}, {Size: data, kind: typeLinux},
	}
	at := int64(4 * mib) // where cards like to begin
	for i := range layout {
		layout[i].Start = at
		at += layout[i].Size
	}
	return layout
}

// diskID is the card's signature, by which Linux names its partitions.
const diskID = 0x43424f58

// record is the first sector of a card.
func record(layout [4]Extent) []byte {
	b := make([]byte, sector)
	binary.LittleEndian.PutUint32(b[440:], diskID)
	for i, p := range layout {
		entry := b[446+16*i:][:16]
		// Cylinders, heads and sectors that say: look at the blocks.
		copy(entry[1:], []byte{0xfe, 0xff, 0xff})
		copy(entry[5:], []byte{0xfe, 0xff, 0xff})
		entry[4] = p.kind
		binary.LittleEndian.PutUint32(entry[8:], uint32(p.Start/sector))
		binary.LittleEndian.PutUint32(entry[12:], uint32(p.Size/sector))
	}
	b[510], b[511] = 0x55, 0xaa
	return b
}

// assemble writes the card into target: the record, and the files with what is in the
// partitions. One that has no file stays empty.
func assemble(target string, layout [4]Extent, contents [4]string) error {
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // for the way out with an error
	last := layout[len(layout)-1]
	if err := f.Truncate(last.Start + last.Size); err != nil {
		return err
	}
	if _, err := f.WriteAt(record(layout), 0); err != nil {
		return err
	}
	for i, path := range contents {
		if path == "" {
			continue
		}
		if err := place(f, layout[i], path); err != nil {
			return fmt.Errorf("write partition %d: %w", i+1, err)
		}
	}
	return f.Close()
}

// place copies the content of a partition, which must fit.
func place(card *os.File, where Extent, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	n, err := io.Copy(io.NewOffsetWriter(card, where.Start), in)
	if err == nil && n > where.Size {
		err = fmt.Errorf("%d bytes are more than the %d of the partition", n, where.Size)
	}
	return err
}

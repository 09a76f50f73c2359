package update

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// place is where a small file lies on a FAT16.
type place struct {
	offset int64 // of its first byte, from the beginning of the partition
	size   int   // bytes, as its directory says
}

// The bounds of a FAT16: fewer clusters make it a FAT12, more a FAT32.
const (
	leastClusters = 4085
	mostClusters  = 65525
	dirEntry      = 32
)

// fat16 is the geometry of a file system, checked.
type fat16 struct {
	clusterSize         int64 // bytes
	fat, root, data     int64 // offsets
	rootEntries, number int64 // number of clusters
}

// findInRoot finds a file of at most one sector in the root directory of a FAT16,
// by its short name of 8+3 letters. It reads only what it needs, and believes no
// figure that leads out of the file system.
func findInRoot(r io.ReaderAt, size int64, name string) (place, error) {
	g, err := readFAT16(r, size)
	if err != nil {
		return place{}, err
	}
	entry := make([]byte, dirEntry)
	for i := range g.rootEntries {
		if _, err := r.ReadAt(entry, g.root+i*dirEntry); err != nil {
			return place{}, fmt.Errorf("read the root directory: %w", err)
		}
		if entry[0] == 0 {
			break // nothing was ever written behind
		}
		const labelOrFolder, longName = 0x18, 0x0f
		if entry[11] == longName || entry[11]&labelOrFolder != 0 || string(entry[:11]) != name {
			continue
		}
		return g.place(r, entry)
	}
	return place{}, fmt.Errorf("there is no %s", name)
}

// place finds the only cluster of a file.
func (g fat16) place(r io.ReaderAt, entry []byte) (place, error) {
	size := binary.LittleEndian.Uint32(entry[28:])
	cluster := int64(binary.LittleEndian.Uint16(entry[26:]))
	switch {
	case size == 0 || size > sector:
		return place{}, fmt.Errorf("it has %d bytes; it must fit into one sector of %d", size, sector)
	case cluster < 2 || cluster >= g.number+2:
		return place{}, fmt.Errorf("it lies in cluster %d, which does not exist", cluster)
	}
	var next [2]byte
	if _, err := r.ReadAt(next[:], g.fat+2*cluster); err != nil {
		return place{}, fmt.Errorf("read the allocation table: %w", err)
	}
	const lastCluster = 0xfff8 // and above
	if n := binary.LittleEndian.Uint16(next[:]); n < lastCluster {
		return place{}, fmt.Errorf("it lies in more than one cluster (%d leads to %d)", cluster, n)
	}
	return place{offset: g.data + (cluster-2)*g.clusterSize, size: int(size)}, nil
}

// readFAT16 reads the boot sector.
func readFAT16(r io.ReaderAt, size int64) (fat16, error) {
	b := make([]byte, sector)
	if _, err := r.ReadAt(b, 0); err != nil {
		return fat16{}, fmt.Errorf("read the boot sector: %w", err)
	}
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	if b[510] != 0x55 || b[511] != 0xaa || word(11) != sector {
		return fat16{}, errors.New("this is no FAT with sectors of 512 bytes")
	}
	perCluster, reserved, copies := int64(b[13]), word(14), int64(b[16])
	entries, total, perFAT := word(17), word(19), word(22)
	if total == 0 {
		total = int64(binary.LittleEndian.Uint32(b[32:]))
	}
	rootSectors := (entries*dirEntry + sector - 1) / sector
	dataStart := reserved + copies*perFAT + rootSectors
	if perCluster == 0 || reserved == 0 || copies == 0 || perFAT == 0 || total <= dataStart || total*sector > size {
		return fat16{}, errors.New("its boot sector makes no sense")
	}
	g := fat16{
		clusterSize: perCluster * sector, rootEntries: entries, number: (total - dataStart) / perCluster,
		fat: reserved * sector, root: (reserved + copies*perFAT) * sector, data: dataStart * sector,
	}
	if g.number < leastClusters || g.number >= mostClusters || (g.number+2)*2 > perFAT*sector {
		return fat16{}, fmt.Errorf("it has %d clusters, which is no FAT16", g.number)
	}
	return g, nil
}

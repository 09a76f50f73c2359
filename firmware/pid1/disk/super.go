package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Super is what the superblock of an ext4 file system says
// (Documentation/filesystems/ext4/super.rst).
type Super struct {
	Label     string
	Blocks    uint64
	BlockSize int64
	Flawed    bool // errors were found in it, and it was not checked since
	Errors    uint32
}

// The places in a superblock.
const (
	superAt     = 1024
	superSize   = 1024
	magicAt     = 0x38
	stateAt     = 0x3a
	incompatAt  = 0x60
	roCompatAt  = 0x64
	labelAt     = 0x78
	blocksHigh  = 0x150
	errorsAt    = 0x194
	checksumAt  = 0x3fc
	magic       = 0xef53
	stateErrors = 2
	has64Bit    = 0x80
	hasChecksum = 0x400
)

// ErrNoFileSystem: there is no superblock, or what stands in its place is not whole.
var ErrNoFileSystem = errors.New("there is no ext4 file system")

// ReadSuper reads the superblock of the file system at the beginning of r.
// ErrNoFileSystem.
func ReadSuper(r io.ReaderAt) (Super, error) {
	var b [superSize]byte
	if _, err := r.ReadAt(b[:], superAt); err != nil {
		return Super{}, fmt.Errorf("read the superblock: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint16(b[magicAt:]) != magic {
		return Super{}, ErrNoFileSystem
	}
	if le.Uint32(b[roCompatAt:])&hasChecksum != 0 {
		// The kernel's crc32c neither begins nor ends with an inversion of its own.
		if sum := ^crc32.Update(0, crc32.MakeTable(crc32.Castagnoli), b[:checksumAt]); sum != le.Uint32(b[checksumAt:]) {
			return Super{}, fmt.Errorf("%w: its superblock has a wrong checksum", ErrNoFileSystem)
		}
	}
	s := Super{Blocks: uint64(le.Uint32(b[4:])), Flawed: le.Uint16(b[stateAt:])&stateErrors != 0, Errors: le.Uint32(b[errorsAt:])}
	if le.Uint32(b[incompatAt:])&has64Bit != 0 {
		s.Blocks |= uint64(le.Uint32(b[blocksHigh:])) << 32
	}
	shift := le.Uint32(b[0x18:])
	if shift > 6 {
		return Super{}, fmt.Errorf("%w: its superblock names a block of 2^%d KiB", ErrNoFileSystem, shift)
	}
	s.BlockSize = 1024 << shift
	for _, c := range b[labelAt : labelAt+16] {
		if c == 0 {
			break
		}
		s.Label += string(rune(c))
	}
	return s, nil
}

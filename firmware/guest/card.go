package guest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

const sector = 512

// Card is a raw image of a card, with the partitions of a Master Boot Record.
type Card string

// Partition is where a partition lies, in bytes.
type Partition struct {
	Start, Size int64
	Type        byte
}

// Partitions reads the table: the partitions 1 to 4, in this order. One that is not
// used has the size 0.
func (c Card) Partitions() (table [4]Partition, err error) {
	f, err := os.Open(string(c))
	if err != nil {
		return table, err
	}
	defer func() { _ = f.Close() }() // only read
	var boot [sector]byte
	if _, err := io.ReadFull(f, boot[:]); err != nil {
		return table, fmt.Errorf("read the partition table: %w", err)
	}
	if boot[510] != 0x55 || boot[511] != 0xaa {
		return table, fmt.Errorf("read the partition table of %s: it has no signature", c)
	}
	for i := range table {
		entry := boot[446+16*i:][:16]
		table[i] = Partition{
			Start: int64(binary.LittleEndian.Uint32(entry[8:])) * sector,
			Size:  int64(binary.LittleEndian.Uint32(entry[12:])) * sector,
			Type:  entry[4],
		}
	}
	return table, nil
}

// drive is how mtools names a FAT partition, 1 to 4, of the card.
func (c Card) drive(partition int) (string, error) {
	table, err := c.Partitions()
	if err != nil {
		return "", err
	}
	if partition < 1 || partition > len(table) || table[partition-1].Size == 0 {
		return "", fmt.Errorf("the card %s has no partition %d", c, partition)
	}
	return fmt.Sprintf("%s@@%d", c, table[partition-1].Start), nil
}

// ReadFile gives the content of a file in a FAT partition, as the boot firmware reads
// it. The card must not be in use.
func (c Card) ReadFile(ctx context.Context, partition int, name string) ([]byte, error) {
	drive, err := c.drive(partition)
	if err != nil {
		return nil, err
	}
	raw, err := output(mtools(ctx, "mcopy", "-i", drive, "::/"+name, "-"))
	if err != nil {
		return nil, fmt.Errorf("read %s in partition %d: %w", name, partition, err)
	}
	return raw, nil
}

// WriteFile puts a file into a FAT partition, as a person does in a laptop. The card
// must not be in use.
func (c Card) WriteFile(ctx context.Context, partition int, name string, content []byte) error {
	drive, err := c.drive(partition)
	if err != nil {
		return err
	}
	cmd := mtools(ctx, "mcopy", "-o", "-i", drive, "-", "::/"+name)
	cmd.Stdin = strings.NewReader(string(content))
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("write %s in partition %d: %w", name, partition, err)
	}
	return nil
}

// Copy makes a card of its own out of this one, with the given size in bytes; 0 keeps
// the size. Holes stay holes.
func (c Card) Copy(ctx context.Context, target string, size int64) (Card, error) {
	if _, err := output(exec.CommandContext(ctx, "cp", "--sparse=always", "--", string(c), target)); err != nil {
		return "", err
	}
	if size == 0 {
		return Card(target), nil
	}
	if info, err := os.Stat(target); err != nil {
		return "", err
	} else if info.Size() > size {
		return "", errors.New("a card cannot be smaller than what is on it")
	}
	return Card(target), os.Truncate(target, size)
}

// Extract copies a partition, 1 to 4, to a file of its own, for programs that must not
// lose their place: e2fsck, at an offset, does once it has replayed a journal. Holes stay
// holes.
func (c Card) Extract(_ context.Context, partition int, target string) error {
	table, err := c.Partitions()
	if err != nil {
		return err
	}
	p := table[partition-1]
	in, err := os.Open(string(c))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	out, err := os.Create(target)
	if err != nil {
		return err
	}
	err = copyData(out, in, p.Start, p.Size)
	if err = errors.Join(err, out.Truncate(p.Size), out.Close()); err != nil {
		return fmt.Errorf("extract partition %d: %w", partition, err)
	}
	return nil
}

// copyData copies what is no hole of a part of a file to the beginning of another.
func copyData(out, in *os.File, start, size int64) error {
	for at := start; at < start+size; {
		data, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || data >= start+size {
			return nil // only a hole is left
		}
		if err != nil {
			return os.NewSyscallError("lseek", err)
		}
		hole, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return os.NewSyscallError("lseek", err)
		}
		at = min(hole, start+size)
		if _, err := io.Copy(io.NewOffsetWriter(out, data-start), io.NewSectionReader(in, data, at-data)); err != nil {
			return err
		}
	}
	return nil
}

// mtools is one of the programs that read and write FAT without mounting it.
func mtools(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	return cmd
}

// Unpack makes a card of an image under gzip, with the given size in bytes; 0 is that of
// the image. What is empty takes no room.
func Unpack(image, target string, size int64) (card Card, err error) {
	in, err := os.Open(image)
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }() // only read
	z, err := gzip.NewReader(in)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", image, err)
	}
	out, err := os.Create(target)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	at, block, empty := int64(0), make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(z, block)
		if !bytes.Equal(block[:n], empty[:n]) {
			if _, err := out.WriteAt(block[:n], at); err != nil {
				return "", err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		} else if err != nil {
			return "", fmt.Errorf("read %s: %w", image, err)
		}
	}
	if size == 0 {
		size = at
	}
	if size < at {
		return "", fmt.Errorf("an image of %d bytes does not fit on a card of %d", at, size)
	}
	return Card(target), out.Truncate(size)
}

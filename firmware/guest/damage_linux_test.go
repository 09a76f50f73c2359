package guest_test

import (
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/guest"
)

// fsPlaces are where parts of the file system of a grown card lie, in bytes from the
// beginning of the partition for data.
type fsPlaces struct{ inodes, journal int64 }

// findPlaces reads them.
func findPlaces(t *testing.T, card guest.Card) (p fsPlaces) {
	t.Helper()
	f, err := os.Open(string(card))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	const block = 4096
	read := func(at int64, n int) []byte {
		b := make([]byte, n)
		if _, err := f.ReadAt(b, dataStart+at); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		return b
	}
	le := binary.LittleEndian
	// The first group's descriptor is in the second block; bytes 8 to 11 say where its
	// inodes begin.
	p.inodes = int64(le.Uint32(read(block, 64)[8:])) * block
	size := int64(le.Uint16(read(1024, 1024)[0x58:])) // of an inode
	// The journal is inode 8; its first extent stands behind the header of 12 bytes.
	journal := read(p.inodes+7*size, int(size))
	extent := journal[40+12:]
	if le.Uint16(journal[40:]) != 0xf30a || le.Uint16(journal[40+6:]) != 0 {
		t.Fatal("the journal's inode is not as this test expects it")
	}
	p.journal = int64(le.Uint32(extent[8:])) * block
	return p
}

// TestDamage boots cards whose partition for data is damaged in several ways: in each case
// it is repaired, or begun anew, the console says so, and the box serves.
func TestDamage(t *testing.T) {
	a := newAppliance(t, product)
	ctx := patient(t, 9*time.Minute)
	// A card that was used: its file system has grown, and there is a store on it.
	used := a.copyCard(t, 4<<30)
	p := a.boot(t, guest.Lab{Card: used})
	until(ctx, t, p, "/healthz", answered)
	restart(ctx, t, p)
	places := findPlaces(t, used)
	for _, c := range []struct {
		name       string
		at, length int64
		says       string
		again      bool // the next start finds nothing
	}{
		{"superblock", 1024, 1024, "the partition for data: repaired", true},
		{"journal", places.journal, 64 << 10, "the partition for data: repaired", true},
		{"inodes", places.inodes, 16 << 10, "the partition for data: repaired", true},
		{"all that says where anything is", 0, 2 << 30, "the partition for data: aside", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			card, err := used.Copy(ctx, t.TempDir()+"/card", 0)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, card, c.at, c.length)
			began := time.Now()
			p := a.boot(t, guest.Lab{Card: card})
			until(ctx, t, p, "/healthz", answered)
			t.Logf("it serves after %s", time.Since(began).Round(time.Second/10))
			line, err := p.Await(ctx, c.says)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(line.Text)
			restart(ctx, t, p)
			if code, said := checkData(ctx, t, card, "-f", "-n"); code != 0 {
				t.Errorf("what is left behind is not sound: %d\n%s", code, said)
			}
			if !c.again {
				return
			}
			next := a.boot(t, guest.Lab{Card: card})
			until(ctx, t, next, "/healthz", answered)
			if strings.Contains(next.Console(), "the partition for data: ") {
				t.Error("at the next start it is damaged again")
			}
			next.Cut()
		})
	}
}

// TestNoData boots a card whose partition for data cannot be read: the box says so, and
// serves from memory.
func TestNoData(t *testing.T) {
	a := newAppliance(t, product)
	ctx := patient(t, 5*time.Minute)
	card := a.copyCard(t, 0)

	p := a.boot(t, guest.Lab{Card: card, Drive: []string{
		"-blockdev", "driver=file,node-name=file,filename={card}",
		"-blockdev", `{"driver":"blkdebug","node-name":"card","image":"file","inject-error":[{"event":"none","iotype":"read","errno":5,"sector":212992}]}`,
		"-device", "virtio-blk-pci,drive=card",
	}})
	until(ctx, t, p, "/healthz", answered)
	if _, err := p.Await(ctx, "the partition for data: memory"); err != nil {
		t.Error(err)
	}
}

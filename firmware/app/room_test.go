package app

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// unit is the size of files that share a small disk: beside it, what the store itself
// writes does not count.
const unit = 1 << 20

// smallDisk follows projects on a disk that has room for so many halves of a unit.
func smallDisk(t *testing.T, halves int64, names ...string) *follower {
	t.Helper()
	f := follow(t, 0, upstreamtest.Dialect{})
	f.close()
	f.names, f.free = names, f.disk(halves*unit/2)
	f.open()
	return f
}

// carriedWheel is a wheel as people carry it here.
func carriedWheel(t *testing.T, name, version string, size int) syncer.Carried {
	t.Helper()
	w := upstreamtest.Wheel{Name: name, Version: version, Payload: size, Seed: 77}
	content, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	return syncer.Carried{Name: pypi.Name(name), Content: bytes.NewReader(content), File: pypi.File{
		Filename: w.Filename(), Size: int64(len(content)),
		Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: pypi.Digest(sha256.Sum256(content)).String()}},
	}}
}

// carry takes wheels in while the upstream is away.
func (f *follower) carry(wheels ...syncer.Carried) {
	f.t.Helper()
	f.must(f.server.Kill())
	for _, w := range wheels {
		if fresh, err := f.Carry(f.t.Context(), w); err != nil || !fresh {
			f.t.Fatal(fresh, err)
		}
	}
	f.must(f.server.Revive())
	f.restart() // its line is not known to be down
}

// holds asserts which distributions of a project are here, and held.
func (f *follower) holds(name string, versions ...string) {
	f.t.Helper()
	here := f.has(pypi.Name(name))
	for _, v := range versions {
		if !here[name+"-"+v+"-py3-none-any.whl"] {
			f.t.Errorf("%s %s is not here and held; there are %v", name, v, here)
		}
	}
}

// TestCarriedFilesOnAFullDisk: what people carried here and no index knows does not give
// way to what can be had again, whether it is selected or not.
func TestCarriedFilesOnAFullDisk(t *testing.T) {
	for _, selected := range []bool{false, true} {
		f := smallDisk(t, 9, "brie", "edam")
		if selected {
			f.names = append(f.names, "tomme")
		}
		f.carry(carriedWheel(t, "tomme", "1.0", unit), carriedWheel(t, "tomme", "1.1", unit))
		f.wheels("1.0", unit, "brie", "edam")
		f.pass(syncer.SyncOptions{})
		f.wheels("2.0", 2*unit, "brie", "edam")
		f.wheels("1.0", unit, "havarti")
		f.names = append(f.names, "havarti")
		f.restart()
		f.sleep(7 * time.Hour)
		if _, err := f.Sync(t.Context(), syncer.SyncOptions{}); !errors.Is(err, syncer.ErrFull) {
			t.Errorf("selected %t: %v", selected, err)
		}
		f.holds("tomme", "1.0", "1.1")
	}
}

// TestNothingVanishesForAnother: a project whose new release cannot be had keeps the old
// one, also where another project lacks room.
func TestNothingVanishesForAnother(t *testing.T) {
	f := smallDisk(t, 4, "brie")
	f.wheels("1.0", unit, "brie")
	f.pass(syncer.SyncOptions{})
	f.names = append(f.names, "edam")
	f.restart()
	f.wheels("2.0", unit/2, "brie")
	f.server.Tell(upstreamtest.OnFile("brie-2.0-py3-none-any.whl"), upstreamtest.Status(404, ""), 0)
	f.wheels("1.0", unit+unit/2, "edam")
	f.sleep(7 * time.Hour)
	if _, err := f.Sync(t.Context(), syncer.SyncOptions{}); !errors.Is(err, syncer.ErrFull) {
		t.Errorf("without room for edam: %v", err)
	}
	f.holds("brie", "1.0")
}

// TestNothingIsGivenUpInVain has new releases that do not fit even where the old ones
// give way: these stay.
func TestNothingIsGivenUpInVain(t *testing.T) {
	f := smallDisk(t, 7, "brie", "edam")
	f.wheels("1.0", unit, f.names...)
	f.pass(syncer.SyncOptions{})
	f.wheels("2.0", 3*unit, f.names...)
	for range 3 {
		f.sleep(7 * time.Hour)
		if _, err := f.Sync(t.Context(), syncer.SyncOptions{}); !errors.Is(err, syncer.ErrFull) {
			t.Errorf("without room: %v", err)
		}
		f.holds("brie", "1.0")
		f.holds("edam", "1.0")
	}
}

// cut is what is carried here, with something that happens before its first byte is read.
type cut struct {
	*bytes.Reader
	before func()
}

func (c *cut) ReadAt(b []byte, at int64) (int, error) {
	if c.before != nil {
		c.before()
		c.before = nil
	}
	return c.Reader.ReadAt(b, at)
}

// TestCarriedHalfWay cuts the power between the entry of what is carried here and its
// bytes: they are not offered, and no pass looks for them; once more, and they are here.
func TestCarriedHalfWay(t *testing.T) {
	f := follow(t, 0, upstreamtest.Dialect{})
	f.close()
	f.names = []string{"tomme"}
	f.open()
	whole, half, after := carriedWheel(t, "tomme", "1.0", 1000), carriedWheel(t, "tomme", "2.0", 1000), t.TempDir()
	content := half.Content.(*bytes.Reader)
	half.Content = &cut{content, func() { f.must(os.CopyFS(after, os.DirFS(f.data))) }}
	f.carry(whole, half)
	f.close()
	f.data = after
	f.open()
	for range 2 {
		f.sleep(7 * time.Hour)
		if sum, err := f.Sync(t.Context(), syncer.SyncOptions{}); err != nil || sum.Failed != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
	}
	if offered := f.offered("tomme").names(); len(offered) != 1 || offered[0] != whole.File.Filename {
		t.Errorf("offered are %v", offered)
	}
	digest, _ := half.File.Hashes.SHA256()
	var absent *syncer.Absent
	if _, err := f.File(t.Context(), "tomme", digest, half.File.Filename, false); !errors.As(err, &absent) || !strings.Contains(absent.Reason, "import it again") {
		t.Error(err)
	}
	half.Content = content
	f.carry(half)
	if offered := f.offered("tomme").names(); len(offered) != 2 {
		t.Errorf("once more, offered are %v", offered)
	}
	f.holds("tomme", "1.0", "2.0")
}

package app

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
	"cheeseboard/syncer/upstreamtest"
)

// disk tells what is free on one that has room for so many bytes of files.
func (f *follower) disk(room int64) func(string) (int64, error) {
	return func(string) (int64, error) {
		free := room + meta.Floor
		err := filepath.WalkDir(f.data, func(path string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // removed meanwhile
			case err != nil || !d.Type().IsRegular():
				return err
			case filepath.Base(filepath.Dir(path)) == "meta":
				return nil
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				free -= info.Size()
			}
			return err
		})
		return free, err
	}
}

// wheels makes a release of each project, with so many bytes.
func (f *follower) wheels(version string, size int, names ...string) {
	f.t.Helper()
	for i, name := range names {
		_, err := f.server.Index.AddWheel(upstreamtest.Wheel{Name: name, Version: version, Payload: size, Seed: uint64(len(version)*100 + i)})
		f.must(err)
	}
}

// has lists the distributions that are here of a project, and whether they are held.
func (f *follower) has(name pypi.Name) map[string]bool {
	f.t.Helper()
	held, err := f.store.Held(name)
	f.must(err)
	list := make(map[string]bool)
	for _, r := range held {
		if !r.Metadata {
			list[r.Filename] = r.Pinned
		}
	}
	return list
}

// TestNewReleasesOnAFullDisk has a selection that fits on the disk once, but not
// beside its successors: these come all the same, each when an old release that is
// needed no more has given way, and as long as the disk has room nothing else does.
func TestNewReleasesOnAFullDisk(t *testing.T) {
	f := smallDisk(t, 9, "brie", "edam", "gouda")
	f.wheels("1.0", unit, f.names...)
	f.pass(syncer.SyncOptions{})
	f.wheels("2.0", unit, f.names...)
	f.sleep(7 * time.Hour)
	f.pass(syncer.SyncOptions{})
	for _, name := range f.names {
		if here := f.has(pypi.Name(name)); !here[name+"-2.0-py3-none-any.whl"] {
			t.Errorf("of %s there are %v", name, here)
		}
	}
}

// TestOldReleaseIsHeldUntilTheNewOneIsHere has a new release that cannot be had: the
// old one is held on to until it can.
func TestOldReleaseIsHeldUntilTheNewOneIsHere(t *testing.T) {
	f := follow(t, 1, upstreamtest.Dialect{})
	name := pypi.Name(f.names[0])
	old := f.server.Index.Filenames(f.names[0])[0]
	f.pass(syncer.SyncOptions{})
	fresh := f.change(f.names[0])
	told := f.server.Tell(upstreamtest.OnFile(fresh), upstreamtest.Status(404, ""), 0)
	f.sleep(7 * time.Hour)
	f.pass(syncer.SyncOptions{})
	if here := f.has(name); len(here) != 1 || !here[old] {
		t.Errorf("while the new release cannot be had there are %v, as far as held", here)
	}
	told.Stop()
	f.sleep(14 * time.Hour)
	f.pass(syncer.SyncOptions{})
	if here := f.has(name); len(here) != 2 || here[old] || !here[fresh] {
		t.Errorf("with the new release there are %v, as far as held", here)
	}
}

// TestWishForWhichThereIsNoRoom has a client wish for more than may be cached: the
// selection comes all the same, and the pass says what it could not do.
func TestWishForWhichThereIsNoRoom(t *testing.T) {
	f := follow(t, 0, upstreamtest.Dialect{})
	f.close()
	f.names, f.cache = []string{"brie", "edam"}, unit
	f.open()
	f.wheels("1.0", unit, f.names...)
	f.wheels("1.0", 2*unit, "gouda")
	f.must(f.server.Kill())
	var absent *syncer.Absent
	if _, err := f.Page(t.Context(), "gouda"); !errors.As(err, &absent) {
		t.Fatal(err)
	}
	f.restart() // the wish is durable, however slow the disk is
	f.must(f.server.Revive())
	sum, err := f.Sync(t.Context(), syncer.SyncOptions{})
	if !errors.Is(err, syncer.ErrFull) || sum.Files != 2 || sum.Failed != 1 {
		t.Errorf("with a wish for which there is no room: %+v, %v", sum, err)
	}
	if s, err := f.Status(); err != nil || len(s.Wishes) != 1 {
		t.Errorf("the wishes are %v (%v)", s.Wishes, err)
	}
	f.wheels("2.0", unit, f.names...)
	f.sleep(7 * time.Hour)
	if _, err := f.Sync(t.Context(), syncer.SyncOptions{}); !errors.Is(err, syncer.ErrFull) {
		t.Error(err)
	}
	for _, name := range f.names {
		here := f.has(pypi.Name(name))
		if old, is := here[name+"-1.0-py3-none-any.whl"]; !here[name+"-2.0-py3-none-any.whl"] || is && old {
			t.Errorf("of %s there are %v, as far as held", name, here)
		}
	}
}

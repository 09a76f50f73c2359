package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// cachedShelf is a project of n wheels of its own releases, all of them cached.
func cachedShelf(t testing.TB, name pypi.Name, n, size int) *shelf {
	sh := fill(t, name, n, size)
	for i := range sh.refs {
		sh.refs[i].Pinned = false
	}
	return sh
}

// releases lists which wheels of a shelf are here, and checks of each that it is
// here with its metadata or gone with it, and that the bytes are as they should be.
func releases(t testing.TB, s *Store, sh *shelf) (here []int) {
	t.Helper()
	held, err := s.Held(sh.page.Name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(sh.refs); i += 2 {
		wheel, metadata := sh.refs[i], sh.refs[i+1]
		_, a := held[wheel.Digest]
		_, b := held[metadata.Digest]
		if a != b {
			t.Errorf("%s is here: %t, its metadata: %t", wheel.Filename, a, b)
		}
		if _, err := s.blobs.Size(wheel.Digest); (err == nil) != a {
			t.Errorf("the bytes of %s: %v, it is here: %t", wheel.Filename, err, a)
		}
		if a {
			here = append(here, i/2)
			whole(t, s, &shelf{bytes: sh.bytes, refs: []Ref{wheel, metadata}})
		}
	}
	return here
}

// lately lets the time pass in which nothing goes that was used.
func lately(s *Store) { s.cached.begun = s.cached.begun.Add(-time.Hour) }

func sound(t testing.TB, s *Store) {
	t.Helper()
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Errorf("verify finds %+v", found)
	}
}

// TestQuota fills the cache beyond its quota: what was not used goes, with its
// metadata, before other bytes come; what is used, read or pinned stays.
func TestQuota(t *testing.T) {
	const size = 100_000
	dir := t.TempDir()
	s := open(t, dir, Options{Cache: 10 * (size + 1000)})
	pinned, old, fresh := fill(t, "p", 4, size), cachedShelf(t, "a", 9, size), cachedShelf(t, "b", 5, size)
	bringAll(t, s, pinned)
	bringAll(t, s, old)
	info, _, err := s.Info("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 2, 4} {
		s.Used(old.refs[2*i].Digest)
	}
	f, _, err := s.OpenFile("a", old.refs[2*1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	release := s.Hold(old.refs[2*1].Digest)
	lately(s)
	bringAll(t, s, fresh)
	if got := releases(t, s, fresh); len(got) != 5 {
		t.Errorf("of those that came last, %v are here", got)
	}
	here := fmt.Sprint(releases(t, s, old))
	if !strings.HasPrefix(here, "[0 1 2 4 ") || len(here) != len("[0 1 2 4 5]") {
		t.Errorf("of those that came first, %s are here; 0, 2 and 4 were used, 1 is being read", here)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	release()
	release()
	if total, err := s.Cached(); err != nil || total.Bytes > total.Quota || total.Bytes < 8*size {
		t.Errorf("cached %+v (%v)", total, err)
	}
	if after, _, err := s.Info("a"); err != nil || after.Generation <= info.Generation {
		t.Errorf("the page has the generation %d, before files went %d (%v)", after.Generation, info.Generation, err)
	}
	whole(t, s, pinned)
	sound(t, s)

	large := cachedShelf(t, "l", 1, 12*size)
	if err := s.PutProject(large.page); err != nil {
		t.Fatal(err)
	}
	before, _ := s.Cached()
	if err := bring(s, large, large.refs[0]); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "storage.cache") {
		t.Errorf("a file larger than the quota gives %v", err)
	}
	if after, _ := s.Cached(); after != before {
		t.Errorf("for a file that cannot come files went: %+v, before %+v", after, before)
	}
	large.refs[0].Pinned = true
	if err := bring(s, large, large.refs[0]); err != nil {
		t.Errorf("the same file, pinned: %v", err)
	}
	closeStore(t, s)
	s = open(t, dir, Options{Cache: 3 * size})
	defer closeStore(t, s)
	lately(s)
	if err := s.tend(&tended{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if total, err := s.Cached(); err != nil || total.Bytes > 3*size {
		t.Errorf("with a smaller quota cached are %+v (%v)", total, err)
	}
	whole(t, s, pinned)
	sound(t, s)
}

// TestReserveEvicts makes room on a disk that is nearly full, and removes nothing
// for what cannot come even so.
func TestReserveEvicts(t *testing.T) {
	const size = 1 << 20
	dir := t.TempDir()
	room := int64(1 << 40)
	free := func(string) (int64, error) {
		used := int64(0)
		err := filepath.Walk(filepath.Join(dir, "blobs"), func(_ string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				used += info.Size()
			}
			return nil
		})
		return room - used, err
	}
	s := open(t, dir, Options{Free: free, Reserve: 64 << 20})
	defer closeStore(t, s)
	old, fresh := cachedShelf(t, "a", 20, size), fill(t, "b", 4, size)
	bringAll(t, s, old)
	if err := s.PutProject(fresh.page); err != nil {
		t.Fatal(err)
	}
	lately(s)
	room = s.floor() + 20*size + size/2
	if err := bring(s, fresh, fresh.refs[0]); err != nil {
		t.Errorf("a file for which room can be made: %v", err)
	}
	if here := releases(t, s, old); len(here) > 19 {
		t.Errorf("%d of 20 are here", len(here))
	}
	left := len(releases(t, s, old))
	room = 4 * size
	if err := bring(s, fresh, fresh.refs[2]); !errors.Is(err, ErrFull) {
		t.Errorf("a file for which no room can be made: %v", err)
	}
	if here := releases(t, s, old); len(here) != left {
		t.Errorf("for that %d files went", left-len(here))
	}
	room = 1 << 40
	whole(t, s, &shelf{bytes: fresh.bytes, refs: fresh.refs[:1]})
	sound(t, s)
}

// TestEvictTogether has two wheels of a release, whose metadata are the same file,
// and a file that two projects have.
func TestEvictTogether(t *testing.T) {
	const size = 50_000
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	sh := cachedShelf(t, "a", 2, size)
	for i, platform := range []string{"any", "linux_armv7l"} {
		name := "a-1.0-py3-none-" + platform + ".whl"
		sh.page.Files[i].Filename, sh.refs[2*i].Filename, sh.refs[2*i+1].Filename = name, name, name
		sh.page.Files[i].CoreMetadata = sh.page.Files[0].CoreMetadata
		sh.refs[2*i+1].Digest = sh.refs[1].Digest
	}
	bringAll(t, s, sh)
	twin := &shelf{bytes: sh.bytes, page: &pypi.Project{Name: "twin", Files: sh.page.Files[:1]}}
	for _, r := range sh.refs[:2] {
		r.Name = "twin"
		twin.refs = append(twin.refs, r)
	}
	bringAll(t, s, twin)
	if err := s.rank(false); err != nil {
		t.Fatal(err)
	}
	lately(s)
	gone := func() (n int) {
		for _, r := range []Ref{sh.refs[0], sh.refs[2], sh.refs[1]} {
			if s.gone(r.Digest) {
				n++
			}
		}
		return n
	}
	release := s.Hold(sh.refs[0].Digest)
	if _, err := s.evict(1); err != nil {
		t.Fatal(err)
	}
	if !s.gone(sh.refs[2].Digest) || gone() != 1 {
		t.Errorf("%d of 3 files have gone, want the wheel that nobody holds, and not the metadata of the other", gone())
	}
	release()
	if err := s.Pin("twin", sh.refs[0].Digest, true); err != nil {
		t.Fatal(err)
	}
	if freed, err := s.evict(1); err != nil || freed != 0 || gone() != 1 {
		t.Errorf("of a file that another project has pinned %d bytes became free (%v)", freed, err)
	}
	sound(t, s)
	if err := s.Pin("twin", sh.refs[0].Digest, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.evict(1); err != nil || gone() != 3 {
		t.Errorf("in the end %d of 3 files have gone (%v)", gone(), err)
	}
	for _, name := range []pypi.Name{"a", "twin"} {
		if held, err := s.Held(name); err != nil || len(held) != 0 {
			t.Errorf("of %s there is here %v (%v)", name, held, err)
		}
	}
	sound(t, s)
}

// TestEvictionIsCutOff stops between the references and the bytes, in every way:
// the next start ends it, and nothing is named that is not there.
func TestEvictionIsCutOff(t *testing.T) {
	fault := errors.New("injected")
	for _, step := range []durable.Step{durable.StepRemove, durable.StepSyncDir} {
		for _, done := range []bool{false, true} {
			dir := t.TempDir()
			cut := false
			disk := &durable.Disk{Fault: func(st durable.Step, path string, d bool) error {
				if cut && st == step && d == done && strings.Contains(path, "blobs") {
					return fault
				}
				return nil
			}}
			s := open(t, dir, Options{Disk: disk})
			sh := cachedShelf(t, "a", 6, 20_000)
			bringAll(t, s, sh)
			if err := s.rank(false); err != nil {
				t.Fatal(err)
			}
			lately(s)
			cut = true
			_, err := s.evict(50_000)
			if err = errors.Join(err, s.buryRemoved()); !errors.Is(err, fault) {
				t.Errorf("%s, done %t: %v", step, done, err)
			}
			s = open(t, snapshot(t, dir), Options{})
			if here := releases(t, s, sh); len(here) > 3 || len(here) == 0 {
				t.Errorf("%s, done %t: here are %v", step, done, here)
			}
			sound(t, s)
			closeStore(t, s)
		}
	}
}

// TestUsesAreKept restarts the store: what was used stays before what was not, and
// a file of uses that is damaged costs no more than that.
func TestUsesAreKept(t *testing.T) {
	const size = 30_000
	for _, damaged := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, dir, Options{})
		sh := cachedShelf(t, "a", 10, size)
		bringAll(t, s, sh)
		for range 3 {
			s.Used(sh.refs[2*0].Digest) // before the table is made
		}
		if err := s.rank(false); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s.Used(sh.refs[2*1].Digest)
		}
		closeStore(t, s)
		path := filepath.Join(dir, usesName)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if damaged {
			raw[len(raw)/2] ^= 1
			if err := os.WriteFile(path, raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, dir, Options{})
		if err := s.rank(false); err != nil {
			t.Fatal(err)
		}
		lately(s)
		if _, err := s.evict(8 * size); err != nil {
			t.Fatal(err)
		}
		here := fmt.Sprint(releases(t, s, sh))
		if (here != "[0 1]") != damaged {
			t.Errorf("damaged %t: after a restart %s stayed", damaged, here)
		}
		closeStore(t, s)
	}
}

// TestPartialsMakeRoom holds in which order partials go, and that one which is
// being written never does.
func TestPartialsMakeRoom(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	sh := cachedShelf(t, "a", 4, 100_000)
	if err := s.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i, c := range []struct {
		bytes int
		age   time.Duration
	}{{90_000, 61 * 24 * time.Hour}, {50_000, 10 * time.Hour}, {10_000, 10 * time.Hour}, {99_000, 70 * 24 * time.Hour}} {
		partly(t, s, sh, sh.refs[2*i], c.bytes)
		path := filepath.Join(s.dir, "partial", sh.refs[2*i].Digest.String()+".part")
		if err := os.Chtimes(path, now.Add(-c.age), now.Add(-c.age)); err != nil {
			t.Fatal(err)
		}
	}
	here := func() string {
		t.Helper()
		out := ""
		for i := range 4 {
			if s.blobs.Have(sh.refs[2*i].Digest) > 0 {
				out += fmt.Sprint(i)
			}
		}
		return out
	}
	open, err := s.Begin(sh.refs[2*3], 100_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.tend(&tended{}, now); err != nil || here() != "123" {
		t.Errorf("after 60 days %q are here, want 123: 3 is being written (%v)", here(), err)
	}
	parts, err := s.idle(pypi.Digest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.forget(parts, 1); err != nil || here() != "23" {
		t.Errorf("to make room %q stayed, want 23: 1 is larger (%v)", here(), err)
	}
	if _, err := s.forget(parts, 1<<40); err != nil || here() != "3" {
		t.Errorf("to make much room %q stayed, want 3 (%v)", here(), err)
	}
	if err := open.Close(); err != nil {
		t.Error(err)
	}
}

// TestPromises begins several files at once for which together there is no room.
func TestPromises(t *testing.T) {
	const size = 1 << 20
	room := int64(1 << 40)
	s := open(t, t.TempDir(), Options{Free: func(string) (int64, error) { return room, nil }, Cache: 10 * size})
	defer closeStore(t, s)
	sh := fill(t, "a", 3, size)
	sh.refs[4].Pinned = false
	if err := s.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	room = s.floor() + 2*size
	a, err := s.Begin(sh.refs[0], size)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Begin(sh.refs[2], size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(sh.refs[4], size); !errors.Is(err, ErrFull) {
		t.Errorf("a third file, for which nothing is left, gives %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	c, err := s.Begin(sh.refs[4], size)
	if err != nil {
		t.Errorf("when one is given up: %v", err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if n := s.promises.sum(); n != 0 || s.cached.coming != 0 {
		t.Errorf("%d bytes are promised to nobody, %d to the cache", n, s.cached.coming)
	}
}

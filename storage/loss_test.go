package storage

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// partly brings the first n bytes of a file and closes it.
func partly(t *testing.T, s *Store, sh *shelf, ref Ref, n int) {
	t.Helper()
	in, err := s.Begin(ref, int64(len(sh.bytes[ref.Digest])))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(sh.bytes[ref.Digest][in.Offset():n]); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRoom lets the free space vary.
func TestRoom(t *testing.T) {
	var free atomic.Int64
	free.Store(math.MaxInt64 / 2)
	s := open(t, t.TempDir(), Options{Free: func(string) (int64, error) { return free.Load(), nil }})
	defer closeStore(t, s)
	defer free.Store(math.MaxInt64 / 2)
	const size = 1 << 20
	sh := fill(t, "a", 3, size)
	if err := s.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	if err := s.PutProject(&pypi.Project{Name: "b", Files: sh.page.Files}); err != nil {
		t.Fatal(err)
	}
	if err := bring(s, sh, sh.refs[0]); err != nil {
		t.Fatal(err)
	}

	t.Run("only for the rest of a partial", func(t *testing.T) {
		partly(t, s, sh, sh.refs[2], size-1000)
		free.Store(s.floor() + 1000)
		if err := bring(s, sh, sh.refs[2]); err != nil {
			t.Errorf("a file of which 1000 bytes are missing: %v", err)
		}
	})
	t.Run("none for bytes that are here", func(t *testing.T) {
		free.Store(s.floor())
		ref := sh.refs[0]
		ref.Name = "b"
		if _, err := s.Begin(ref, size); !errors.Is(err, ErrHeld) {
			t.Errorf("begin gives %v", err)
		}
	})
	t.Run("and none is taken from the metadata", func(t *testing.T) {
		free.Store(meta.Floor + size - 1)
		if _, err := s.Begin(sh.refs[4], size); !errors.Is(err, ErrFull) {
			t.Errorf("a file that would leave the metadata less than they need: %v", err)
		}
	})
	t.Run("commit again once there is room", func(t *testing.T) {
		free.Store(math.MaxInt64 / 2)
		ref := sh.refs[4]
		in, err := s.Begin(ref, size)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(sh.bytes[ref.Digest]); err != nil {
			t.Fatal(err)
		}
		free.Store(meta.Floor - 1)
		for range 2 {
			if err := in.Commit(); !errors.Is(err, ErrFull) {
				t.Fatalf("commit gives %v", err)
			}
		}
		free.Store(math.MaxInt64 / 2)
		if err := in.Commit(); err != nil {
			t.Errorf("commit gives %v, now that there is room", err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, ref := range []int{1, 3, 5} {
		if err := bring(s, sh, sh.refs[ref]); err != nil {
			t.Fatal(err)
		}
	}
	whole(t, s, sh)
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
}

// TestLostBytesComeAgain takes bytes away, or changes them, behind the store's
// back: what has noticed it forgets them, and they can be brought again.
func TestLostBytesComeAgain(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, s *Store, digest pypi.Digest){
		"lost":     func(t *testing.T, s *Store, digest pypi.Digest) { removeFile(t, s, digest) },
		"cut":      func(t *testing.T, s *Store, digest pypi.Digest) { rewrite(t, s, digest, -1, 100) },
		"no bytes": func(t *testing.T, s *Store, digest pypi.Digest) { rewrite(t, s, digest, -1, 0) },
	} {
		for _, notice := range []string{"begin", "open"} {
			t.Run(name+", noticed by "+notice, func(t *testing.T) {
				s := open(t, t.TempDir(), Options{})
				defer closeStore(t, s)
				a := fill(t, "a", 1, 2000)
				bringAll(t, s, a)
				ref := a.refs[0]
				b := &pypi.Project{Name: "b", Files: a.page.Files}
				if err := s.PutProject(b); err != nil {
					t.Fatal(err)
				}
				shared := ref
				shared.Name = "b"
				if _, err := s.Begin(shared, 2000); !errors.Is(err, ErrHeld) {
					t.Fatal(err)
				}
				damage(t, s, ref.Digest)
				if notice == "open" {
					if _, _, err := s.OpenFile("a", ref.Digest); !errors.Is(err, ErrNotFound) {
						t.Fatalf("open gives %v", err)
					}
					for _, name := range []pypi.Name{"a", "b"} {
						if held, err := s.Held(name); err != nil || len(held) != map[pypi.Name]int{"a": 1}[name] {
							t.Errorf("%d files are held of %s (%v)", len(held), name, err)
						}
					}
				}
				if err := bring(s, a, ref); err != nil {
					t.Fatal(err)
				}
				whole(t, s, a)
				if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
					t.Error(found)
				}
			})
		}
	}
}

func removeFile(t *testing.T, s *Store, digest pypi.Digest) {
	t.Helper()
	hex := digest.String()
	if err := os.Remove(filepath.Join(s.dir, "blobs", hex[:2], hex)); err != nil {
		t.Fatal(err)
	}
}

// TestOrderOfRemoval looks into the store at each durable step of a removal: the
// reference goes first, and the note that the bytes must go stays until their
// removal is durable.
func TestOrderOfRemoval(t *testing.T) {
	sh := fill(t, "a", 1, 2000)
	digest := sh.refs[0].Digest
	for name, remove := range map[string]func(*testing.T, *Store) error{
		"page no longer names it": func(_ *testing.T, s *Store) error { return s.PutProject(&pypi.Project{Name: "a"}) },
		"project deleted":         func(_ *testing.T, s *Store) error { return s.DeleteProject("a") },
		"bytes found to be wrong": func(t *testing.T, s *Store) error {
			rewrite(t, s, digest, 7, 2000)
			p, found := verify(t, s, VerifyOptions{Repair: true})
			if len(found) != 1 || p.Unmended != 0 {
				t.Errorf("found %+v", found)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s *Store
			watch := false
			var steps []durable.Step
			s = open(t, t.TempDir(), Options{Disk: &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
				hex := digest.String()
				if !watch || !strings.HasSuffix(path, hex) && !strings.HasSuffix(path, hex[:2]) {
					return nil
				}
				steps = append(steps, step)
				if _, here, err := s.meta.Ref("a", digest); here || err != nil {
					t.Errorf("at %q of %s there is a reference (%v)", step, path, err)
				}
				if doomed, err := s.meta.IsDoomed(digest); !doomed || err != nil {
					t.Errorf("at %q of %s nobody knows that the bytes must go (%v)", step, path, err)
				}
				return nil
			}}})
			defer closeStore(t, s)
			bringAll(t, s, sh)
			watch = true
			err := remove(t, s)
			watch = false
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(steps, durable.StepSyncDir) || steps[0] == durable.StepSyncDir {
				t.Errorf("steps %q", steps)
			}
			if list, err := s.meta.Doomed(); err != nil || len(list) != 0 {
				t.Errorf("still to be removed are %v (%v)", list, err)
			}
		})
	}
}

// TestRecoverKeepsThePin lets a cut bring a state file back whose blob has been
// recorded and pinned since.
func TestRecoverKeepsThePin(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	sh := fill(t, "a", 1, 2000)
	if err := s.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	ref := sh.refs[0]
	ref.Pinned = false
	in, err := s.Begin(ref, 2000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(sh.bytes[ref.Digest]); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "partial", ref.Digest.String()+".state")
	raw, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Pin("a", ref.Digest, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	if held, err := s.Held("a"); err != nil || !held[ref.Digest].Pinned {
		t.Errorf("held %+v (%v)", held, err)
	}
	if s.blobs.Unrecorded(ref.Digest) {
		t.Error("its state is still there")
	}
}

// TestMetadataAnew moves the metadata aside, as the advice for damaged ones says.
func TestMetadataAnew(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	sh := fill(t, "a", 3, 2000)
	bringAll(t, s, sh)
	// One that waited to be recorded.
	extra := fill(t, "b", 1, 500)
	if err := s.PutProject(extra.page); err != nil {
		t.Fatal(err)
	}
	in, err := s.Begin(extra.refs[0], 500)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(extra.bytes[extra.refs[0].Digest]); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Finish(); err != nil {
		t.Fatal(err)
	}
	id := s.ID()
	closeStore(t, s)
	if err := os.Rename(filepath.Join(dir, "meta"), filepath.Join(t.TempDir(), "meta")); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	if s.ID() == id || s.ID() == "" {
		t.Errorf("its generations begin anew under the old identity %q", s.ID())
	}
	p, found := verify(t, s, VerifyOptions{Repair: true})
	if len(found) != 6 || p.Unmended != 6 {
		t.Errorf("found %+v", found)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	for _, sh := range []*shelf{sh, extra} {
		if err := s.PutProject(sh.page); err != nil {
			t.Fatal(err)
		}
	}
	// Taken over without a byte being fetched.
	for _, ref := range append(sh.refs[:2:2], extra.refs[0]) {
		if _, err := s.Begin(ref, pypi.SizeUnknown); !errors.Is(err, ErrHeld) {
			t.Errorf("begin gives %v", err)
		}
	}
	if _, found := verify(t, s, VerifyOptions{Repair: true}); len(found) != 4 {
		t.Errorf("found %+v, want the four that nobody had asked for", found)
	}
	whole(t, s, sh)
	if err := s.PutProject(&pypi.Project{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	orphan(t, s, content(5, 100), Ref{})
	if _, found := verify(t, s, VerifyOptions{Repair: true}); len(found) != 1 || found[0].Repaired {
		t.Errorf("found %+v", found)
	}
	if _, found := verify(t, s, VerifyOptions{Repair: true, Unclaimed: true}); len(found) != 1 || !found[0].Repaired {
		t.Errorf("found %+v", found)
	}
	orphan(t, s, content(5, 100), Ref{})
	if _, found := verify(t, s, VerifyOptions{Repair: true}); len(found) != 1 || !found[0].Repaired {
		t.Errorf("once they have been removed: %+v", found)
	}
}

// TestRestartForgetsThePlace holds that a verify from the start is the end of
// one that was interrupted.
func TestRestartForgetsThePlace(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	sh := fill(t, "a", 5, 1000)
	bringAll(t, s, sh)
	v := &verifier{Store: s}
	if err := v.save(sh.refs[0].Digest.String()); err != nil {
		t.Fatal(err)
	}
	if p, _ := verify(t, s, VerifyOptions{Restart: true}); p.Resumed || p.Blobs != 10 {
		t.Errorf("restarted: %+v", p)
	}
	if p, _ := verify(t, s, VerifyOptions{}); p.Resumed {
		t.Errorf("the next: %+v", p)
	}
}

func TestAfter(t *testing.T) {
	var last pypi.Digest
	for i := range last {
		last[i] = 0xff
	}
	if got := after(last); got != "" {
		t.Errorf("after the last comes %q", got)
	}
	last[31], last[0] = 0xfe, 1
	if got := after(last); got != "01"+strings.Repeat("ff", 31) {
		t.Error(got)
	}
	last[31] = 0xff
	if got := after(last); got != "02"+strings.Repeat("00", 31) {
		t.Error(got)
	}
}

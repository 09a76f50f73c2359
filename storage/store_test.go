package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cheeseboard/storage/durable"
	"cheeseboard/storage/pypi"
)

// content is the bytes of one generated file.
func content(seed, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], uint64(seed))
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails, as it says
	return b
}

// shelf is a project page together with the bytes that it names.
type shelf struct {
	page  *pypi.Project
	bytes map[pypi.Digest][]byte
	refs  []Ref
}

// fill makes a project with n wheels and their metadata.
func fill(t testing.TB, name pypi.Name, n, size int) *shelf {
	t.Helper()
	s := &shelf{page: &pypi.Project{Name: name, LastSerial: 5}, bytes: map[pypi.Digest][]byte{}}
	stated := func(b []byte) (pypi.Digest, pypi.Hashes) {
		d := pypi.Digest(sha256.Sum256(b))
		s.bytes[d] = b
		return d, pypi.Hashes{{Algorithm: "sha256", Hex: d.String()}}
	}
	for i := range n {
		wheel := content(int(name[0])*1000+i, size)
		filename := fmt.Sprintf("%s-1.%d-py3-none-any.whl", name, i)
		d, hashes := stated(wheel)
		m, metaHashes := stated([]byte("Metadata-Version: 2.1\nName: " + filename + "\n"))
		s.page.Files = append(s.page.Files, pypi.File{
			Filename: filename, URL: "https://files.example/" + filename, Hashes: hashes, Size: int64(size),
			CoreMetadata: pypi.CoreMetadata{Available: true, Hashes: metaHashes},
		})
		s.refs = append(s.refs, Ref{Name: name, Digest: d, Filename: filename, Pinned: true},
			Ref{Name: name, Digest: m, Filename: filename, Metadata: true})
	}
	return s
}

func open(t testing.TB, dir string, opts Options) *Store {
	t.Helper()
	if opts.Reserve == 0 {
		opts.Reserve = -1
	}
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// bring puts one file of a shelf into the store, from where it stopped.
func bring(s *Store, sh *shelf, ref Ref) error {
	in, err := s.Begin(ref, int64(len(sh.bytes[ref.Digest])))
	if errors.Is(err, ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := in.Write(sh.bytes[ref.Digest][in.Offset():]); err != nil {
		return errors.Join(err, in.Close())
	}
	if err := in.Commit(); err != nil {
		return errors.Join(err, in.Close())
	}
	return nil
}

func bringAll(t testing.TB, s *Store, sh *shelf) {
	t.Helper()
	if err := s.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	for _, r := range sh.refs {
		if err := bring(s, sh, r); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t testing.TB, s *Store, opts VerifyOptions) (VerifyProgress, []Finding) {
	t.Helper()
	var found []Finding
	opts.Report = func(f Finding) { found = append(found, f) }
	p, err := s.Verify(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return p, found
}

func whole(t testing.TB, s *Store, sh *shelf) {
	t.Helper()
	for _, r := range sh.refs {
		f, ref, err := s.OpenFile(r.Name, r.Digest)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f)
		if cerr := f.Close(); err != nil || cerr != nil || !bytes.Equal(got, sh.bytes[r.Digest]) {
			t.Fatalf("%s differs (%v, %v)", r.Filename, err, cerr)
		}
		if ref.Size != int64(len(got)) || ref.Filename != r.Filename || ref.Metadata != r.Metadata {
			t.Errorf("reference %+v, want %+v", ref, r)
		}
	}
}

func TestLife(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	a, b := fill(t, "a", 3, 5000), fill(t, "b", 2, 5000)
	bringAll(t, s, a)
	bringAll(t, s, b)
	id := s.ID()
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	if s.ID() != id || id == "" {
		t.Errorf("identity %q became %q", id, s.ID())
	}
	whole(t, s, a)
	whole(t, s, b)
	var stocked []pypi.Name
	if err := s.Stocked(func(n pypi.Name) bool { stocked = append(stocked, n); return true }); err != nil || len(stocked) != 2 || stocked[0] != "a" || stocked[1] != "b" {
		t.Errorf("something is here of %v (%v)", stocked, err)
	}
	totals, err := s.Totals()
	if err != nil || totals.Projects != 2 || totals.Files != 5 || totals.Bytes < 25_000 {
		t.Errorf("totals %+v (%v)", totals, err)
	}
	if p, found := verify(t, s, VerifyOptions{}); len(found) != 0 || p.Blobs != 10 || !p.Completed {
		t.Errorf("verify: %+v, %v", p, found)
	}
	gone := a.refs[0]
	a.page.Files = a.page.Files[1:]
	a.refs = a.refs[2:]
	if err := s.PutProject(a.page); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.OpenFile("a", gone.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("a file that the page no longer names: %v", err)
	}
	if _, err := s.blobs.Size(gone.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("its bytes are still there: %v", err)
	}
	whole(t, s, a)
	if err := s.DeleteProject("b"); err != nil {
		t.Fatal(err)
	}
	if p, found := verify(t, s, VerifyOptions{}); len(found) != 0 || p.Blobs != 4 {
		t.Errorf("verify after removals: %+v, %v", p, found)
	}
}

// TestCommitFailsEverywhere fails each durable step of bringing files in, before
// it happened and after it, and opens the folder again as after a crash: verify
// finds nothing, and going on completes the files.
func TestCommitFailsEverywhere(t *testing.T) {
	t.Parallel()
	fault := errors.New("injected")
	files, stride := 2, 1
	if testing.Short() {
		files, stride = 1, 2 // one step in two, of a file and its metadata
	}
	sh := fill(t, "a", files, 3000)
	for n := 0; ; n += stride {
		dir := t.TempDir()
		count, hit := 0, ""
		disk := &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
			if strings.Contains(path, "partial") || strings.Contains(path, "blobs") {
				if count++; count == n+1 {
					hit = fmt.Sprintf("%s %s done=%v", step, filepath.Base(filepath.Dir(path)), done)
				}
				if hit != "" {
					return fault // the machine is gone: nothing later happens either
				}
			}
			return nil
		}}
		if s, err := Open(dir, Options{Reserve: -1, SyncEvery: 1000, Disk: disk}); err == nil {
			if err := s.PutProject(sh.page); err != nil {
				t.Fatal(err)
			}
			for _, r := range sh.refs {
				if bring(s, sh, r) != nil {
					break
				}
			}
			closeStore(t, s)
		}
		s := open(t, dir, Options{})
		if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
			t.Errorf("after %q: %v", hit, found)
		}
		if err := s.PutProject(sh.page); err != nil {
			t.Fatal(err)
		}
		bringAll(t, s, sh)
		whole(t, s, sh)
		closeStore(t, s)
		if hit == "" {
			if n < 30 {
				t.Fatalf("only %d steps were seen", n)
			}
			return
		}
	}
}

func TestRecoverRecordsAndRemoves(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	sh := fill(t, "a", 2, 2000)
	if err := s.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	// A kill between the name and the commit point.
	in, err := s.Begin(sh.refs[0], 2000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(sh.bytes[sh.refs[0].Digest]); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Finish(); err != nil {
		t.Fatal(err)
	}
	// A kill between the page and the removal of the bytes.
	if err := bring(s, sh, sh.refs[2]); err != nil {
		t.Fatal(err)
	}
	sh.page.Files = sh.page.Files[:1]
	if _, err := s.meta.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	sh.refs = sh.refs[:1]
	whole(t, s, sh)
	if _, err := s.blobs.Size(fill(t, "a", 2, 2000).refs[2].Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("bytes that nothing names are still there: %v", err)
	}
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
}

// TestRecoverWithoutANote tears the state of a file that has its name, as a power cut
// can with one that was never synced. A small file that is not recorded goes, and
// comes again; one that is recorded stays, and so does a large one.
func TestRecoverWithoutANote(t *testing.T) {
	for _, torn := range []string{"", "{\"version\":2,\"dig"} {
		for _, c := range []struct {
			name         string
			size         int
			recorded     bool
			stays, waits bool // the bytes, and the state
		}{
			{"not recorded", 2000, false, false, false},
			{"recorded", 2000, true, true, false},
			{"not recorded, large", 20_000, false, true, true},
		} {
			dir := t.TempDir()
			s := open(t, dir, Options{SyncEvery: 10_000})
			sh := fill(t, "a", 1, c.size)
			if err := s.PutProject(sh.page); err != nil {
				t.Fatal(err)
			}
			ref := sh.refs[0]
			in, err := s.Begin(ref, int64(c.size))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write(sh.bytes[ref.Digest]); err != nil {
				t.Fatal(err)
			}
			if ref.Size, err = in.Finish(); err != nil {
				t.Fatal(err)
			}
			if c.recorded {
				if _, err := s.addRef(ref); err != nil {
					t.Fatal(err)
				}
			}
			closeStore(t, s)
			state := filepath.Join(dir, "partial", ref.Digest.String()+".state")
			if err := os.WriteFile(state, []byte(torn), 0o644); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, Options{SyncEvery: 10_000})
			if _, err := s.blobs.Size(ref.Digest); errors.Is(err, ErrNotFound) == c.stays {
				t.Errorf("%s, state %q: its bytes: %v", c.name, torn, err)
			}
			if waits := s.blobs.Unrecorded(ref.Digest); waits != c.waits {
				t.Errorf("%s, state %q: its state is there: %v", c.name, torn, waits)
			}
			if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
				t.Errorf("%s, state %q: %v", c.name, torn, found)
			}
			bringAll(t, s, sh)
			whole(t, s, sh)
			closeStore(t, s)
		}
	}
}

func TestNotNamedAnyMore(t *testing.T) {
	sh := fill(t, "a", 1, 2000)
	hex := sh.refs[0].Digest.String()
	var steps []string
	finished := false
	disk := &durable.Disk{Fault: func(step durable.Step, path string, done bool) error {
		if done && finished && (step == durable.StepRemove || step == durable.StepSyncDir) {
			steps = append(steps, string(step)+" "+filepath.Base(path))
		}
		finished = finished || done && step == durable.StepSyncDir && strings.HasSuffix(path, hex[:2])
		return nil
	}}
	s := open(t, t.TempDir(), Options{Disk: disk})
	defer closeStore(t, s)
	if err := s.PutProject(&pypi.Project{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := bring(s, sh, sh.refs[0]); !errors.Is(err, ErrNotNamed) {
		t.Errorf("a file that the page does not name: %v", err)
	}
	// The state goes last, so that a cut comes here again.
	if want := []string{"remove " + hex, "sync directory " + hex[:2], "remove " + hex + ".state"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
	if err := s.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	bringAll(t, s, sh)
	whole(t, s, sh)
}

// TestSharedBytes takes over bytes that are here for another project.
func TestSharedBytes(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	a := fill(t, "a", 1, 2000)
	bringAll(t, s, a)
	b := &pypi.Project{Name: "b", Files: a.page.Files}
	if err := s.PutProject(b); err != nil {
		t.Fatal(err)
	}
	ref := a.refs[0]
	ref.Name = "b"
	if _, err := s.Begin(ref, 2000); !errors.Is(err, ErrHeld) {
		t.Fatalf("begin gives %v, want ErrHeld", err)
	}
	if err := s.DeleteProject("a"); err != nil {
		t.Fatal(err)
	}
	f, _, err := s.OpenFile("b", ref.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, found := verify(t, s, VerifyOptions{}); len(found) != 0 {
		t.Error(found)
	}
}

func TestVerifyFinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  Fault
		damage func(t *testing.T, s *Store, sh *shelf)
		after  int // files of 4 that are here after the repair
	}{
		{"nothing", "", func(*testing.T, *Store, *shelf) {}, 4},
		{"blob deleted", FaultMissing, func(t *testing.T, s *Store, sh *shelf) {
			if err := s.blobs.Remove(sh.refs[0].Digest); err != nil {
				t.Fatal(err)
			}
		}, 3},
		{"bit flipped", FaultDigest, func(t *testing.T, s *Store, sh *shelf) { rewrite(t, s, sh.refs[0].Digest, 100, 2000) }, 3},
		{"cut short", FaultSize, func(t *testing.T, s *Store, sh *shelf) { rewrite(t, s, sh.refs[0].Digest, -1, 1999) }, 3},
		{"orphan that a page names", FaultUnreferenced, func(t *testing.T, s *Store, sh *shelf) {
			orphan(t, s, sh.bytes[sh.refs[0].Digest], sh.refs[0])
		}, 4},
		{"orphan that no page names", FaultUnreferenced, func(t *testing.T, s *Store, _ *shelf) {
			orphan(t, s, content(99, 100), Ref{})
		}, 4},
		{"stray file", FaultStray, func(t *testing.T, s *Store, _ *shelf) {
			if err := os.WriteFile(filepath.Join(s.dir, "blobs", "notes.txt"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir(), Options{})
			defer closeStore(t, s)
			sh := fill(t, "a", 2, 2000)
			bringAll(t, s, sh)
			c.damage(t, s, sh)
			_, found := verify(t, s, VerifyOptions{})
			_, repaired := verify(t, s, VerifyOptions{Repair: true})
			_, again := verify(t, s, VerifyOptions{})
			if c.fault == "" {
				if len(found)+len(repaired)+len(again) != 0 {
					t.Fatalf("found %v, %v, %v in a sound store", found, repaired, again)
				}
				return
			}
			if len(found) == 0 || found[0].Fault != c.fault || found[0].Repaired {
				t.Errorf("found %+v, want %s", found, c.fault)
			}
			if c.fault == FaultStray {
				return // left alone, and said again each time
			}
			if len(repaired) == 0 || !repaired[0].Repaired {
				t.Errorf("repair says %+v", repaired)
			}
			if len(again) != 0 {
				t.Errorf("after the repair: %+v", again)
			}
			if held, err := s.Held("a"); err != nil || len(held) != c.after {
				t.Errorf("%d files are here, want %d (%v)", len(held), c.after, err)
			}
			bringAll(t, s, sh)
			whole(t, s, sh)
		})
	}
}

// rewrite changes a finished blob behind the store's back.
func rewrite(t *testing.T, s *Store, digest pypi.Digest, flip, size int) {
	t.Helper()
	hex := digest.String()
	path := filepath.Join(s.dir, "blobs", hex[:2], hex)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if flip >= 0 {
		b[flip] ^= 4
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:size], 0o444); err != nil {
		t.Fatal(err)
	}
}

// orphan leaves bytes without a reference.
func orphan(t *testing.T, s *Store, b []byte, ref Ref) {
	t.Helper()
	if ref.Name != "" {
		if _, err := s.meta.DropRef(ref.Name, ref.Digest, nil); err != nil {
			t.Fatal(err)
		}
		gone := func(pypi.Digest) bool { return true }
		if err := s.meta.Buried([]pypi.Digest{ref.Digest}, gone); err != nil {
			t.Fatal(err)
		}
		return
	}
	p, err := s.blobs.Begin(sha256.Sum256(b), int64(len(b)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := p.Settle(); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyResumes(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	sh := fill(t, "a", 10, 10_000)
	bringAll(t, s, sh)
	ctx, cancel := context.WithCancel(context.Background())
	p, err := s.Verify(ctx, VerifyOptions{Progress: func(p VerifyProgress) {
		if p.Phase == "files" && p.Blobs >= 8 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || p.Completed || p.Blobs < 8 {
		t.Fatalf("interrupted: %+v, %v", p, err)
	}
	first := p.Blobs
	seen := 0
	p, err = s.Verify(context.Background(), VerifyOptions{Progress: func(VerifyProgress) { seen++ }})
	if err != nil || !p.Resumed || !p.Completed || p.Blobs != 20 {
		t.Errorf("resumed: %+v, %v", p, err)
	}
	if first >= 20 || seen == 0 {
		t.Errorf("the first run did %d of 20, the second told %d times", first, seen)
	}
	if p, _ := verify(t, s, VerifyOptions{}); p.Resumed {
		t.Error("a finished run is resumed")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	var locked *LockedError
	if _, err := Open(dir, Options{}); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("a second open: %v", err)
	}
	closeStore(t, s)
	path := filepath.Join(dir, "FORMAT")
	for content, want := range map[string]string{
		"cheeseboard data 2\nid X\n": "use a newer cheeseboard",
		"something else":             "not one of ours",
		"cheeseboard data 3\n":       "use a newer cheeseboard",
		"cheesebo\x81rd data 1\n":    "serve writes it anew",
		"cheesebokrd data 1\n":       "serve writes it anew",
		"":                           "serve writes it anew",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("FORMAT %q: %v", content, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("FORMAT missing: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); err == nil {
		t.Error("a file is opened as a folder")
	}
}

func TestReserve(t *testing.T) {
	var mu sync.Mutex
	free := int64(1 << 30)
	set := func(n int64) { mu.Lock(); defer mu.Unlock(); free = n }
	s := open(t, t.TempDir(), Options{Reserve: 100 << 20, Free: func(string) (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		return free, nil
	}})
	defer closeStore(t, s)
	sh := fill(t, "a", 2, 5000)
	if err := s.PutProject(sh.page); err != nil {
		t.Fatal(err)
	}
	if err := bring(s, sh, sh.refs[0]); err != nil {
		t.Fatal(err)
	}
	in, err := s.Begin(sh.refs[2], 5000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(sh.bytes[sh.refs[2].Digest][:1000]); err != nil {
		t.Fatal(err)
	}
	set(100<<20 + 100)
	if _, err := in.Write(sh.bytes[sh.refs[2].Digest][1000:]); !errors.Is(err, ErrFull) {
		t.Errorf("a write into the reserve: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Begin(sh.refs[3], 5000); !errors.Is(err, ErrFull) {
		t.Errorf("a file that does not fit: %v", err)
	}
	if f, _, err := s.OpenFile("a", sh.refs[0].Digest); err != nil {
		t.Errorf("a full disk does not serve: %v", err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
	set(1 << 30)
	in, err = s.Begin(sh.refs[2], 5000)
	if err != nil || in.Offset() != 1000 {
		t.Fatalf("it does not go on where it stopped: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	bringAll(t, s, sh)
	whole(t, s, sh)
}

func BenchmarkPutCommit1MB(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer closeStore(b, s)
	const size = 1 << 20
	page := &pypi.Project{Name: "a"}
	var digests []pypi.Digest
	data := content(1, size)
	for i := range b.N {
		copy(data, fmt.Sprintf("%16d", i))
		d := pypi.Digest(sha256.Sum256(data))
		digests = append(digests, d)
		page.Files = append(page.Files, pypi.File{Filename: fmt.Sprintf("a-%d.tar.gz", i), URL: "https://x.example/a", Hashes: pypi.Hashes{{Algorithm: "sha256", Hex: d.String()}}, Size: size})
	}
	if err := s.PutProject(page); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ResetTimer()
	for i := range b.N {
		copy(data, fmt.Sprintf("%16d", i))
		in, err := s.Begin(Ref{Name: "a", Digest: digests[i], Filename: "a"}, size)
		if err != nil {
			b.Fatal(err)
		}
		for off := 0; off < size; off += 32 << 10 {
			if _, err := in.Write(data[off : off+32<<10]); err != nil {
				b.Fatal(err)
			}
		}
		if err := in.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen10000(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir, Options{})
	sh := fill(b, "project", 10, 10)
	for i := range 10_000 {
		p := *sh.page
		p.Name = pypi.Name(fmt.Sprintf("project-%d", i))
		if err := s.PutProject(&p); err != nil {
			b.Fatal(err)
		}
	}
	closeStore(b, s)
	for b.Loop() {
		s := open(b, dir, Options{})
		b.StopTimer()
		closeStore(b, s)
		b.StartTimer()
	}
}

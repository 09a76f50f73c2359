package meta

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cheeseboard/storage/pypi"
)

func open(t testing.TB, dir string) *DB {
	t.Helper()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func closeDB(t testing.TB, d *DB) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func sha(s string) pypi.Digest { return sha256.Sum256([]byte(s)) }

func hashes(t testing.TB, s string, more ...pypi.Hash) pypi.Hashes {
	t.Helper()
	h, err := pypi.NewHashes(append(more, pypi.Hash{Algorithm: "sha256", Hex: sha(s).String()})...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// page makes a project with n files that use every field in turn.
func page(t testing.TB, name pypi.Name, n int) *pypi.Project {
	p := &pypi.Project{Name: name, LastSerial: 42}
	for i := range n {
		version := fmt.Sprintf("1.%d", i)
		f := pypi.File{
			Filename: fmt.Sprintf("%s-%s-py3-none-any.whl", name, version),
			Hashes:   hashes(t, fmt.Sprint(name, i)),
			Size:     int64(i),
		}
		f.URL = "https://files.example/packages/" + f.Hashes[0].Hex[:10] + "/" + f.Filename
		switch i % 7 {
		case 1:
			f.CoreMetadata = pypi.CoreMetadata{Available: true, Hashes: hashes(t, fmt.Sprint("meta", name, i))}
		case 2:
			f.Yanked = pypi.Yanked{Is: true, Reason: "broken on Tuesdays — ünïcode"}
			f.Size = pypi.SizeUnknown
		case 3:
			f.Yanked.Is = true
			f.URL = "https://elsewhere.example/download?id=7"
			f.GPGSig = pypi.No
			f.Unknown = `"slsa":{"level":3}`
		case 4:
			f.UploadTime = time.Date(2024, 2, 29, 23, 59, 59, 123456000, time.UTC)
			f.RequiresPython = ">=3.8,<4"
			f.GPGSig = pypi.Yes
		case 5:
			f.Hashes = hashes(t, fmt.Sprint(name, i), pypi.Hash{Algorithm: "md5", Hex: "00112233445566778899aabbccddeeff"})
			f.Provenance = "https://example.org/integrity/x/provenance"
		case 6:
			f.Hashes = nil
			f.CoreMetadata.Available = true
		}
		p.Files = append(p.Files, f)
		p.Versions = append(p.Versions, version)
	}
	return p
}

// stuff stores values that do not compress, which make tables as well as pages do.
func stuff(t testing.TB, d *DB, bytes int) {
	t.Helper()
	value := make([]byte, 256<<10)
	chance := rand.NewChaCha8([32]byte{})
	for i := 0; i < bytes; i += len(value) {
		_, _ = chance.Read(value) // never fails, as it says
		if err := d.SetValue(fmt.Sprint("stuff", i), value); err != nil {
			t.Fatal(err)
		}
	}
}

func put(t testing.TB, d *DB, p *pypi.Project) []pypi.Digest {
	t.Helper()
	doomed, err := d.PutProject(p)
	if err != nil {
		t.Fatal(err)
	}
	return doomed
}

func same(t testing.TB, d *DB, want *pypi.Project) {
	t.Helper()
	got, ok, err := d.Project(want.Name)
	if err != nil || !ok {
		t.Fatalf("read %s: %v, %v", want.Name, ok, err)
	}
	if reflect.DeepEqual(want, got) { // what is equal needs no diff, which takes long
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s differs (-want +got):\n%.2000s", want.Name, diff)
	}
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	full := page(t, "full", 20)
	full.Status = pypi.Status{State: "archived", Reason: "done"}
	full.Tracks = []string{"https://a.example/simple/full/"}
	full.Unknown, full.InMeta = `"next":[ 1 ]`, `"_rev":"x"`
	full.Alternates = []string{}
	var all []*pypi.Project
	for _, p := range []*pypi.Project{full, page(t, "small", 1), page(t, "brim", 64), page(t, "over", 65), page(t, "giant", 10_000), {Name: "bare"}} {
		put(t, d, p)
		same(t, d, p)
		all = append(all, p)
	}
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	for _, p := range all {
		same(t, d, p)
	}
	var names []pypi.Name
	err := d.Names(func(e pypi.ListEntry) bool {
		names = append(names, e.Name)
		if e.Name != "bare" && e.Serial != 42 {
			t.Errorf("serial of %s is %d", e.Name, e.Serial)
		}
		return true
	})
	if want := []pypi.Name{"bare", "brim", "full", "giant", "over", "small"}; err != nil || !cmp.Equal(names, want) {
		t.Errorf("names %v (%v)", names, err)
	}
	if _, ok, err := d.Project("unknown"); ok || err != nil {
		t.Errorf("an unknown project: %v, %v", ok, err)
	}
}

// TestChangeRewritesItsChunk holds that a new release of a large project writes
// the head and no chunk, a change of an older file that file's chunk, and an
// unchanged page nothing.
func TestChangeRewritesItsChunk(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	p := page(t, "large", 64+3*filesPerChunk+10)
	put(t, d, p)
	chunks := func() []chunk {
		txn := d.db.NewTransaction(false)
		defer txn.Discard()
		h, _, err := d.head(txn, "large")
		if err != nil {
			t.Fatal(err)
		}
		var keys int
		if err := scan(txn, []byte("c/"), false, func([]byte, []byte) (bool, error) { keys++; return true, nil }); err != nil {
			t.Fatal(err)
		}
		if keys != len(h.chunks) {
			t.Errorf("%d chunks are stored, the head names %d", keys, len(h.chunks))
		}
		return h.chunks
	}
	before := chunks()
	info, _, err := d.Info("large")
	if err != nil {
		t.Fatal(err)
	}
	put(t, d, p)
	if again, _, err := d.Info("large"); err != nil || again != info {
		t.Errorf("an unchanged page became %v from %v (%v)", again, info, err)
	}
	p.Files = append(p.Files, page(t, "large", len(p.Files)+1).Files[len(p.Files)])
	put(t, d, p)
	same(t, d, p)
	rewritten := func() (list []uint32) {
		after := chunks()
		for i := range after {
			if after[i].generation != before[i].generation {
				list = append(list, after[i].index)
			}
		}
		return list
	}
	if list := rewritten(); len(list) != 0 {
		t.Errorf("a new release has rewritten the chunks %d", list)
	}
	p.Files[filesPerChunk+1].Yanked.Is = !p.Files[filesPerChunk+1].Yanked.Is
	put(t, d, p)
	same(t, d, p)
	if list := rewritten(); len(list) != 1 || list[0] != 2 {
		t.Errorf("a yank has rewritten the chunks %d, want the second", list)
	}
	if again, _, err := d.Info("large"); err != nil || again.Generation <= info.Generation {
		t.Errorf("the generation does not grow: %v after %v (%v)", again, info, err)
	}
	p.Files = p.Files[:30]
	put(t, d, p)
	same(t, d, p)
	if n := len(chunks()); n != 1 {
		t.Errorf("%d chunks are left of a page of 30 files, want that in which they were", n)
	}
}

func TestRefs(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	here := func() error { return nil }
	a, b := page(t, "a", 3), page(t, "b", 3)
	b.Files[0].Hashes = a.Files[0].Hashes // the same bytes in two projects
	put(t, d, a)
	put(t, d, b)
	shared, _ := a.Files[0].Hashes.SHA256()
	own, _ := a.Files[1].Hashes.SHA256()
	add := func(name pypi.Name, digest pypi.Digest) bool {
		named, err := d.AddRef(Ref{Name: name, Digest: digest, Filename: "f.whl", Size: 7, Pinned: true}, here)
		if err != nil {
			t.Fatal(err)
		}
		return named
	}
	before, _, _ := d.Info("a")
	if !add("a", shared) || !add("a", own) || !add("b", shared) {
		t.Fatal("a digest that the page names is refused")
	}
	if after, _, _ := d.Info("a"); after.Generation <= before.Generation {
		t.Error("a new blob does not change the generation")
	}
	if add("a", sha("nobody named this")) || add("unknown", shared) {
		t.Error("a digest that no page names is recorded")
	}
	missing := errors.New("no bytes")
	if _, err := d.AddRef(Ref{Name: "b", Digest: own}, func() error { return missing }); err != nil {
		t.Errorf("the page does not name it, yet its bytes are asked for: %v", err)
	}
	if _, err := d.AddRef(Ref{Name: "a", Digest: own}, func() error { return missing }); !errors.Is(err, missing) {
		t.Errorf("a reference to absent bytes gives %v", err)
	}
	r, ok, err := d.Ref("a", own)
	if want := (Ref{Name: "a", Digest: own, Filename: "f.whl", Size: 7, Pinned: true}); err != nil || !ok || r != want {
		t.Errorf("reference %v, %v, %v", r, ok, err)
	}
	count := 0
	if err := d.Refs("", func(Ref, error) bool { count++; return true }); err != nil || count != 3 {
		t.Errorf("%d references (%v), want 3", count, err)
	}

	a.Files = a.Files[2:]
	if doomed := put(t, d, a); len(doomed) != 1 || doomed[0] != own {
		t.Errorf("doomed %v, want only %v: the other is b's too", doomed, own)
	}
	if list, err := d.Doomed(); err != nil || len(list) != 1 {
		t.Errorf("doomed list %v (%v)", list, err)
	}
	removed := false
	if err := d.Bury(shared, func() error { removed = true; return nil }); err != nil || removed {
		t.Errorf("a referenced blob is buried (%v)", err)
	}
	if err := d.Bury(own, func() error { removed = true; return nil }); err != nil || !removed {
		t.Errorf("a doomed blob is not buried (%v)", err)
	}
	if err := d.Buried([]pypi.Digest{own}, func(pypi.Digest) bool { return true }); err != nil {
		t.Fatal(err)
	}
	doomed, err := d.DeleteProject("b")
	if err != nil || len(doomed) != 1 || doomed[0] != shared {
		t.Errorf("deleting b dooms %v (%v)", doomed, err)
	}
	if _, ok, err := d.Project("b"); ok || err != nil {
		t.Errorf("b is still there (%v)", err)
	}
}

func TestValues(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	if err := d.SetState("a", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := d.SetState("b", []byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := d.SetState("a", nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[pypi.Name][]byte{"a": nil, "b": []byte("two")} {
		if v, err := d.State(name); err != nil || !cmp.Equal(v, want) {
			t.Errorf("state of %s %q (%v)", name, v, err)
		}
	}
	if v, err := d.Value("none"); v != nil || err != nil {
		t.Errorf("no value: %v, %v", v, err)
	}
	if err := d.SetValue("x", []byte{1}); err != nil {
		t.Fatal(err)
	}
	if v, err := d.Value("x"); !bytes.Equal(v, []byte{1}) || err != nil {
		t.Errorf("value %v, %v", v, err)
	}
}

func TestFull(t *testing.T) {
	free := int64(1 << 40)
	d, err := Open(t.TempDir(), Options{Free: func(string) (int64, error) { return free, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB(t, d)
	put(t, d, page(t, "a", 3))
	free = Floor - 1
	if _, err := d.PutProject(page(t, "b", 3)); !errors.Is(err, ErrFull) {
		t.Errorf("a write on a full disk gives %v", err)
	}
	same(t, d, page(t, "a", 3))
	free = Floor
	put(t, d, page(t, "b", 3))
	free = 0
	if _, err := Open(t.TempDir(), Options{Free: func(string) (int64, error) { return free, nil }}); !errors.Is(err, ErrFull) {
		t.Errorf("a new store on a full disk gives %v", err)
	}
	free = 1 << 40 // for Close
}

// TestLeftBehind opens folders as kills and damage leave them.
func TestLeftBehind(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	want := page(t, "kept", 200)
	put(t, d, want)
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second open gives %v, want ErrLocked", err)
	}
	closeDB(t, d)
	// A child that is being started while the folder is closed holds its lock.
	child, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(child.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(lockPatience/10, func() {
		if err := child.Close(); err != nil {
			t.Error(err)
		}
	})
	d = open(t, dir)
	closeDB(t, d)
	for _, name := range []string{"00099.mem", "000099.vlog"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d = open(t, dir)
	same(t, d, want)
	closeDB(t, d)

	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v (%v)", tables, err)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "MANIFEST")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("tables without their list give %v, want ErrDamaged", err)
	}
	for _, n := range []int{0, 7, 10, 15} {
		if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), manifest[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("tables with %d bytes of their list give %v, want ErrDamaged", n, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	same(t, d, want) // nothing was deleted by the refused open
	closeDB(t, d)

	whole, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(whole)-40] ^= 1
	for what, content := range map[string][]byte{
		"truncated": whole[:100], "empty": nil, "short by a byte": whole[:len(whole)-1],
		"zeros": make([]byte, len(whole)), "flipped": flipped,
	} {
		if err := os.WriteFile(tables[0], content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s table gives %v, want ErrDamaged", what, err)
		}
	}
	if err := os.WriteFile(tables[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	d = open(t, dir)
	same(t, d, want)
	closeDB(t, d)
}

func TestRecordsAreSealed(t *testing.T) {
	d := open(t, t.TempDir())
	defer closeDB(t, d)
	raw, err := d.packChunk(page(t, "x", 30).Files)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x10
		if _, err := d.unpack(bad); !errors.Is(err, ErrDamaged) {
			t.Fatalf("a flipped bit in byte %d gives %v", i, err)
		}
	}
	for n := range raw {
		if _, err := d.unpack(raw[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut after %d bytes gives %v", n, err)
		}
	}
}

// TestManyProjectsReopen holds that after enough tables have been written every
// record is there after a reopen.
func TestManyProjectsReopen(t *testing.T) {
	t.Parallel()
	n := 400
	if os.Getenv("CHEESEBOARD_TEST_LONG") != "" {
		n = 10_000
	}
	dir := t.TempDir()
	d := open(t, dir)
	name := func(i int) pypi.Name { return pypi.Name(fmt.Sprintf("project-%05d", i)) }
	// One by one in the beginning; then groups, and what makes tables full.
	for i, size := 0, 1; i < n; i += size {
		if i >= 100 {
			size = 20
			stuff(t, d, 768<<10)
		}
		var group []Update
		for j := i; j < min(i+size, n); j++ {
			group = append(group, Update{Project: page(t, name(j), 1+j%60)})
		}
		if _, errs := d.PutProjects(group); errs != nil {
			t.Fatal(errors.Join(errs...))
		}
	}
	closeDB(t, d)
	d = open(t, dir)
	defer closeDB(t, d)
	for i := range n {
		same(t, d, page(t, name(i), 1+i%60))
	}
	listed := 0
	if err := d.Names(func(pypi.ListEntry) bool { listed++; return true }); err != nil || listed != n {
		t.Errorf("%d names are listed of %d (%v)", listed, n, err)
	}
	if err := d.db.VerifyChecksum(); err != nil {
		t.Error(err)
	}
}

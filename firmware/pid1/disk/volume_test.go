package disk

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// superOf makes the beginning of a file system, without a checksum.
func superOf(blocks uint32, flawed bool) []byte {
	b := make([]byte, 1<<20)
	s := b[superAt:]
	binary.LittleEndian.PutUint16(s[magicAt:], magic)
	binary.LittleEndian.PutUint32(s[4:], blocks)
	binary.LittleEndian.PutUint32(s[0x18:], 2)
	s[stateAt] = 1
	if flawed {
		s[stateAt] = 1 | stateErrors
		binary.LittleEndian.PutUint32(s[errorsAt:], 3)
	}
	copy(s[labelAt:], "cheeseboard-data")
	return b
}

func TestReadSuper(t *testing.T) {
	s, err := ReadSuper(bytes.NewReader(superOf(16384, true)))
	if want := (Super{"cheeseboard-data", 16384, 4096, true, 3}); err != nil || s != want {
		t.Errorf("%+v, %v", s, err)
	}
	for name, b := range map[string][]byte{"zeros": make([]byte, 4096), "a strange block": func() []byte { b := superOf(1, false); b[superAt+0x18] = 60; return b }()} {
		if _, err := ReadSuper(bytes.NewReader(b)); !errors.Is(err, ErrNoFileSystem) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadSuper(bytes.NewReader(nil)); err == nil || errors.Is(err, ErrNoFileSystem) {
		t.Errorf("nothing can be read: %v", err)
	}
}

// TestRealSuper reads what mkfs.ext4 writes, and sees that a bit has changed.
func TestRealSuper(t *testing.T) {
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skipf("%v: the guest tests mount what it makes", err)
	}
	path := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(path, make([]byte, 8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), mkfs, "-q", "-b", "4096", "-O", "64bit,metadata_csum", "-L", "x", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := ReadSuper(bytes.NewReader(b)); err != nil || s != (Super{"x", 2048, 4096, false, 0}) {
		t.Errorf("%+v, %v", s, err)
	}
	b[superAt+0x200] ^= 4
	if _, err := ReadSuper(bytes.NewReader(b)); !errors.Is(err, ErrNoFileSystem) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a bit has changed: %v", err)
	}
}

var (
	errDamaged = errors.New("structure needs cleaning")
	errNoExt4  = errors.New("no such device")
	// errProtected is what the kernel gives for a device that cannot be written.
	errProtected = fmt.Errorf("mount: %w", os.ErrPermission)
)

// fakeSystem is a machine whose file systems are files: one is sound if it has a
// superblock, and the word "bad" nowhere in its first 4 KiB behind that.
type fakeSystem struct {
	did     []string
	checked error // what Check gives
	mend    bool  // Check makes it sound
	noExt4  bool
	protect bool // nothing can be written
	store   bool // what is worth to be read is in its file system
	rotten  bool // the file system's folders cannot be read
	replay  bool // the first Mount replays a journal that has another size in it
	grow    error
}

func (s *fakeSystem) note(format string, args ...any) {
	s.did = append(s.did, fmt.Sprintf(format, args...))
}

func (s *fakeSystem) Mount(device, folder string) error {
	s.note("mount")
	if s.noExt4 {
		return errNoExt4
	}
	if s.protect {
		return errProtected
	}
	if s.replay {
		s.replay = false
		return errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(device, superOf(256, false), 0o644))
	}
	b, err := os.ReadFile(device)
	if err != nil {
		return err
	}
	if _, err := ReadSuper(bytes.NewReader(b)); err != nil || bytes.Contains(b[2048:6144], []byte("bad")) {
		return errDamaged
	}
	return os.MkdirAll(folder, 0o755)
}
func (s *fakeSystem) MountReadOnly(device, folder string) error {
	protect := s.protect
	s.protect = false
	err := s.Mount(device, folder)
	s.protect = protect
	s.did[len(s.did)-1] = "mount read-only"
	if err == nil && s.rotten {
		return os.Remove(folder) // then it cannot be listed
	}
	if err == nil && s.store {
		err = errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(folder, worth)), 0o755), os.WriteFile(filepath.Join(folder, worth), []byte("1"), 0o444))
	}
	return err
}
func (s *fakeSystem) Unmount(string) error { s.note("unmount"); return nil }
func (s *fakeSystem) Grow(folder string, blocks uint64) error {
	s.note("grow %d", blocks)
	if _, err := os.Stat(filepath.Join(folder, asideFolder)); err == nil {
		s.note("too late: there was no room before")
	}
	return s.grow
}
func (s *fakeSystem) Check(_ context.Context, device string) (string, error) {
	s.note("check")
	if s.mend {
		if err := os.WriteFile(device, superOf(256, false), 0o644); err != nil {
			return "", err
		}
	}
	return "found", s.checked
}
func (s *fakeSystem) Memory(folder string) error { s.note("memory"); return os.MkdirAll(folder, 0o755) }
func (s *fakeSystem) Damage(err error) bool      { return errors.Is(err, errDamaged) }

func bad(b []byte) []byte { copy(b[3000:], "bad"); return b }

// half is what a cut leaves while a new file system is made.
func half(b []byte) []byte { copy(b, making); return b }

// seedOf is the image of an empty file system that has a mark of its own at its end.
func seedOf() []byte {
	b := superOf(128, false)[:512<<10]
	copy(b[len(b)-4:], "seed")
	return b
}

// worth is the file that makes a file system worth to be mounted read-only.
const worth = "program/FORMAT"

func newVolume(t *testing.T, device []byte, system *fakeSystem) *Volume {
	t.Helper()
	dir := t.TempDir()
	v := &Volume{
		Device: filepath.Join(dir, "p4"), Folder: filepath.Join(dir, "data"), System: system, Worth: worth, Log: slog.New(slog.DiscardHandler),
		Seed: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(seedOf())), nil },
	}
	if err := os.WriteFile(v.Device, device, 0o644); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOpen(t *testing.T) {
	beyond, unchecked := fmt.Errorf("check: %w", ErrBeyondRepair), fmt.Errorf("check: %w", ErrUnchecked)
	for name, c := range map[string]struct {
		device []byte
		system fakeSystem
		noSeed bool
		want   Condition
		did    string
	}{
		"clean":                       {superOf(256, false), fakeSystem{}, false, Clean, "mount"},
		"with room":                   {superOf(128, false), fakeSystem{}, false, Clean, "mount, grow 256"},
		"cut while it grew":           {superOf(128, false), fakeSystem{replay: true}, false, Clean, "mount, unmount, mount"},
		"that does not grow":          {superOf(128, false), fakeSystem{grow: errDamaged}, false, Clean, "mount, grow 256"},
		"the kernel noted errors":     {superOf(256, true), fakeSystem{mend: true}, false, Repaired, "check, mount"},
		"cannot be mounted":           {bad(superOf(256, false)), fakeSystem{mend: true}, false, Repaired, "mount, check, mount"},
		"no superblock":               {make([]byte, 1<<20), fakeSystem{mend: true}, false, Repaired, "check, mount"},
		"beyond repair":               {make([]byte, 1<<20), fakeSystem{checked: beyond}, false, Aside, "check, mount, grow 256"},
		"damaged beyond repair":       {bad(superOf(256, false)), fakeSystem{checked: beyond}, false, Aside, "mount, check, mount, grow 256"},
		"sound, and not mounted":      {bad(superOf(256, false)), fakeSystem{}, false, Memory, "mount, check, mount, mount read-only, memory"},
		"it could not be checked":     {bad(superOf(256, false)), fakeSystem{checked: unchecked}, false, Memory, "mount, check, mount read-only, memory"},
		"nothing there to be checked": {make([]byte, 1<<20), fakeSystem{checked: unchecked}, false, Aside, "check, mount, grow 256"},
		"beyond repair, and no seed":  {make([]byte, 1<<20), fakeSystem{checked: beyond}, true, Memory, "check, memory"},
		"the check was ended":         {make([]byte, 1<<20), fakeSystem{checked: errors.New("it was ended")}, false, Memory, "check, memory"},
		"the kernel has no ext4":      {superOf(256, false), fakeSystem{noExt4: true}, false, Memory, "mount, mount read-only, memory"},
		"cannot be read":              {nil, fakeSystem{store: true}, false, Memory, "memory"},

		"write-protected":                    {superOf(256, false), fakeSystem{protect: true, store: true}, false, ReadOnly, "mount, mount read-only"},
		"write-protected, with room":         {superOf(128, false), fakeSystem{protect: true, store: true}, false, ReadOnly, "mount, mount read-only"},
		"write-protected, with errors":       {superOf(256, true), fakeSystem{protect: true, store: true, checked: unchecked}, false, ReadOnly, "check, mount read-only"},
		"write-protected, and no store":      {superOf(256, false), fakeSystem{protect: true}, false, Memory, "mount, mount read-only, unmount, memory"},
		"write-protected, and damaged":       {bad(superOf(256, false)), fakeSystem{protect: true, store: true}, false, Memory, "mount, mount read-only, memory"},
		"write-protected, nothing is there":  {make([]byte, 1<<20), fakeSystem{protect: true, store: true, checked: errors.New("it was ended")}, false, Memory, "check, memory"},
		"write-protected, and not readable":  {superOf(256, false), fakeSystem{protect: true, store: true, rotten: true}, false, Memory, "mount, mount read-only, unmount, memory"},
		"half made, and no seed any more":    {half(superOf(256, false)), fakeSystem{store: true}, true, Memory, "memory"},
		"errors that cannot be corrected":    {superOf(256, true), fakeSystem{store: true, checked: beyond}, true, ReadOnly, "check, mount read-only"},
		"errors, and the check was ended":    {superOf(256, true), fakeSystem{store: true, checked: errors.New("it was ended")}, false, ReadOnly, "check, mount read-only"},
		"errors that could not be looked at": {superOf(256, true), fakeSystem{store: true, checked: unchecked}, false, ReadOnly, "check, mount read-only"},
		"corrected, and not mounted":         {superOf(256, true), fakeSystem{store: true, protect: true}, false, ReadOnly, "check, mount, mount read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVolume(t, c.device, &c.system)
			if c.noSeed {
				v.Seed = nil
			}
			r, err := v.Open(t.Context())
			if err != nil || r.Condition != c.want || strings.Join(c.system.did, ", ") != c.did {
				t.Errorf("%+v, %v\n did %q\nwant %q", r, err, strings.Join(c.system.did, ", "), c.did)
			}
			if (r.Detail == "") != (c.want == Clean) {
				t.Errorf("it is %s: %q", r.Condition, r.Detail)
			}
			now, err := os.ReadFile(v.Device)
			if err != nil {
				t.Fatal(err)
			}
			switch c.want {
			case Memory, ReadOnly:
				if !bytes.Equal(now, c.device) {
					t.Error("what cannot be used was written to")
				}
			case Aside:
				checkAside(t, v, now, c.device)
			}
		})
	}
}

// checkAside sees that the new file system is as the seed is, and that the beginning of
// the old one was kept.
func checkAside(t *testing.T, v *Volume, now, before []byte) {
	t.Helper()
	if seed := seedOf(); !bytes.Equal(now[:len(seed)], seed) || !bytes.Equal(now[len(seed):], before[len(seed):]) {
		t.Error("the new file system is not as the seed is")
	}
	f, err := os.Open(filepath.Join(v.Folder, asideFolder, "head.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := io.ReadAll(z); err != nil || !bytes.Equal(kept, before) {
		t.Errorf("%d bytes were kept of %d: %v", len(kept), len(before), err)
	}
}

// TestReadOnly: what is said of a partition that can only be read names what to do, and its
// size. It is not begun anew when it cannot be written, and what belongs aside is forgotten.
func TestReadOnly(t *testing.T) {
	s := &fakeSystem{store: true, checked: ErrBeyondRepair}
	v := newVolume(t, superOf(256, true), s)
	v.Seed = func() (io.ReadCloser, error) { return nil, &fs.PathError{Op: "write", Path: "x", Err: syscall.EIO} }
	r, err := v.Open(t.Context())
	if err != nil || r.Condition != ReadOnly || r.Size != 256*4096 || r.Grown != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, want := range []string{"replace it", "input/output error", "3 errors"} {
		if !strings.Contains(r.Detail, want) {
			t.Errorf("there is no %q in %q", want, r.Detail)
		}
	}
	if _, err := os.Stat(filepath.Join(v.Folder, asideFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was set aside: %v", err)
	}
	// A check that came to no end says nothing against the card.
	v = newVolume(t, superOf(256, true), &fakeSystem{store: true, checked: ErrUnchecked})
	if r, err := v.Open(t.Context()); err != nil || r.Condition != ReadOnly || !strings.Contains(r.Detail, "start the box anew") {
		t.Errorf("%+v, %v", r, err)
	}
	// The same where anything is worth it.
	bare := &fakeSystem{protect: true}
	v = newVolume(t, superOf(256, false), bare)
	v.Worth = ""
	if r, err := v.Open(t.Context()); err != nil || r.Condition != ReadOnly {
		t.Errorf("%+v, %v", r, err)
	}
}

// cutSeed is a seed that ends in an error after so many bytes, as when the power goes.
func cutSeed(n int) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(seedOf()[:n]), failing{})), nil
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the power is gone") }

// TestCutWhileMaking: wherever the power goes while a new file system is written, the next
// start makes it, and takes it for nothing else, though there is a superblock.
func TestCutWhileMaking(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 100000, len(seedOf()) - 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := &fakeSystem{checked: ErrBeyondRepair}
			v := newVolume(t, bad(superOf(256, false)), s)
			v.Seed = cutSeed(n)
			if r, err := v.Open(t.Context()); err != nil || r.Condition != Memory {
				t.Fatalf("%+v, %v", r, err)
			}
			s.did, s.mend = nil, true
			v.Seed = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(seedOf())), nil }
			r, err := v.Open(t.Context())
			if err != nil || r.Condition != Aside || slices.Contains(s.did, "check") {
				t.Errorf("%+v, %v, did %q", r, err, s.did)
			}
			if now, err := os.ReadFile(v.Device); err != nil || !bytes.Equal(now[:len(seedOf())], seedOf()) {
				t.Errorf("it is not as the seed is: %v", err)
			}
			s.did = nil
			if r, err := v.Open(t.Context()); err != nil || r.Condition != Clean {
				t.Errorf("the start after that: %+v, %v", r, err)
			}
		})
	}
}

func FuzzReadSuper(f *testing.F) {
	f.Add(superOf(128, true)[:4096])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ReadSuper(bytes.NewReader(b))
		if err == nil && (s.BlockSize < 1024 || s.BlockSize > 64<<10) {
			t.Errorf("%+v", s)
		}
	})
}

package card

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cheeseboard/firmware/update"
)

// made is long before any run of this test.
var made = time.Date(2021, 5, 4, 12, 0, 0, 0, time.UTC)

// needTools skips a test where the tools that make file systems are not installed.
func needTools(t *testing.T, more ...string) {
	t.Helper()
	for _, program := range append([]string{"mkfs.vfat", "mcopy", "mkfs.ext4"}, more...) {
		if _, err := lookUp(program); err != nil {
			t.Skip(err)
		}
	}
}

// standIns are parts that are built like the real ones, but small. This test stands in
// for the programs.
func standIns(t *testing.T) Parts {
	t.Helper()
	self := filepath.Join(t.TempDir(), "program")
	// Any program that has modules of others in it; a test does not tell which it has.
	build := exec.CommandContext(t.Context(), "go", "build", "-o", self, "cheeseboard/firmware/cmd/lyingindex")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=Module", "cheeseboard/firmware/cmd/lyingindex")
	list, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := ReadModules(bytes.NewReader(list))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	where, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	goRoot := string(bytes.TrimSpace(where))
	terms, err := os.ReadFile(filepath.Join(goRoot, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"kernel/vmlinuz": "kernel", "kernel/board.dtb": "tree", "kernel/overlays/some.dtbo": "overlay",
		"kernel/overlays/overlay_map.dtb": "map", "kernel/LICENSE": string(terms),
		"kernel/_build/upstream-url.txt": "https://example.org/linux/archive/refs/tags/stable_1.tar.gz",
		"checker/sbin/e2fsck.static":     "checker", "checker/usr/share/doc/e2fsck-static/copyright": "GPL-2",
		"firmware/LICENSE": string(terms), "firmware/bootcode.bin": "code", "firmware/start.elf": "s", "firmware/start4.elf": "s4",
		"firmware/fixup.dat": "f", "firmware/fixup4.dat": "f4", "list/LICENSE": string(terms), "authorities": "certificates",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Parts{
		Program: self, Init: self, Authorities: filepath.Join(dir, "authorities"), GoRoot: goRoot,
		Kernel:   Module{Path: "example.org/kernel", Version: "v1", Dir: filepath.Join(dir, "kernel")},
		Checker:  Module{Path: "e2fsck-static", Version: "1.47", Dir: filepath.Join(dir, "checker")},
		Firmware: Module{Path: "example.org/firmware", Version: "v1", Dir: filepath.Join(dir, "firmware")},
		Modules:  append(modules, Module{Path: authoritiesModule, Version: "v1", Dir: filepath.Join(dir, "list")}),
	}
}

// options are those of a release.
func options(t *testing.T) Options {
	t.Helper()
	version, err := update.ParseVersion("1.2")
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	return Options{Version: version, Key: key, Made: made, Out: t.TempDir(), Log: t.Logf, layout: layOut(8*mib, 72*mib, 64*mib)}
}

// unpacked gives the four partitions of a built image, each in a file, and the record.
func unpacked(t *testing.T, o Options) (partitions [4]string, record []byte) {
	t.Helper()
	f, err := os.Open(filepath.Join(o.Out, NamesOf(o.Version).Image))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, e := range o.layout {
		partitions[i] = filepath.Join(dir, string(rune('1'+i)))
		if err := os.WriteFile(partitions[i], whole[e.Start:e.Start+e.Size], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return partitions, whole[:sector]
}

// said gives what a program prints; that it succeeds is part of the test.
func said(t *testing.T, program string, args ...string) string {
	t.Helper()
	found, err := lookUp(program)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), found, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C", "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// TestBuild builds a card and looks at it from all sides.
func TestBuild(t *testing.T) {
	needTools(t, "fsck.vfat", "e2fsck", "dumpe2fs")
	if withRace {
		t.Skip("not under the race detector")
	}
	parts, o := standIns(t), options(t)
	if err := parts.Build(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	partitions, record := unpacked(t, o)
	t.Run("sound", func(t *testing.T) { checkSound(t, partitions, record) })
	t.Run("contents", func(t *testing.T) { checkContents(t, partitions) })
	t.Run("days", func(t *testing.T) { checkDays(t, partitions) })
	t.Run("bundle", func(t *testing.T) { checkBundle(t, o, partitions) })
	t.Run("bill", func(t *testing.T) { checkBill(t, o) })
	t.Run("sums", func(t *testing.T) { checkSums(t, o) })
	t.Run("again", func(t *testing.T) { checkAgain(t, parts, o) })
}

// checkSound looks at it with the tools that repair such file systems.
func checkSound(t *testing.T, partitions [4]string, record []byte) {
	if record[510] != 0x55 || record[511] != 0xaa || record[446+4] != typeFAT16 || record[446+16+4] != typeFAT32 || record[446+48+4] != typeLinux {
		t.Errorf("the record is % x", record[440:])
	}
	said(t, "fsck.vfat", "-n", partitions[0])
	said(t, "fsck.vfat", "-n", partitions[1])
	said(t, "e2fsck", "-fn", partitions[3])
	if b, err := os.ReadFile(partitions[2]); err != nil || len(bytes.Trim(b, "\x00")) > 0 {
		t.Errorf("slot B is not empty (%v)", err)
	}
	super := said(t, "dumpe2fs", "-h", partitions[3])
	for _, want := range []string{"cheeseboard-data", "metadata_csum", "has_journal", "resize_inode"} {
		if !strings.Contains(super, want) {
			t.Errorf("the data partition has no %s:\n%s", want, super)
		}
	}
}

// checkContents reads what boards and people find.
func checkContents(t *testing.T, partitions [4]string) {
	for name, want := range map[string]string{
		"autoboot.txt": "boot_partition=2", "bootcode.bin": "code", "cheeseboard.toml": "# Settings", "readme.txt": "PIN.txt",
	} {
		if got := said(t, "mtype", "-i", partitions[0], "::/"+name); !strings.Contains(got, want) {
			t.Errorf("%s is %q", name, got)
		}
	}
	for name, want := range map[string]string{
		"config.txt": "initramfs initramfs.gz", "cmdline.txt": "console=serial0", "board.dtb": "tree", "overlays/some.dtbo": "overlay",
		"licences.txt": "stable_1.tar.gz",
	} {
		if got := said(t, "mtype", "-i", partitions[1], "::/"+name); !strings.Contains(got, want) {
			t.Errorf("%s is %q", name, got)
		}
	}
	listing := said(t, "mdir", "-/", "-b", "-i", partitions[1], "::/")
	if !strings.Contains(listing, "cheeseboard") || !strings.Contains(listing, "vmlinuz") {
		t.Errorf("the slot has\n%s", listing)
	}
}

// checkDays looks for the day of today: two builds within a second would not differ by a
// time that is drawn from the clock.
func checkDays(t *testing.T, partitions [4]string) {
	for _, fat := range partitions[:2] {
		for line := range strings.Lines(said(t, "mdir", "-/", "-i", fat, "::/")) {
			if fields := strings.Fields(line); len(fields) > 3 && strings.Count(line, "-") >= 2 && !strings.Contains(line, "2021-05-04") && !strings.Contains(line, "Volume") {
				t.Errorf("a file is of another day: %s", line)
			}
		}
	}
	if super := said(t, "dumpe2fs", "-h", partitions[3]); strings.Count(super, "2021") < 2 {
		t.Errorf("the data partition is of another day:\n%s", super)
	}
}

// checkBundle compares what is in the bundle with what is in the image.
func checkBundle(t *testing.T, o Options, partitions [4]string) {
	f, err := os.Open(filepath.Join(o.Out, NamesOf(o.Version).Bundle))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	bundle, err := update.Open(f, []ed25519.PublicKey{o.Key.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	slot, err := os.ReadFile(partitions[1])
	if err != nil {
		t.Fatal(err)
	}
	if bundle.Board != Board || bundle.Size > int64(len(slot)) || len(bytes.Trim(slot[bundle.Size:], "\x00")) > 0 {
		t.Fatalf("the bundle is %+v, of a slot of %d bytes", bundle.Manifest, len(slot))
	}
	if digest := sha256.Sum256(slot[:bundle.Size]); bundle.SHA256 != hex.EncodeToString(digest[:]) {
		t.Errorf("the bundle is %+v; the slot's digest is %x", bundle.Manifest, digest)
	}
	checkReleases(t, o, bundle)
}

// checkReleases reads the list of releases as a box does.
func checkReleases(t *testing.T, o Options, bundle *update.Bundle) {
	names := NamesOf(o.Version)
	raw, err := os.ReadFile(filepath.Join(o.Out, names.Releases))
	if err != nil {
		t.Fatal(err)
	}
	index, err := update.ParseIndex(raw, []ed25519.PublicKey{o.Key.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := digestOf(filepath.Join(o.Out, names.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	offer, ok := index.Newest(Board)
	if !ok || offer.Version != o.Version || offer.URL != names.Bundle || offer.Length != bundle.Length || offer.SHA256 != hex.EncodeToString(digest) || !index.Issued.Equal(o.Made) {
		t.Errorf("the list of releases is %+v", index)
	}
}

// checkAgain builds once more, in another folder and another time zone.
func checkAgain(t *testing.T, p Parts, o Options) {
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("TMPDIR", t.TempDir())
	first := o.Out
	o.Out = t.TempDir()
	if err := p.Build(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Sums, Signature} {
		a, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(o.Out, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs: %q and %q", name, a, b)
		}
	}
}

// checkBill reads the bill as a program for such bills does.
func checkBill(t *testing.T, o Options) {
	names := NamesOf(o.Version)
	raw, err := os.ReadFile(filepath.Join(o.Out, names.Bill))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		BomFormat, SpecVersion string
		Components             []struct {
			Name, Version, Purl string
			Licenses            []map[string]any
			ExternalReferences  []struct{ URL string }
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, c := range d.Components {
		listed[c.Name] = true
		if c.Version == "" || len(c.Licenses) == 0 || len(c.ExternalReferences) == 0 || c.Purl == "" {
			t.Errorf("of %s the bill says too little: %+v", c.Name, c)
		}
	}
	for _, want := range []string{"Linux", "Go standard library", "Raspberry Pi boot firmware", "golang.org/x/net"} {
		if !listed[want] {
			t.Errorf("the bill does not name %s: %v", want, listed)
		}
	}
	texts, err := os.ReadFile(filepath.Join(o.Out, names.Licences))
	if err != nil || !bytes.Contains(texts, []byte("https://example.org/linux/archive/refs/tags/stable_1.tar.gz")) || !bytes.Contains(texts, []byte("The Go Authors")) {
		t.Errorf("the licences say too little (%v)", err)
	}
}

// checkSums checks the digests with coreutils, and the signature.
func checkSums(t *testing.T, o Options) {
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--strict", "-c", Sums)
	cmd.Dir = o.Out
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Count(out, []byte(": OK")) != 5 {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := exec.LookPath("openssl"); err == nil {
		verify := exec.CommandContext(t.Context(), "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", PublicKey, "-rawin", "-in", Sums, "-sigfile", Signature)
		verify.Dir = o.Out
		if out, err := verify.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	sums, err := os.ReadFile(filepath.Join(o.Out, Sums))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := os.ReadFile(filepath.Join(o.Out, Signature))
	if err != nil || !ed25519.Verify(o.Key.Public().(ed25519.PublicKey), sums, signature) {
		t.Errorf("the signature is not good (%v)", err)
	}
}

// TestUnknownTerms refuses parts whose terms nobody knows.
func TestUnknownTerms(t *testing.T) {
	p, o := standIns(t), options(t)
	if err := os.WriteFile(filepath.Join(p.Firmware.Dir, "LICENSE"), []byte("do as you are told"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), "licence") {
		t.Errorf("a part without known terms: %v", err)
	}
}

func TestReleaseKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config", "release.pem")
	key, fresh, err := ReleaseKey(path)
	if err != nil || !fresh {
		t.Fatal(err, fresh)
	}
	again, fresh, err := ReleaseKey(path)
	if err != nil || fresh || !again.Equal(key) {
		t.Errorf("read again, the key is another (%v, %v)", err, fresh)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	if err := os.WriteFile(path, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReleaseKey(path); err == nil {
		t.Error("a file that is no key is taken for one")
	}
}

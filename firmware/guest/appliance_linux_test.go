package guest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cheeseboard/firmware/guest"
)

// The partitions of a card for the lab, in sectors.
var labTable = [4]struct {
	kind        byte
	start, size uint32
}{{0x0e, 2048, 8192}, {0x0c, 16384, 98304}, {0x0c, 114688, 98304}, {0x83, 212992, 131072}}

const labID = 0x1ab

// appliance is the product's init and program, packed for the lab kernel, and a card that
// they have not seen.
type appliance struct {
	kernel    guest.Kernel
	initramfs string
	card      guest.Card // 104 MiB and the partition for data; machines get copies
	dir       string
}

// newAppliance builds it, with a program by its import path, and more modules of the kernel
// than any card needs.
func newAppliance(t *testing.T, program string, modules ...string) *appliance {
	t.Helper()
	wanted(t)
	guest.NeedLab(t)
	ctx := t.Context()
	kernel, err := guest.LabKernel(ctx, "")
	if err != nil {
		t.Skipf("a guest cannot be run here: %v", err)
	}
	a := &appliance{kernel: kernel, dir: t.TempDir()}
	seed := filepath.Join(a.dir, "seed")
	run(ctx, t, "truncate", "-s", fmt.Sprint(labTable[3].size*512), seed)
	run(ctx, t, "mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-L", "cheeseboard-data", "-E", "resize=268435456,lazy_itable_init=0,lazy_journal_init=0", seed)
	packed := pack(t, seed)
	l := guest.Lab{Init: build(t, "cheeseboard/firmware/cmd/init"), Modules: append(modules, guest.LabModules...), Files: map[string]string{"etc/cheeseboard/data.ext4.gz": packed}}
	checker, libraries := checkerFiles(ctx, t)
	l.Files["sbin/e2fsck"] = checker
	for _, path := range libraries {
		l.Files[strings.TrimPrefix(path, "/")] = path
	}
	a.initramfs = filepath.Join(a.dir, "initramfs")
	if err := l.Pack(ctx, kernel, a.initramfs); err != nil {
		t.Fatal(err)
	}
	a.makeCard(ctx, t, build(t, program), seed)
	return a
}

// checkerFiles gives this machine's e2fsck, and the libraries that it needs: the image has
// one that needs none.
func checkerFiles(ctx context.Context, t *testing.T) (program string, libraries []string) {
	t.Helper()
	program, err := exec.LookPath("e2fsck")
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(run(ctx, t, "ldd", program))) {
		if strings.HasPrefix(word, "/") {
			libraries = append(libraries, word)
		}
	}
	return program, libraries
}

// build builds a program as it is for a board, of this machine's kind.
func build(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(program))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func run(ctx context.Context, t *testing.T, program string, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return out
}

func pack(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err = z.Write(raw); err == nil {
		err = z.Close()
	}
	if err = errors.Join(err, os.WriteFile(path+".gz", b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	return path + ".gz"
}

// makeCard lays a card out as scripts/image does, without what only boards need.
func (a *appliance) makeCard(ctx context.Context, t *testing.T, program, seed string) {
	t.Helper()
	path := filepath.Join(a.dir, "card")
	first, slot := filepath.Join(a.dir, "p1"), filepath.Join(a.dir, "p2")
	for _, p := range []struct {
		path, bits string
		size       uint32
	}{{first, "16", labTable[0].size}, {slot, "32", labTable[1].size}} {
		run(ctx, t, "truncate", "-s", fmt.Sprint(p.size*512), p.path)
		run(ctx, t, "mkfs.vfat", "-F", p.bits, "-s", "1", p.path)
	}
	run(ctx, t, "mcopy", "-i", slot, program, "::/cheeseboard")
	var sector [512]byte
	binary.LittleEndian.PutUint32(sector[440:], labID)
	for i, p := range labTable {
		e := sector[446+16*i:]
		e[4] = p.kind
		binary.LittleEndian.PutUint32(e[8:], p.start)
		binary.LittleEndian.PutUint32(e[12:], p.size)
	}
	sector[510], sector[511] = 0x55, 0xaa
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = out.Write(sector[:])
	for i, part := range []string{first, slot, "", seed} {
		if part == "" {
			continue
		}
		raw, bad := os.ReadFile(part)
		if bad == nil {
			_, bad = out.WriteAt(raw, int64(labTable[i].start)*512)
		}
		err = errors.Join(err, bad)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
	a.card = guest.Card(path)
	settings := "[network]\nhostname = \"kitchen\"\n[upstream]\nurl = \"http://127.0.0.1:9/simple/\"\n[clock]\nverify = \"never\"\n"
	if err := a.card.WriteFile(ctx, 1, "cheeseboard.toml", []byte(settings)); err != nil {
		t.Fatal(err)
	}
}

// copyCard is a card of its own for a machine, of a size in bytes.
func (a *appliance) copyCard(t *testing.T, size int64) guest.Card {
	t.Helper()
	card, err := a.card.Copy(t.Context(), filepath.Join(t.TempDir(), "card"), size)
	if err != nil {
		t.Fatal(err)
	}
	return card
}

// boot starts a machine with a card.
func (a *appliance) boot(t *testing.T, l guest.Lab) *guest.Powered {
	t.Helper()
	if l.Ports == nil && l.Network == nil {
		l.Ports = []int{80}
	}
	l.Append += fmt.Sprintf(" cheeseboard.disk=%x", labID)
	p, err := l.PowerOn(t, a.kernel, a.initramfs)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// restart has a machine go down in order, as Ctrl-Alt-Del does, and waits for its end.
func restart(ctx context.Context, t *testing.T, p *guest.Powered) {
	t.Helper()
	keys := []map[string]string{{"type": "qcode", "data": "ctrl"}, {"type": "qcode", "data": "alt"}, {"type": "qcode", "data": "delete"}}
	if err := p.QMP.Do("send-key", map[string]any{"keys": keys}, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

// dataStart is where the partition for data begins, in bytes.
const dataStart = 212992 * 512

// checkData has this machine's e2fsck look at a copy of the partition for data of a card.
// It gives the exit status and what it said.
func checkData(ctx context.Context, t *testing.T, card guest.Card, args ...string) (int, string) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	if err := card.Extract(ctx, 4, data); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Remove(data); err != nil {
			t.Error(err)
		}
	}()
	return check(ctx, t, data, args...)
}

// check has it look at a file system that lies in a file of its own.
func check(ctx context.Context, t *testing.T, data string, args ...string) (int, string) {
	t.Helper()
	out, err := exec.CommandContext(ctx, "e2fsck", append(args, data)...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// damage writes garbage over a part of the partition for data.
func damage(t *testing.T, card guest.Card, at, length int64) {
	t.Helper()
	f, err := os.OpenFile(string(card), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	garbage := bytes.Repeat([]byte("garbage!\x00\xff\x55"), int(length)/11+1)[:length]
	_, err = f.WriteAt(garbage, dataStart+at)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

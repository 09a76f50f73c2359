package update

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAutoboot(t *testing.T) {
	t.Parallel()
	for _, want := range []Autoboot{{SlotA, SlotB}, {SlotB, SlotA}} {
		for _, size := range []int{100, sector} {
			text, err := want.Text(size)
			if err != nil || len(text) != size {
				t.Fatalf("%d bytes, %v", len(text), err)
			}
			if got, err := ParseAutoboot(text); err != nil || got != want {
				t.Errorf("%q: %+v, %v", text, got, err)
			}
		}
	}
	if _, err := (Autoboot{SlotA, SlotB}).Text(60); err == nil {
		t.Error("it fitted into too few bytes")
	}
	for name, test := range map[string]struct{ text, fault string }{
		"by a person":       {"# mine\r\n[all]\r\n tryboot_a_b = 1\r\nboot_partition=3 # B\r\n\r\n[pi4]\r\nboot_partition=9\r\n[tryboot]\r\nboot_partition=2\r\n", ""},
		"without a section": {"tryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n", ""},
		"the last counts":   {"[all]\ntryboot_a_b=1\nboot_partition=4\nboot_partition=2\n[tryboot]\nboot_partition=3\n", ""},
		"empty":             {"", "tryboot_a_b"},
		"not whole slots":   {"[all]\nboot_partition=2\n[tryboot]\nboot_partition=3\n", "tryboot_a_b"},
		"one slot":          {"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=2\n", "partition 2"},
		"no trial":          {"[all]\ntryboot_a_b=1\nboot_partition=2\n", "for a trial 0"},
		"another partition": {"[all]\ntryboot_a_b=1\nboot_partition=4\n[tryboot]\nboot_partition=3\n", "partition 4"},
	} {
		_, err := ParseAutoboot([]byte(test.text))
		if (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFAT damages the file system in every way that would lead astray.
func TestFAT(t *testing.T) {
	t.Parallel()
	put := binary.LittleEndian.PutUint16
	const entry = (1+2*32)*sector + 2*dirEntry
	for name, test := range map[string]struct {
		damage func(p []byte)
		fault  string
	}{
		"sound":                {func([]byte) {}, ""},
		"no boot sector":       {func(p []byte) { clear(p[:sector]) }, "no FAT"},
		"large sectors":        {func(p []byte) { put(p[11:], 4096) }, "sectors of 512"},
		"no clusters":          {func(p []byte) { p[13] = 0 }, "no sense"},
		"more than there is":   {func(p []byte) { put(p[19:], 8193) }, "no sense"},
		"a FAT12":              {func(p []byte) { p[13] = 4 }, "no FAT16"},
		"a table too short":    {func(p []byte) { put(p[22:], 2) }, "no FAT16"},
		"no file":              {func(p []byte) { p[entry] = 0xe5 }, "no AUTOBOOTTXT"},
		"a folder":             {func(p []byte) { p[entry+11] = 0x10 }, "no AUTOBOOTTXT"},
		"fragmented":           {func(p []byte) { put(p[sector+10:], 6) }, "more than one cluster"},
		"a free cluster":       {func(p []byte) { put(p[sector+10:], 0) }, "more than one cluster"},
		"larger than a sector": {func(p []byte) { put(p[entry+28:], sector+1) }, "must fit"},
		"empty":                {func(p []byte) { put(p[entry+28:], 0) }, "must fit"},
		"cluster 0":            {func(p []byte) { put(p[entry+26:], 0) }, "does not exist"},
		"a cluster behind":     {func(p []byte) { put(p[entry+26:], 0xfff0) }, "does not exist"},
	} {
		p := makeFAT16(Autoboot{SlotA, SlotB})
		test.damage(p)
		before := bytes.Clone(p)
		c := newCard(sector)
		c.sectors[1] = p
		err := setDefault(&slotArea{c, 1}, SlotB)
		if (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !bytes.Equal(before, p) {
			t.Errorf("%s: it was written to", name)
		}
	}
}

// TestRealFAT rewrites autoboot.txt on a file system that others made, and has them
// look at it.
func TestRealFAT(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"mkfs.vfat", "mcopy", "fsck.vfat"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no FAT can be made here: %v (Debian: apt-get install dosfstools mtools)", err)
		}
	}
	dir := t.TempDir()
	part, text := filepath.Join(dir, "p1"), filepath.Join(dir, "autoboot.txt")
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
		return string(out)
	}
	content, err := Autoboot{SlotA, SlotB}.Text(sector)
	if err == nil {
		err = os.WriteFile(text, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	run("mkfs.vfat", "-C", "-F", "16", "-s", "1", "-n", "CHEESEBOARD", part, "4096")
	run("mcopy", "-i", part, "/proc/self/status", "::/a-long-name-for-a-file.txt")
	run("mcopy", "-i", part, text, "::/autoboot.txt")
	for _, slot := range []int{SlotB, SlotB, SlotA} {
		area, err := OpenArea(part)
		if err != nil {
			t.Fatal(err)
		}
		if err := setDefault(area, slot); err != nil {
			t.Fatal(err)
		}
		if err := area.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := ParseAutoboot([]byte(run("mcopy", "-i", part, "::/autoboot.txt", "-")))
		if err != nil || got.Default != slot {
			t.Errorf("%+v, %v", got, err)
		}
		run("fsck.vfat", "-n", part)
	}
}

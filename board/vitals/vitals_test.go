package vitals

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pi is what a Pi with memory that is soldered on shows.
var pi = map[string]string{
	"/sys/class/thermal/thermal_zone0/temp":                "48312\n",
	"/sys/class/hwmon/hwmon0/name":                         "cpu_thermal\n",
	"/sys/class/hwmon/hwmon1/name":                         "rpi_volt\n",
	"/sys/class/hwmon/hwmon1/in0_lcrit_alarm":              "0\n",
	"/sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
	"/proc/meminfo":                            "MemTotal:         948012 kB\nMemFree:          100 kB\nMemAvailable:     612004 kB\nHugePages_Total:       0\n",
	"/proc/loadavg":                            "0.12 0.20 0.18 1/123 4567\n",
	"/sys/block/mmcblk0/device/life_time":      "0x01 0x03\n",
	"/sys/block/mmcblk0/device/pre_eol_info":   "0x01\n",
	"/sys/block/mmcblk0boot0/device/life_time": "0x09 0x09\n",
	"/sys/block/mmcblk1/device/type":           "SD\n",
	"/sys/fs/ext4/mmcblk0p2/errors_count":      "0\n",
	"/sys/fs/ext4/features/lazy_itable_init":   "supported\n",
	"/proc/self/mountinfo":                     mounts,
}

const mounts = `22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw,errors=remount-ro
30 22 179:4 / /srv/a\040b ro,nosuid shared:2 master:1 - ext4 /dev/mmcblk0p4 rw
31 22 8:1 / /mnt/usb rw,nosuid - vfat /dev/sda1 ro,errors=remount-ro
32 22 8:1 / /mnt/usb/over rw - tmpfs none rw
33 22 8:1 / /mnt/usb/over ro - tmpfs none rw
34 22 7:0 / /srv/broken rw,relatime - ext4 /dev/loop0 rw,emergency_ro
35 22 7:1 / /srv/dead rw,relatime - ext4 /dev/loop1 rw,shutdown
`

// tree makes a machine of files; "" in changes leaves one out.
func tree(t *testing.T, changes map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := make(map[string]string)
	for path, content := range pi {
		files[path] = content
	}
	for path, content := range changes {
		files[path] = content
	}
	for path, content := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if content == "" {
			continue
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// at is a data folder that does not move.
func at(folder string) func() string { return func() string { return folder } }

// said is a value as text, as people and machines see it.
func said[T any](v Value[T]) string {
	if got, ok := v.Get(); ok {
		return fmt.Sprint(got)
	}
	return "not measured: " + v.Why()
}

func TestReading(t *testing.T) {
	r := NewMonitor(tree(t, nil), at("/srv/other")).Measure()
	for what, c := range map[string][2]string{
		"celsius":      {said(r.Celsius), "48.312"},
		"voltage":      {said(r.UnderVoltage), "false"},
		"throttled":    {said(r.Throttled), "false"}, // it was, but is not now
		"memory":       {said(r.MemoryTotal), "970764288"},
		"available":    {said(r.MemoryAvailable), "626692096"},
		"load":         {said(r.Load), "0.12"},
		"read-only":    {said(r.ReadOnly), "false"},
		"cards":        {fmt.Sprint(len(r.Cards)), "2"},
		"life":         {said(r.Cards[0].Used), "0.3"},
		"reserve":      {said(r.Cards[0].Reserve), "1"},
		"silent card":  {said(r.Cards[1].Used), "not measured: the card does not tell"},
		"file systems": {fmt.Sprint(len(r.FileSystems)), "1"},
		"errors":       {said(r.FileSystems[0].Errors), "0"},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %s, want %s", what, c[0], c[1])
		}
	}
	raw, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(raw), `"celsius":48.312`) || !strings.Contains(string(raw), `"life_used":"not measured: the card does not tell"`) {
		t.Errorf("%s %v", raw, err)
	}
}

func TestTrouble(t *testing.T) {
	for what, c := range map[string]struct {
		path, content string
		read          func(Reading) string
		want          string
	}{
		"weak supply":   {"/sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n", func(r Reading) string { return said(r.UnderVoltage) }, "true"},
		"slowed down":   {"/sys/devices/platform/soc/soc:firmware/get_throttled", "0x50004\n", func(r Reading) string { return said(r.Throttled) }, "true"},
		"below zero":    {"/sys/class/thermal/thermal_zone0/temp", "-12000\n", func(r Reading) string { return said(r.Celsius) }, "-12"},
		"outlived":      {"/sys/block/mmcblk0/device/life_time", "0x0b 0x01\n", func(r Reading) string { return said(r.Cards[0].Used) }, "1.1"},
		"life unknown":  {"/sys/block/mmcblk0/device/life_time", "0x00 0x00\n", func(r Reading) string { return said(r.Cards[0].Used) }, "not measured: the card does not tell"},
		"no spare left": {"/sys/block/mmcblk0/device/pre_eol_info", "0x03\n", func(r Reading) string { return said(r.Cards[0].Reserve) }, "3"},
		"no spare told": {"/sys/block/mmcblk0/device/pre_eol_info", "0x00\n", func(r Reading) string { return said(r.Cards[0].Reserve) }, "not measured: the card does not tell"},
		"disk errors":   {"/sys/fs/ext4/mmcblk0p2/errors_count", "7\n", func(r Reading) string { return said(r.FileSystems[0].Errors) }, "7"},
		"other board":   {"/sys/class/hwmon/hwmon1/name", "nct6775\n", func(r Reading) string { return said(r.UnderVoltage) }, "not measured: no driver for it"},
	} {
		r := NewMonitor(tree(t, map[string]string{c.path: c.content}), at("/srv")).Measure()
		if got := c.read(r); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}

func TestReadOnly(t *testing.T) {
	for data, want := range map[string]string{
		"/var/lib/cheeseboard": "false",
		"/srv/a b/data":        "true", // the mount
		"/srv/a b":             "true",
		"/srv/a bc":            "false", // another folder
		"/mnt/usb/data":        "true",  // the file system below it
		"/mnt/usb/over/data":   "true",  // the mount that covers another
		"/srv/broken/data":     "true",  // as Linux 6.15 and later tell it after an error
		"/srv/dead":            "true",
	} {
		if got := said(NewMonitor(tree(t, nil), at(data)).Measure().ReadOnly); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

// values are all of a reading, by name, as text.
func values(r Reading) map[string]string {
	all := map[string]string{
		"celsius": said(r.Celsius), "voltage": said(r.UnderVoltage), "throttled": said(r.Throttled), "total": said(r.MemoryTotal),
		"available": said(r.MemoryAvailable), "load": said(r.Load), "read-only": said(r.ReadOnly),
	}
	for _, c := range r.Cards {
		all[c.Name+" life"], all[c.Name+" reserve"] = said(c.Used), said(c.Reserve)
	}
	for _, f := range r.FileSystems {
		all[f.Device] = said(f.Errors)
	}
	return all
}

// TestNothing: a machine that tells nothing gives values that are not measured, and
// none that is good.
func TestNothing(t *testing.T) {
	for what, v := range values(NewMonitor(t.TempDir(), at("/srv")).Measure()) {
		if !strings.HasPrefix(v, "not measured: ") || strings.HasSuffix(v, "looked at yet") {
			t.Errorf("%s: %s", what, v)
		}
	}
	var zero Reading
	for what, v := range values(zero) {
		if !strings.HasPrefix(v, "not measured: ") {
			t.Errorf("the zero value: %s: %s", what, v)
		}
	}
}

// TestCorrupt: whatever the kernel's files hold, a value is right or not measured, and
// nothing large is read.
func TestCorrupt(t *testing.T) {
	root := tree(t, nil)
	huge := filepath.Join(root, "huge")
	if err := os.WriteFile(huge, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<40); err != nil { // of holes
		t.Logf("no huge file here: %v", err)
	}
	bad := map[string]func(path string) error{
		"huge":     func(path string) error { return os.Symlink(huge, path) },
		"EIO":      func(path string) error { return os.Symlink("/proc/self/mem", path) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o755) },
		"a loop":   func(path string) error { return os.Symlink(path, path) },
	}
	for name, content := range map[string]string{
		"empty": "\n", "binary": "\x00\xff\x7fELF", "text": "cold", "too much": "99999999999999999999999", "minus": "-999999999",
		"not a number": "NaN", "hexadecimal": "0xzz", "long": strings.Repeat("9", 3000), "half": "0x01", "line": strings.Repeat("x", most) + " - y z",
	} {
		bad[name] = func(path string) error { return os.WriteFile(path, []byte(content), 0o644) }
	}
	for name, put := range bad {
		for path := range pi {
			full := filepath.Join(root, path)
			before, err := os.ReadFile(full)
			if err != nil {
				t.Fatal(err)
			}
			good := values(machine{root, at("/srv")}.reading())
			if err := os.Remove(full); err != nil {
				t.Fatal(err)
			}
			if err := put(full); err != nil {
				t.Fatal(err)
			}
			for what, v := range values(machine{root, at("/srv")}.reading()) {
				if v != good[what] && !strings.HasPrefix(v, "not measured: ") {
					t.Errorf("%s in %s: %s is %s, not %s", name, path, what, v, good[what])
				}
			}
			if err := os.RemoveAll(full); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, before, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFresh: errors that were there before are told from those that come now.
func TestFresh(t *testing.T) {
	root := tree(t, map[string]string{"/sys/fs/ext4/mmcblk0p2/errors_count": "4\n"})
	m := NewMonitor(root, at("/srv"))
	for _, c := range []struct {
		count string
		fresh int64
	}{{"4", 0}, {"4", 0}, {"6", 2}, {"nonsense", 0}, {"7", 3}, {"0", 0}, {"1", 1}} {
		if err := os.WriteFile(filepath.Join(root, "/sys/fs/ext4/mmcblk0p2/errors_count"), []byte(c.count), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := m.Measure(); r.FileSystems[0].Fresh != c.fresh {
			t.Errorf("%s: %d are fresh, want %d", c.count, r.FileSystems[0].Fresh, c.fresh)
		}
	}
}

// TestOtherDisk: a disk that comes under the name of one that was pulled begins anew.
func TestOtherDisk(t *testing.T) {
	root := tree(t, nil)
	m := NewMonitor(root, at("/srv"))
	m.Measure()
	disk := filepath.Join(root, "/sys/fs/ext4/mmcblk0p2")
	if err := os.Rename(disk, disk+".away"); err != nil {
		t.Fatal(err)
	}
	m.Measure()
	if err := errors.Join(os.Rename(disk+".away", disk), os.WriteFile(filepath.Join(disk, "errors_count"), []byte("7"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if r := m.Measure(); r.FileSystems[0].Fresh != 0 {
		t.Errorf("%d errors of another disk are fresh", r.FileSystems[0].Fresh)
	}
}

// TestStale: a machine that answers no more is not said to be as it was.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMonitor(tree(t, nil), at("/srv"))
		if said(m.Latest().Celsius) != "not measured: not looked at yet" {
			t.Error("it is known before it was measured")
		}
		m.Measure()
		time.Sleep(stale - time.Second)
		if said(m.Latest().Celsius) != "48.312" {
			t.Error("it is forgotten too early")
		}
		time.Sleep(2 * time.Second)
		if v := said(m.Latest().Celsius); !strings.HasPrefix(v, "not measured: the machine has not answered since ") {
			t.Errorf("a minute later it is %s", v)
		}
	})
}

func FuzzMount(f *testing.F) {
	f.Add(mounts)
	f.Add("1 2 3 4 \\777 6 - 7 8 9")
	f.Fuzz(func(_ *testing.T, text string) {
		for line := range strings.Lines(text) {
			parseMount(line)
		}
		lifeUsed(text, "")
	})
}

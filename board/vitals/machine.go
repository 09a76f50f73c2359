package vitals

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// machine reads files of the kernel's.
type machine struct {
	root string // the machine's "/"
	data func() string
}

// most is the largest file that is believed to be one of the kernel's: a table of
// thousands of mounts.
const most = 1 << 20

func (m machine) file(path string) (string, error) {
	f, err := os.Open(filepath.Join(m.root, path))
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return "", err
	case len(raw) > most || bytes.IndexByte(raw, 0) >= 0:
		return "", fmt.Errorf("read %s: %w", path, errNothing)
	}
	return strings.TrimSpace(string(raw)), nil
}

// glob gives what matches, without the root.
func (m machine) glob(pattern string) []string {
	found, err := filepath.Glob(filepath.Join(m.root, pattern))
	if err != nil {
		return nil // of a pattern only
	}
	slices.Sort(found)
	for i, path := range found {
		if rel, err := filepath.Rel(m.root, path); err == nil {
			found[i] = "/" + rel
		}
	}
	return found
}

// because makes a value that was not measured, out of an error; missing says what it
// means that the file is not there.
func because[T any](err error, missing string) Value[T] {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Unknown[T](missing)
	case errors.Is(err, errNothing):
		return Unknown[T]("what the machine says makes no sense")
	}
	return Unknown[T]("it cannot be read: " + err.Error())
}

// number reads a whole number from least to most, written in a base (0: as it says
// itself).
func (m machine) number(path string, base int, least, most int64) (int64, error) {
	text, err := m.file(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, base, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("read %s: %w", path, errNothing)
	}
	return n, nil
}

func (m machine) reading() Reading {
	r := Reading{Celsius: m.celsius(), UnderVoltage: m.underVoltage(), Throttled: m.throttled(), Load: m.load(), Cards: m.cards(), FileSystems: m.fileSystems(), ReadOnly: m.readOnly()}
	r.MemoryTotal, r.MemoryAvailable = m.memory()
	return r
}

// celsius reads the first thermal zone, which is the processor's.
func (m machine) celsius() Value[float64] {
	n, err := m.number("/sys/class/thermal/thermal_zone0/temp", 10, -100_000, 200_000)
	if err != nil {
		return because[float64](err, "no sensor")
	}
	return Known(float64(n) / 1000)
}

// underVoltage asks the driver of a Pi's firmware.
func (m machine) underVoltage() Value[bool] {
	for _, folder := range m.glob("/sys/class/hwmon/hwmon*") {
		if name, err := m.file(folder + "/name"); err != nil || name != "rpi_volt" {
			continue
		}
		n, err := m.number(folder+"/in0_lcrit_alarm", 10, 0, 1)
		if err != nil {
			return because[bool](err, "no alarm")
		}
		return Known(n == 1)
	}
	return Unknown[bool]("no driver for it")
}

// throttled asks a Pi's firmware: bits 1 to 3 say that it is slowed down now.
func (m machine) throttled() Value[bool] {
	found := m.glob("/sys/devices/platform/soc*/*firmware/get_throttled")
	if len(found) == 0 {
		return Unknown[bool]("no driver for it")
	}
	text, err := m.file(found[0])
	if err != nil {
		return because[bool](err, "no driver for it")
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		return because[bool](errNothing, "")
	}
	return Known(n&0b1110 != 0)
}

func (m machine) memory() (total, available Value[int64]) {
	text, err := m.file("/proc/meminfo")
	if err != nil {
		return because[int64](err, "no /proc"), because[int64](err, "no /proc")
	}
	read := func(name string) Value[int64] {
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == name+":" && f[2] == "kB" {
				if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n >= 0 && n <= math.MaxInt64>>10 {
					return Known(n << 10)
				}
			}
		}
		return because[int64](errNothing, "")
	}
	return read("MemTotal"), read("MemAvailable")
}

func (m machine) load() Value[float64] {
	text, err := m.file("/proc/loadavg")
	if err != nil {
		return because[float64](err, "no /proc")
	}
	first, _, _ := strings.Cut(text, " ")
	n, err := strconv.ParseFloat(first, 64)
	if err != nil || !(n >= 0 && n < 1e6) {
		return because[float64](errNothing, "")
	}
	return Known(n)
}

// cards reads what cards say of their wear. Most memory cards say nothing.
func (m machine) cards() []Card {
	const silent = "the card does not tell"
	all := []Card{}
	for _, folder := range m.glob("/sys/block/mmcblk*") {
		name := filepath.Base(folder)
		if strings.Contains(name, "boot") || strings.Contains(name, "rpmb") {
			continue // a part of another
		}
		c := Card{Name: name}
		if text, err := m.file(folder + "/device/life_time"); err != nil {
			c.Used = because[float64](err, silent)
		} else {
			c.Used = lifeUsed(text, silent)
		}
		switch n, err := m.number(folder+"/device/pre_eol_info", 0, 0, 3); {
		case err != nil:
			c.Reserve = because[Reserve](err, silent)
		case n == 0:
			c.Reserve = Unknown[Reserve](silent)
		default:
			c.Reserve = Known(Reserve(n))
		}
		all = append(all, c)
	}
	return all
}

// lifeUsed reads two numbers of tenths, each 0 where it is not known.
func lifeUsed(text, silent string) Value[float64] {
	worst := int64(0)
	fields := strings.Fields(text)
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 0, 64)
		if err != nil || n < 0 || n > 11 {
			return because[float64](errNothing, "")
		}
		worst = max(worst, n)
	}
	switch {
	case len(fields) != 2:
		return because[float64](errNothing, "")
	case worst == 0:
		return Unknown[float64](silent)
	}
	return Known(float64(worst) / 10)
}

func (m machine) fileSystems() []FileSystem {
	all := []FileSystem{}
	for _, path := range m.glob("/sys/fs/ext4/*/errors_count") {
		f := FileSystem{Device: filepath.Base(filepath.Dir(path))}
		if n, err := m.number(path, 10, 0, math.MaxUint32); err != nil {
			f.Errors = because[int64](err, "the kernel does not tell")
		} else {
			f.Errors = Known(n)
		}
		all = append(all, f)
	}
	return all
}

// readOnly looks for the mount that the data folder is in. The kernel makes the mount,
// or the file system below it, read-only after errors.
func (m machine) readOnly() Value[bool] {
	text, err := m.file("/proc/self/mountinfo")
	if err != nil {
		return because[bool](err, "no /proc")
	}
	data := m.data()
	if data == "" {
		return Unknown[bool]("the data folder is closed")
	}
	longest, found := -1, Value[bool]{}
	for line := range strings.Lines(text) {
		point, options, ok := parseMount(line)
		if !ok || !within(data, point) || len(point) < longest {
			continue
		}
		longest = len(point) // of several at one place the last one counts
		found = Known(slices.ContainsFunc(options, unwritable))
	}
	if longest < 0 {
		return because[bool](errNothing, "")
	}
	return found
}

// unwritable tells whether an option of a mount says that nothing can be written. After
// an error ext4 says no "ro" any more from Linux 6.15 on.
func unwritable(option string) bool {
	return option == "ro" || option == "emergency_ro" || option == "shutdown"
}

// parseMount reads a line of mountinfo (proc_pid_mountinfo(5)): where it is mounted,
// and the options of the mount and of its file system.
func parseMount(line string) (point string, options []string, ok bool) {
	head, tail, ok := strings.Cut(line, " - ")
	before, after := strings.Fields(head), strings.Fields(tail)
	if !ok || len(before) < 6 || len(after) < 3 {
		return "", nil, false
	}
	return unescape(before[4]), append(strings.Split(before[5], ","), strings.Split(after[2], ",")...), true
}

// unescape undoes what the kernel does with spaces in a path: \040.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

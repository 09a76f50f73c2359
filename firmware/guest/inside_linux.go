package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reportMark begins a report on the console, after whatever the kernel has put before it.
const reportMark = "\x02report "

// Scene is what is played in a guest. An error fails the test outside.
type Scene func(s *Stage) error

// Stage is what a scene has.
type Stage struct{ began time.Time }

// Main runs the tests; in a guest, it plays the scene that the kernel's command line
// names, and switches the machine off.
func Main(m *testing.M, scenes map[string]Scene) {
	if os.Getpid() != 1 {
		os.Exit(m.Run())
	}
	s := &Stage{began: time.Now()}
	if err := s.play(scenes); err != nil {
		s.Report("failed", err.Error())
	}
	// Whoever reads the console must have all of it.
	unix.Sync()
	<-time.After(100 * time.Millisecond)
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		panic(err)
	}
}

func (s *Stage) play(scenes map[string]Scene) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	if err := setUp(); err != nil {
		return err
	}
	raw, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	name := ""
	for word := range strings.FieldsSeq(string(raw)) {
		if after, ok := strings.CutPrefix(word, "scene="); ok {
			name = after
		}
	}
	scene := scenes[name]
	if scene == nil {
		return fmt.Errorf("there is no scene %q", name)
	}
	s.Report("booted", nil)
	if err := scene(s); err != nil {
		return err
	}
	s.Report("ended", nil)
	return nil
}

// setUp mounts what every program expects, loads the modules, and brings loopback up.
func setUp() error {
	for _, m := range []struct{ kind, path string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
	} {
		if err := os.MkdirAll(m.path, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.path, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.path, err)
		}
	}
	order, err := os.ReadFile("/modules/order")
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(order)) {
		if err := load(filepath.Join("/modules", name)); err != nil {
			return err
		}
	}
	// After the modules: some of them have folders in it.
	if err := unix.Mount("configfs", "/sys/kernel/config", "configfs", 0, ""); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("mount configfs: %w", err)
	}
	return loopback()
}

// load gives the kernel a module.
func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	if err = unix.FinitModule(int(f.Fd()), "", 0); errors.Is(err, unix.EEXIST) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("load %s: %w", filepath.Base(path), err)
	}
	return errors.Join(err, f.Close())
}

// loopback brings the interface lo up; the kernel gives it its addresses.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	request, err := unix.NewIfreq("lo")
	if err == nil {
		request.SetUint16(unix.IFF_UP)
		err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
	}
	return errors.Join(err, unix.Close(fd))
}

// Report tells the test outside something that can be marshalled.
func (s *Stage) Report(name string, value any) {
	raw, err := json.Marshal(struct {
		Name  string `json:"name"`
		Value any    `json:"value,omitempty"`
	}{name, value})
	if err != nil {
		panic(err) // a scene that reports what is no value
	}
	fmt.Printf("\n%s%s\n", reportMark, raw)
}

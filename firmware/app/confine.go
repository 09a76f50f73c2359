package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cheeseboard/board/clock"
	"cheeseboard/firmware/config"
	"cheeseboard/firmware/confine"
)

// What a box reads besides its data folder: names and where they are asked for, roots
// of certificates, the zone of its clock, and how the machine and its network are. All
// of /etc, since resolv.conf and others there are replaced by new files now and then,
// which a rule for the old one would not cover.
var surroundings = []string{
	"/etc", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman",
	"/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki", "/usr/share/zoneinfo",
	"/proc/self", "/proc/uptime", "/proc/stat", "/proc/meminfo", "/proc/loadavg", "/proc/sys/kernel/random", "/proc/sys/net", "/sys",
}

// appliances are the devices of a board: the watchdog, the clock, lines. Lights are links
// in /sys/class/leds: the panel names where they lead to.
var appliances = []string{
	"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/watchdog", "/dev/watchdog0", "/dev/rtc0",
	"/dev/gpiochip0", "/dev/gpiochip1", "/dev/gpiochip4", "/dev/ttyGS0", "/dev/vcio",
}

// Confine takes away from this process what the box does not need of the file system,
// for good. It is for programs that do nothing but serve this box, and is called
// before Serve. Where the kernel does not allow it, the log says so.
func (a *App) Confine() error {
	c := a.config
	if !c.Confine.Process {
		return nil
	}
	write := append([]string{a.Store.Dir(), c.Data}, c.Confine.MoveTo...)
	for i, path := range write {
		if full, err := filepath.Abs(path); err == nil {
			write[i] = full
		}
	}
	use := slices.Concat(a.panel.devices(), c.Console.Ports, appliances)
	if c.Modem.Port != "" {
		use = append(use, c.Modem.Port)
	}
	version, err := confine.Apply(confine.Access{Write: write, Read: readable(c), Use: use, Run: a.panel.programs()})
	if errors.Is(err, confine.ErrUnsupported) {
		a.log.Info("the process is not confined to its data folder", "reason", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; confine.process = false does without", err)
	}
	a.confined = write
	a.log.Info("the process is confined to its data folder", "landlock", version, "also", c.Confine.MoveTo)
	return nil
}

// readable is what may be read besides.
func readable(c config.Config) []string {
	paths := append(clock.LeaseFolders(), surroundings...)
	if c.Stick.Folder != "" {
		paths = append(paths, c.Stick.Folder) // what the init mounts there
	}
	files := []string{c.TLS.Certificate, c.TLS.Key, c.Upstream.CAFile, os.Getenv("SSL_CERT_FILE")}
	for _, file := range files {
		if file == "" {
			continue
		}
		// Folders: files are replaced, and lead to others.
		paths = append(paths, filepath.Dir(file))
		if real, err := filepath.EvalSymlinks(file); err == nil {
			paths = append(paths, filepath.Dir(real))
		}
	}
	return append(paths, filepath.SplitList(os.Getenv("SSL_CERT_DIR"))...)
}

// mayMove refuses a folder that a confined process cannot write.
func (a *App) mayMove(to string) error {
	if a.confined == nil {
		return nil
	}
	// What is not there yet will be made in what is.
	real, missing := to, ""
	for {
		resolved, err := filepath.EvalSymlinks(real)
		if err == nil {
			real = filepath.Join(resolved, missing)
			break
		}
		if real == filepath.Dir(real) {
			break
		}
		real, missing = filepath.Dir(real), filepath.Join(filepath.Base(real), missing)
	}
	for _, folder := range a.confined {
		if resolved, err := filepath.EvalSymlinks(folder); err == nil {
			folder = resolved
		}
		if real == folder || strings.HasPrefix(real, strings.TrimSuffix(folder, "/")+"/") {
			return nil
		}
	}
	return fmt.Errorf("this box is confined, and cannot write to %s: add a folder above it to confine.move-to and start the box anew, or stop the box: then cheeseboard move does it by itself", to)
}

package clock

import (
	"bufio"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Facts are what the machine says of its clock.
type Facts struct {
	Kept bool // a program keeps it: the kernel counts it as synchronised
	// RTC is what the clock shows that runs while the machine is off; zero: there is
	// none.
	RTC time.Time
	// Board: the machine is described by a device tree, as boards are. Others bring
	// the time of day with them at each start, and guests that of their host.
	Board bool
}

// Look reads the facts from /sys below root, and asks the kernel who keeps the clock.
func Look(root string) Facts {
	f := Facts{Kept: kept()}
	if _, err := os.Stat(filepath.Join(root, "sys/firmware/devicetree/base")); err == nil {
		f.Board = true
	}
	raw, err := os.ReadFile(filepath.Join(root, "sys/class/rtc/rtc0/since_epoch"))
	if seconds, bad := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && bad == nil {
		f.RTC = time.Unix(seconds, 0)
	}
	return f
}

// Doubt says whether a clock that shows now has to be verified before it is believed.
// floor is the latest time that this box has written down as over, or built. What is
// written down may be wrong: it says nothing against a clock that somebody keeps, nor
// against that of a machine that is no board, if it shows a time that can be.
func (f Facts) Doubt(now, floor, built time.Time) bool {
	switch {
	case f.Kept:
		return false
	case now.Before(built.Add(-time.Second)), now.Sub(built) > horizon:
		return true
	case !f.Board:
		return false
	case now.Before(floor.Add(-time.Second)):
		return true
	}
	// A clock that runs on a battery and agrees with the system's set it at the start.
	apart := now.Round(0).Sub(f.RTC.Round(0))
	return f.RTC.Before(built) || apart > Enough || apart < -Enough
}

// leases are where the programs that speak DHCP write what they were told.
var leases = []string{
	"run/systemd/netif/leases/*", "var/lib/dhcp/*.leases", "var/lib/dhcpcd/*.lease", "run/NetworkManager/devices/*",
}

// LeaseFolders are what has to be readable for LeaseServers.
func LeaseFolders() []string {
	var out []string
	for _, pattern := range leases {
		out = append(out, "/"+filepath.Dir(pattern))
	}
	return out
}

// LeaseServers lists the time servers that DHCP named, at most four: the state files of
// systemd-networkd (NTP=) and the leases of dhclient (option ntp-servers), below root.
func LeaseServers(root string) []string {
	var out []string
	for _, pattern := range leases {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			continue // a pattern of ours is not malformed
		}
		for _, file := range files {
			out = append(out, leaseServers(file)...)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), 4)]
}

func leaseServers(file string) (out []string) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		list, ok := strings.CutPrefix(line, "NTP=")
		if !ok {
			list, ok = strings.CutPrefix(line, "option ntp-servers ")
		}
		if !ok {
			continue
		}
		for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
			if a, err := netip.ParseAddr(word); err == nil && !a.IsUnspecified() {
				out = append(out, a.String())
			}
		}
	}
	return out // a line that is too long ends it: such a file is no lease
}

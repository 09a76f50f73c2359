package pypi

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The operating systems of a Platform.
const (
	osLinux   = "linux"
	osMacOS   = "macos"
	osWindows = "windows"
)

// Platform is a kind of machine that packages are installed on.
type Platform struct {
	OS    string // "linux", "macos", "windows"
	Arch  string // as in wheel tags: "x86_64", "aarch64", "armv7l", "arm64", "amd64" …
	Glibc [2]int // of Linux: the version of its C library, such as 2.36; zero for none
	Musl  [2]int // likewise where the C library is musl, such as 1.2
	MacOS [2]int // of macOS: its version, such as 14.0
}

// The versions that ParsePlatform assumes. A newer one accepts more wheels, so
// these are not the newest there are but those of systems in wide use: Debian
// 12 and its Raspberry Pi OS, Alpine, macOS Sonoma.
var (
	defaultGlibc = [2]int{2, 36}
	defaultMusl  = [2]int{1, 2}
	defaultMacOS = [2]int{14, 0}
)

// architectures lists for each operating system what its architectures are
// called, with other names for them.
var architectures = map[string]map[string]string{
	osLinux: {
		"x86_64": "x86_64", "amd64": "x86_64", "i686": "i686", "x86": "i686",
		"aarch64": "aarch64", "arm64": "aarch64", "armv7l": "armv7l", "armv6l": "armv6l",
		"ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64", "loongarch64": "loongarch64",
	},
	osMacOS:   {"arm64": "arm64", "aarch64": "arm64", "x86_64": "x86_64"},
	osWindows: {"amd64": "amd64", "x86_64": "amd64", "x86": "x86", "arm64": "arm64"},
}

// ParsePlatform reads the name of a platform as it stands in a configuration:
// an operating system ("linux" with glibc, "musllinux", "macos", "windows"), an
// architecture, and for all but Windows, where it matters, the version of the C
// library or of macOS: "linux-x86_64", "linux-aarch64-2.31",
// "musllinux-x86_64", "macos-arm64-13.0", "windows-amd64".
func ParsePlatform(s string) (Platform, error) {
	system, rest, _ := strings.Cut(s, "-")
	arch, version, versioned := strings.Cut(rest, "-")
	p := Platform{OS: system}
	if system == "musllinux" {
		p.OS = osLinux
	}
	known, ok := architectures[p.OS]
	if !ok {
		return Platform{}, fmt.Errorf("parse platform %.80q: begins with none of linux, musllinux, macos, windows", s)
	}
	if p.Arch, ok = known[arch]; !ok {
		names := slices.Sorted(maps.Values(known))
		return Platform{}, fmt.Errorf("parse platform %.80q: the architecture of %s is one of %s",
			s, system, strings.Join(slices.Compact(names), ", "))
	}
	field, value, majors := p.versionOf(system)
	if field == nil {
		if versioned {
			return Platform{}, fmt.Errorf("parse platform %.80q: %s takes no version", s, system)
		}
		return p, nil
	}
	*field = value
	if versioned {
		v, err := parseTwoNumbers(version)
		if err != nil || v[0] < majors[0] || v[0] > majors[1] {
			return Platform{}, fmt.Errorf("parse platform %.80q: %.20q is not a version such as %d.%d",
				s, version, value[0], value[1])
		}
		*field = v
	}
	return p, nil
}

// versionOf gives the field of p that holds the version of this system, what it
// is by default, and the least and the greatest first number that it can have.
func (p *Platform) versionOf(system string) (field *[2]int, value, majors [2]int) {
	switch system {
	case osLinux:
		return &p.Glibc, defaultGlibc, [2]int{2, 2}
	case "musllinux":
		return &p.Musl, defaultMusl, [2]int{1, 1}
	case osMacOS:
		return &p.MacOS, defaultMacOS, [2]int{10, 99}
	}
	return nil, value, majors
}

// parseTwoNumbers reads two numbers under 100 with a dot between them.
func parseTwoNumbers(s string) ([2]int, error) {
	var v [2]int
	first, second, _ := strings.Cut(s, ".")
	for i, digits := range []string{first, second} {
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil {
			return v, fmt.Errorf("parse version %.20q: %w", s, err)
		}
		if n > 99 {
			return v, fmt.Errorf("parse version %.20q: a number over 99", s)
		}
		v[i] = int(n)
	}
	return v, nil
}

// String gives the name that ParsePlatform reads, with the version where it is
// not the default.
func (p Platform) String() string {
	system, version, usual := p.OS, [2]int{}, [2]int{}
	switch {
	case p.OS == osLinux && p.Musl != [2]int{}:
		system, version, usual = "musllinux", p.Musl, defaultMusl
	case p.OS == osLinux:
		version, usual = p.Glibc, defaultGlibc
	case p.OS == osMacOS:
		version, usual = p.MacOS, defaultMacOS
	}
	if version == usual {
		return system + "-" + p.Arch
	}
	return fmt.Sprintf("%s-%s-%d.%d", system, p.Arch, version[0], version[1])
}

// tags returns the platform tags of wheels that run here, the best one first.
func (p Platform) tags() []string {
	switch p.OS {
	case osLinux:
		return p.linuxTags()
	case osMacOS:
		return p.macTags()
	case osWindows:
		if p.Arch == "x86" {
			return []string{"win32"}
		}
		return []string{"win_" + p.Arch}
	}
	return nil
}

// manylinuxArchitectures are those that wheels for glibc are made for (PEP
// 600), with the second number of the oldest glibc 2 that counts.
var manylinuxArchitectures = map[string]int{
	"x86_64": 5, "i686": 5,
	"aarch64": 17, "armv7l": 17, "ppc64le": 17, "ppc64": 17, "s390x": 17, "riscv64": 17, "loongarch64": 17,
}

// manylinuxNames are the older names for some versions of glibc 2 (PEP 513,
// 571, 599).
var manylinuxNames = map[int]string{17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

// linuxTags are the native tag and those of the C library (PEP 600, PEP 656).
func (p Platform) linuxTags() []string {
	tags := []string{"linux_" + p.Arch}
	if oldest, ok := manylinuxArchitectures[p.Arch]; ok && p.Glibc[0] == 2 {
		for minor := p.Glibc[1]; minor >= oldest; minor-- {
			tags = append(tags, fmt.Sprintf("manylinux_2_%d_%s", minor, p.Arch))
			if name, ok := manylinuxNames[minor]; ok {
				tags = append(tags, name+"_"+p.Arch)
			}
		}
	}
	if p.Musl[0] > 0 {
		for minor := p.Musl[1]; minor >= 0; minor-- {
			tags = append(tags, fmt.Sprintf("musllinux_%d_%d_%s", p.Musl[0], minor, p.Arch))
		}
	}
	return tags
}

// macTags are those of this macOS and all before it. Up to 10.16 each year was
// a minor version, from 11 on each is a major one; the first Mac with ARM came
// with 11, so that of what is older it runs only what was built for both.
func (p Platform) macTags() []string {
	var tags []string
	add := func(major, minor int, formats []string) {
		for _, format := range formats {
			tags = append(tags, fmt.Sprintf("macosx_%d_%d_%s", major, minor, format))
		}
	}
	for major := p.MacOS[0]; major >= 11; major-- {
		add(major, 0, macFormats(p.Arch))
	}
	switch {
	case p.MacOS[0] == 10:
		for minor := p.MacOS[1]; minor >= macOldest(p.Arch); minor-- {
			add(10, minor, macFormats(p.Arch))
		}
	case p.MacOS[0] > 10:
		for minor := 16; minor >= 4; minor-- {
			if p.Arch == "x86_64" {
				add(10, minor, macFormats(p.Arch))
			} else {
				add(10, minor, []string{"universal2"})
			}
		}
	}
	return tags
}

// macOldest is the minor version of the first macOS 10 with 64 bits.
func macOldest(arch string) int {
	if arch == "x86_64" {
		return 4
	}
	return 0
}

// macFormats are the binary formats that an architecture runs.
func macFormats(arch string) []string {
	if arch == "x86_64" {
		return []string{"x86_64", "intel", "fat64", "fat3", "universal2", "universal"}
	}
	return []string{arch, "universal2"}
}

package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// mendedModules must not come from the module cache.
var mendedModules = []string{"github.com/dgraph-io/badger/v4", "github.com/dgraph-io/ristretto/v2"}

// machines are the architectures that are built for: GOARCH to ELF.
var machines = map[string]struct {
	class   elf.Class
	machine elf.Machine
}{
	"amd64": {elf.ELFCLASS64, elf.EM_X86_64},
	"arm64": {elf.ELFCLASS64, elf.EM_AARCH64},
	"arm":   {elf.ELFCLASS32, elf.EM_ARM},
	"386":   {elf.ELFCLASS32, elf.EM_386},
}

// inspect checks one file; the error says everything that is wrong with it.
func inspect(file, target, version string) error {
	parts := strings.Split(target, "/")
	if len(parts) < 2 || parts[0] != "linux" {
		return fmt.Errorf("the target %q is not linux/ARCH", target)
	}
	program, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = program.Close() }() // it was only read
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	faults := append(checkELF(program, parts[1]), checkBuild(info, parts[1:])...)
	if !bytes.Contains(content, []byte(version)) {
		faults = append(faults, fmt.Errorf("the version %s is not stamped into it", version))
	}
	return errors.Join(faults...)
}

// checkELF looks at what the kernel and the loader will see.
func checkELF(program *elf.File, goarch string) (faults []error) {
	want, ok := machines[goarch]
	if !ok {
		return []error{fmt.Errorf("the architecture %q is not known here", goarch)}
	}
	if program.Class != want.class || program.Machine != want.machine {
		faults = append(faults, fmt.Errorf("it is for %v, not %v", program.Machine, want.machine))
	}
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			faults = append(faults, fmt.Errorf("it is not statically linked: it has a %v segment", segment.Type))
		}
	}
	for _, section := range program.Sections {
		if section.Type == elf.SHT_SYMTAB || strings.HasPrefix(section.Name, ".debug_") || strings.HasPrefix(section.Name, ".zdebug_") {
			faults = append(faults, fmt.Errorf("it is not stripped: it has %s", section.Name))
		}
	}
	return faults
}

// checkBuild looks at what the go command noted about the build. arch is GOARCH
// and, for arm, GOARM.
func checkBuild(info *debug.BuildInfo, arch []string) (faults []error) {
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	// A later ARM version would start and then die of an illegal instruction.
	if len(arch) > 1 {
		if version, _, _ := strings.Cut(settings["GOARM"], ","); version != arch[1] {
			faults = append(faults, fmt.Errorf("it is for ARM version %s, not %s", version, arch[1]))
		}
	}
	if settings["CGO_ENABLED"] != "0" {
		faults = append(faults, errors.New("it was built with cgo"))
	}
	if settings["-trimpath"] != "true" {
		faults = append(faults, errors.New("it was built without -trimpath"))
	}
	for _, dep := range info.Deps {
		if slices.Contains(mendedModules, dep.Path) && dep.Replace == nil {
			faults = append(faults, fmt.Errorf("it contains %s %s unmended, which can lose data", dep.Path, dep.Version))
		}
	}
	return faults
}

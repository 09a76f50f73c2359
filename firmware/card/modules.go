package card

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Module is a Go module, as `go list -m -json` and `go mod download -json` tell of it.
type Module struct {
	Path    string
	Version string
	Sum     string // of go.sum
	Dir     string // where its files are
	Main    bool
	Replace *Module // stands in for it
}

// ReadModules reads what `go list -m -json` or `go mod download -json` print: modules,
// one after the other.
func ReadModules(r io.Reader) ([]Module, error) {
	var modules []Module
	for in := json.NewDecoder(r); ; {
		var m Module
		if err := in.Decode(&m); errors.Is(err, io.EOF) {
			return modules, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the list of modules: %w", err)
		}
		if m.Replace != nil {
			m.Dir = m.Replace.Dir
		}
		modules = append(modules, m)
	}
}

// Find gives the module of a path.
func Find(modules []Module, path string) (Module, error) {
	i := slices.IndexFunc(modules, func(m Module) bool { return m.Path == path })
	if i < 0 || modules[i].Dir == "" {
		return Module{}, fmt.Errorf("the list of modules does not say where %s is", path)
	}
	return modules[i], nil
}

// linked gives the modules that programs consist of, besides their own, with the folders
// that the list names, and the version of Go.
func linked(list []Module, programs ...string) (modules []Module, goVersion string, err error) {
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return nil, "", fmt.Errorf("read what %s consists of: %w", program, err)
		}
		goVersion = info.GoVersion
		for _, dep := range info.Deps {
			m, err := Find(list, dep.Path)
			if err != nil {
				return nil, "", err
			}
			m.Version, m.Sum = dep.Version, dep.Sum
			if slices.ContainsFunc(modules, func(have Module) bool { return have.Path == m.Path }) {
				continue
			}
			modules = append(modules, m)
		}
	}
	slices.SortFunc(modules, func(a, b Module) int { return cmp.Compare(a.Path, b.Path) })
	return modules, goVersion, nil
}

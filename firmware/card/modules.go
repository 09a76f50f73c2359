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

// Module is a Go module, as the go command tells of it.
type Module struct {
	Path    string
	Version string
	Sum     string  // of go.sum
	Dir     string  // where its files are
	Replace *Module // stands in for it
}

// ReadModules reads what `go mod download -json` prints, modules one after the other, and
// `go list -deps -json=Module`, packages that name their modules.
func ReadModules(r io.Reader) ([]Module, error) {
	var modules []Module
	for in := json.NewDecoder(r); ; {
		var m struct {
			Module
			Of *Module `json:"Module"` // of a package; those of Go itself have none
		}
		if err := in.Decode(&m); errors.Is(err, io.EOF) {
			return modules, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the list of modules: %w", err)
		}
		if m.Of != nil {
			m.Module = *m.Of
		}
		if m.Replace != nil {
			m.Dir = m.Replace.Dir
		}
		if m.Path != "" && !slices.ContainsFunc(modules, func(have Module) bool { return have.Path == m.Path }) {
			modules = append(modules, m.Module)
		}
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

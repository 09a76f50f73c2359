// Package uevent loads the kernel's modules for the devices that are there, and for those
// that come: each device names what it is in its file modalias, and depmod has written
// down which module is for that.
package uevent

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// alias is a line of modules.alias: a pattern, and the module for what matches it.
type alias struct {
	fixed   string // the pattern up to the first character that stands for others
	pattern string
	module  string
}

// Modules knows the modules of a kernel, in one or several folders as depmod leaves them.
// Its methods may be called concurrently.
type Modules struct {
	load func(path string) error
	log  *slog.Logger

	mu      sync.Mutex
	aliases map[string][]alias  // by what stands before the first colon: "usb", "of"
	files   map[string]string   // where each module lies, by its name
	needs   map[string][]string // names of those that go before it
	tried   map[string]bool
}

// New makes Modules that know none. load gives the kernel a file; one that is there
// already is no error.
func New(load func(path string) error, log *slog.Logger) *Modules {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Modules{
		load: load, log: log, aliases: make(map[string][]alias), files: make(map[string]string),
		needs: make(map[string][]string), tried: make(map[string]bool),
	}
}

// Add reads the lists of a folder (modules.dep, modules.alias, modules.softdep). A folder
// that is not there adds nothing.
func (m *Modules) Add(folder string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.tried) // what was not found may be found now
	for _, list := range []struct {
		name string
		read func(line string)
	}{
		{"modules.dep", func(line string) { m.addFile(folder, line) }},
		{"modules.alias", m.addAlias},
		{"modules.softdep", m.addSoft},
	} {
		f, err := os.Open(filepath.Join(folder, list.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the list of modules: %w", err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			list.read(lines.Text())
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return fmt.Errorf("read the list of modules %s: %w", list.name, err)
		}
	}
	return nil
}

func (m *Modules) addFile(folder, line string) {
	file, rest, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	name := moduleName(file)
	m.files[name] = filepath.Join(folder, filepath.FromSlash(file))
	var needs []string
	// The one that needs nothing stands last.
	for _, need := range slices.Backward(strings.Fields(rest)) {
		needs = append(needs, moduleName(need))
	}
	m.needs[name] = append(needs, m.needs[name]...)
}

func (m *Modules) addAlias(line string) {
	words := strings.Fields(line)
	if len(words) != 3 || words[0] != "alias" {
		return
	}
	kind, _, ok := strings.Cut(words[1], ":")
	if !ok {
		return // a name, not a device
	}
	fixed := words[1]
	if i := strings.IndexAny(fixed, `*?[\`); i >= 0 {
		fixed = fixed[:i]
	}
	m.aliases[kind] = append(m.aliases[kind], alias{fixed, words[1], moduleName(words[2])})
}

// addSoft reads what a module works better with: softdep NAME pre: A B post: C.
func (m *Modules) addSoft(line string) {
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "softdep" {
		return
	}
	name, pre := moduleName(words[1]), false
	for _, word := range words[2:] {
		switch {
		case strings.HasSuffix(word, ":"):
			pre = word == "pre:"
		case pre:
			m.needs[name] = append(m.needs[name], moduleName(word))
		}
	}
}

// moduleName is a module's name without folder, endings, and the choice of hyphens.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}

// For loads the modules for a device by its modalias.
func (m *Modules) For(modalias string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tried[modalias] {
		return
	}
	m.tried[modalias] = true
	kind, _, _ := strings.Cut(modalias, ":")
	for _, a := range m.aliases[kind] {
		if !strings.HasPrefix(modalias, a.fixed) {
			continue
		}
		if ok, err := path.Match(a.pattern, modalias); err == nil && ok {
			m.insert(a.module, 0)
		}
	}
}

// Load loads modules by their names; one that is not known is passed over.
func (m *Modules) Load(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		m.insert(moduleName(name), 0)
	}
}

// deepest bounds how long a chain of needs may be: lists can name one another.
const deepest = 16

// insert loads a module after what it needs. Under the lock.
func (m *Modules) insert(name string, depth int) {
	mark := "module " + name
	file := m.files[name]
	if m.tried[mark] || file == "" || depth > deepest {
		return
	}
	m.tried[mark] = true
	for _, need := range m.needs[name] {
		m.insert(need, depth+1)
	}
	if err := m.load(file); err != nil {
		m.log.Warn("a module could not be loaded", "module", name, "reason", err)
		return
	}
	m.log.Debug("a module is loaded", "module", name)
}

// All loads the modules for all devices below root.
func (m *Modules) All(root string) error {
	if m.none() {
		return nil // the kernel makes a device's files when they are looked for: thousands of them
	}
	err := filepath.WalkDir(filepath.Join(root, "sys", "devices"), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it has gone meanwhile
			}
			return err
		}
		if d.Name() == "modalias" && !d.IsDir() {
			m.file(p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for devices: %w", err)
	}
	return nil
}

// none tells that no module is known for any device.
func (m *Modules) none() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.aliases) == 0
}

// Device loads the modules for one device, by its path below /sys of root.
func (m *Modules) Device(root, device string) {
	m.file(filepath.Join(root, "sys", filepath.FromSlash(device), "modalias"))
}

func (m *Modules) file(p string) {
	if text, err := os.ReadFile(p); err == nil { // most devices have none
		m.For(strings.TrimSpace(string(text)))
	}
}

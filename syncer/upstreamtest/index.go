package upstreamtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cheeseboard/storage/pypi"
)

// serialStep is what one change adds to the serial. It is more than one because
// PyPI's serials skip as well.
const serialStep = 3

const firstSerial = 20_000_000

// Index is a set of projects that can change while it is served. All methods
// may be called concurrently. Each change adds to the serial and is seen by the
// next request as a whole. The index has a clock of its own, one hour per
// change, so that the same changes give the same pages.
type Index struct {
	mu       sync.RWMutex
	serial   int64
	now      time.Time
	projects map[pypi.Name][]state // every state that each project was in; the last one holds
	byPath   map[string]*file      // what can be downloaded now
	journal  []event               // what the change feed tells, by serial
}

// state is one project at one serial. It never changes.
type state struct {
	name     pypi.Name
	display  string
	status   pypi.Status
	files    []*file
	versions []string
	serial   int64
	modified time.Time
	gone     bool // the project was removed
}

// NewIndex makes an index without projects.
func NewIndex() *Index {
	return &Index{
		serial:   firstSerial,
		now:      time.Date(2024, 1, 1, 0, 0, 0, 123456000, time.UTC),
		projects: make(map[pypi.Name][]state),
		byPath:   make(map[string]*file),
	}
}

// twin gives an index like x, which goes its own way from there. They have files and
// states in common, which never change.
func (x *Index) twin() *Index {
	x.mu.RLock()
	defer x.mu.RUnlock()
	twin := &Index{
		serial: x.serial, now: x.now, byPath: maps.Clone(x.byPath), journal: slices.Clone(x.journal),
		projects: make(map[pypi.Name][]state, len(x.projects)),
	}
	for name, history := range x.projects {
		twin.projects[name] = slices.Clone(history)
	}
	return twin
}

// ReplaceFile puts other bytes under a name that is there, as PyPI would never
// do but other indexes do. URL, digests and upload time change with them.
func (x *Index) ReplaceFile(project, filename string, content []byte, facts Facts) error {
	return x.change(project, filename, []string{"remove file " + filename, addAction(filename)}, func(*file) (*file, error) {
		return newFile(filename, content, facts, x.now)
	})
}

// AddProject adds a project without files.
func (x *Index) AddProject(project string) error {
	name, err := pypi.ParseName(project)
	if err != nil {
		return fmt.Errorf("add project: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.current(name); ok {
		return fmt.Errorf("add project %s: it is there already", name)
	}
	x.commit(state{name: name, display: project}, event{action: "create"})
	return nil
}

// Yank marks a file as yanked (PEP 592); the reason may be empty.
func (x *Index) Yank(project, filename, reason string) error {
	return x.change(project, filename, []string{"yank release"}, func(f *file) (*file, error) {
		f.yanked, f.yankReason = true, reason
		return f, nil
	})
}

// Unyank takes the mark off again.
func (x *Index) Unyank(project, filename string) error {
	return x.change(project, filename, []string{"unyank release"}, func(f *file) (*file, error) {
		f.yanked, f.yankReason = false, ""
		return f, nil
	})
}

// SetProvenance states the URL of a file's attestations (PEP 740); "" for none.
// The change feed does not tell of it.
func (x *Index) SetProvenance(project, filename, url string) error {
	return x.change(project, filename, nil, func(f *file) (*file, error) {
		f.provenance = url
		return f, nil
	})
}

// SetUploadTime changes what the index states as a file's upload time (PEP 700).
// The change feed does not tell of it.
func (x *Index) SetUploadTime(project, filename string, t time.Time) error {
	return x.change(project, filename, nil, func(f *file) (*file, error) {
		f.uploaded = t.UTC()
		return f, nil
	})
}

// RemoveFile takes a file off its page; its URL answers 404 from then on.
func (x *Index) RemoveFile(project, filename string) error {
	return x.change(project, filename, []string{"remove file " + filename}, func(*file) (*file, error) { return nil, nil })
}

// RemoveProject takes a project away: its page answers 404, and the root list
// does not name it.
func (x *Index) RemoveProject(project string) error {
	return x.alter(project, func(s *state) (action string) {
		s.files, s.gone = nil, true
		return "remove project"
	})
}

// SetStatus sets a project's status (PEP 792). A quarantined project offers no
// files and is not in the root list, but keeps its files for when it is cleared.
// The change feed tells of quarantine only, as PyPI's does.
func (x *Index) SetStatus(project, status, reason string) error {
	return x.alter(project, func(s *state) (action string) {
		was := s.status.State
		s.status = pypi.Status{State: status, Reason: reason}
		switch pypi.StatusQuarantined {
		case was:
			return "project quarantine cleared"
		case status:
			return "project quarantined"
		}
		return ""
	})
}

// Serial is the highest serial: that of the last change.
func (x *Index) Serial() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.serial
}

// Projects are the names in the root list, sorted.
func (x *Index) Projects() []pypi.Name {
	var names []pypi.Name
	for _, s := range x.list() {
		names = append(names, s.name)
	}
	return names
}

// Filenames are the files on a project's page, in its order; nil for a project
// that is not there.
func (x *Index) Filenames(project string) []string {
	history := x.history(project)
	if len(history) == 0 {
		return nil
	}
	var names []string
	for _, f := range history[len(history)-1].offered() {
		names = append(names, f.filename)
	}
	return names
}

// Content returns the bytes of a file, wherever it is; false if no project has
// it, or if it was added by AddBulk. They must not be changed.
func (x *Index) Content(filename string) ([]byte, bool) {
	if f := x.findFile(filename); f != nil && f.bulk == nil {
		return f.content, true
	}
	return nil, false
}

// Metadata returns the bytes that are offered as FILE.metadata.
func (x *Index) Metadata(filename string) ([]byte, bool) {
	if f := x.findFile(filename); f != nil && f.metadata != nil {
		return f.metadata, true
	}
	return nil, false
}

// Path is the path of a file's URL; "" if no project has the file.
func (x *Index) Path(filename string) string {
	if f := x.findFile(filename); f != nil {
		return f.path
	}
	return ""
}

func (x *Index) findFile(filename string) *file {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, f := range x.byPath {
		if f.filename == filename {
			return f
		}
	}
	return nil
}

// change replaces one file by what edit makes of a copy of it; nil removes it.
// The actions are what the feed tells of it.
func (x *Index) change(project, filename string, actions []string, edit func(*file) (*file, error)) error {
	name, err := pypi.ParseName(project)
	if err != nil {
		return fmt.Errorf("change %s: %w", filename, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s, _ := x.current(name)
	i := s.find(filename)
	if i < 0 {
		return fmt.Errorf("change %s: %s has no such file", filename, name)
	}
	duplicate := *s.files[i]
	edited, err := edit(&duplicate)
	if err != nil {
		return fmt.Errorf("change %s: %w", filename, err)
	}
	var events []event
	for _, action := range actions {
		events = append(events, event{version: s.files[i].version, action: action})
	}
	delete(x.byPath, s.files[i].path)
	s.files = slices.Clone(s.files)
	if edited == nil {
		s.files = slices.Delete(s.files, i, i+1)
	} else {
		s.files[i] = edited
	}
	x.commit(s, events...)
	return nil
}

// alter changes one project as a whole; edit returns what the feed tells of it.
func (x *Index) alter(project string, edit func(*state) (action string)) error {
	name, err := pypi.ParseName(project)
	if err != nil {
		return fmt.Errorf("change project: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	s, ok := x.current(name)
	if !ok {
		return fmt.Errorf("change project %s: there is none", name)
	}
	for _, f := range s.files {
		delete(x.byPath, f.path)
	}
	var events []event
	if action := edit(&s); action != "" {
		events = append(events, event{action: action})
	}
	x.commit(s, events...)
	return nil
}

// current is the state that holds, and whether the project is there.
func (x *Index) current(name pypi.Name) (state, bool) {
	history := x.projects[name]
	if len(history) == 0 || history[len(history)-1].gone {
		return state{}, false
	}
	return history[len(history)-1], true
}

// commit makes s the state that holds, under the next serial, which is that of
// the last event; those before it have serials of their own.
func (x *Index) commit(s state, events ...event) {
	x.serial += serialStep
	x.now = x.now.Add(time.Hour + 7*time.Microsecond)
	for i, e := range events {
		e.name, e.at, e.serial = s.display, x.now, x.serial-int64(len(events)-1-i)
		x.journal = append(x.journal, e)
	}
	s.serial, s.modified = x.serial, x.now
	s.versions = nil
	for _, f := range s.files {
		x.byPath[f.path] = f
		if !slices.Contains(s.versions, f.version) {
			s.versions = append(s.versions, f.version)
		}
	}
	x.projects[s.name] = append(x.projects[s.name], s)
}

// history is every state of a project, oldest first; nil where it never was.
func (x *Index) history(project string) []state {
	name, err := pypi.ParseName(project)
	if err != nil {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Clone(x.projects[name])
}

// list is the state of every project that the root list names, sorted by name.
func (x *Index) list() []state {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []state
	for name := range x.projects {
		if s, ok := x.current(name); ok && s.status.State != pypi.StatusQuarantined {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b state) int { return strings.Compare(string(a.name), string(b.name)) })
	return out
}

// at is the file that a path names, with whether the path means its metadata.
func (x *Index) at(path string) (f *file, metadata bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if f, ok := x.byPath[path]; ok {
		return f, false
	}
	if stem, ok := strings.CutSuffix(path, ".metadata"); ok {
		if f, ok := x.byPath[stem]; ok && f.metadata != nil {
			return f, true
		}
	}
	return nil, false
}

func (s state) find(filename string) int {
	return slices.IndexFunc(s.files, func(f *file) bool { return f.filename == filename })
}

// offered are the files that the page lists.
func (s state) offered() []*file {
	if s.gone || s.status.State == pypi.StatusQuarantined {
		return nil
	}
	return s.files
}

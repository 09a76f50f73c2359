package upstreamtest

import (
	"fmt"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
)

// AddWheel builds a wheel, adds it with its metadata and returns its file name.
func (x *Index) AddWheel(w Wheel) (string, error) {
	content, err := w.Build()
	if err != nil {
		return "", err
	}
	facts := Facts{Metadata: w.Metadata(), RequiresPython: w.RequiresPython}
	return w.Filename(), x.AddFile(w.Name, w.Filename(), content, facts)
}

// AddSdist builds an sdist, adds it and returns its file name.
func (x *Index) AddSdist(d Sdist) (string, error) {
	content, err := d.Build()
	if err != nil {
		return "", err
	}
	return d.Filename(), x.AddFile(d.Name, d.Filename(), content, Facts{RequiresPython: d.RequiresPython})
}

// AddFile adds a file, and its project where it is new; project is the name as
// its page shows it. The index keeps content, which must not be changed after.
// A file name that the project has already is refused, as PyPI does.
func (x *Index) AddFile(project, filename string, content []byte, facts Facts) error {
	return x.add(project, filename, func(now time.Time) (*file, error) {
		return newFile(filename, content, facts, now)
	})
}

// add adds the file that build makes for an upload time.
func (x *Index) add(project, filename string, build func(time.Time) (*file, error)) error {
	name, err := pypi.ParseName(project)
	if err != nil {
		return fmt.Errorf("add %s: %w", filename, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	f, err := build(x.now)
	if err != nil {
		return fmt.Errorf("add file to %s: %w", name, err)
	}
	var events []event
	s, ok := x.current(name)
	if !ok {
		s = state{name: name, display: project}
		events = append(events, event{action: "create"})
	}
	if s.find(filename) >= 0 {
		return fmt.Errorf("add %s: %s has that file already", filename, name)
	}
	if !slices.Contains(s.versions, f.version) {
		events = append(events, event{version: f.version, action: "new release"})
	}
	s.files = append(slices.Clone(s.files), f)
	x.commit(s, append(events, event{version: f.version, action: addAction(filename)})...)
	return nil
}

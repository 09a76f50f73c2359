package app

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"cheeseboard/storage/pypi"
	"cheeseboard/syncer"
)

// Several indexes share one store, where a project is kept under a name that says for
// which: "numpy@wheels", and "numpy" for the default one. An engine sees its own
// projects only, under their true names. So a rule that changes mixes nothing up: what
// was here of the other index is not seen, and is seen again when the rule is taken
// back.

// space is an index among others.
type space struct {
	pypi.Namespace
	owner func(pypi.Name) string // nil: there is only one index
	// integrity is where attestations stand, as pages name it: absolute and https;
	// "" where this box cannot be named so.
	integrity string
}

// owns tells whether a project belongs to this index.
func (s space) owns(name pypi.Name) bool {
	return s.owner == nil || s.owner(name) == string(s.Namespace)
}

// stillOwns adds to still, where there is one, that the project belongs to this index.
func (s space) stillOwns(name pypi.Name, still func() bool) func() bool {
	if still == nil || s.owner == nil {
		return still
	}
	return func() bool { return s.owns(name) && still() }
}

// foreign says where a project is to be had that belongs to another index; "" where it
// belongs to this one.
func (s space) foreign(name pypi.Name) string {
	if s.owns(name) {
		return ""
	}
	const rule = "a project comes from one index only, by the rules in [[index]], and is never looked for in another"
	if owner := s.owner(name); owner != "" {
		return fmt.Sprintf("%s belongs to the index %s, which stands at /%s/simple/: %s", name, owner, owner, rule)
	}
	return fmt.Sprintf("%s belongs to the default index, which stands at /simple/: %s", name, rule)
}

// spaceCatalogue is the part of a catalogue that belongs to an index.
type spaceCatalogue struct {
	all syncer.Catalogue
	space
}

func (s spaceCatalogue) Version() uint64 { return s.all.Version() }

func (s spaceCatalogue) Project(name pypi.Name) (*pypi.Project, bool, error) {
	p, known, err := s.all.Project(s.In(name))
	if p != nil {
		p.Name = name
	}
	return p, known, err
}

func (s spaceCatalogue) Visit(name pypi.Name, use func(*pypi.Project, uint64, pypi.Files) error) (bool, error) {
	return s.all.Visit(s.In(name), func(p *pypi.Project, generation uint64, files pypi.Files) error {
		p.Name = name
		return use(p, generation, files)
	})
}

func (s spaceCatalogue) Sound(name pypi.Name) (known, addressed bool, err error) {
	return s.all.Sound(s.In(name))
}

func (s spaceCatalogue) File(name pypi.Name, digest pypi.Digest, filename string) (*pypi.File, pypi.Status, bool, error) {
	return s.all.File(s.In(name), digest, filename)
}

func (s spaceCatalogue) Generation(name pypi.Name) (uint64, bool, error) {
	return s.all.Generation(s.In(name))
}

func (s spaceCatalogue) Serial(name pypi.Name) (int64, bool, error) { return s.all.Serial(s.In(name)) }

func (s spaceCatalogue) PutProject(p *pypi.Project, note []byte, lists map[string]time.Time) error {
	kept := *p
	kept.Name = s.In(p.Name)
	return s.all.PutProject(&kept, note, lists)
}

func (s spaceCatalogue) DeleteProject(name pypi.Name) error { return s.all.DeleteProject(s.In(name)) }

func (s spaceCatalogue) Held(name pypi.Name) (map[pypi.Digest]syncer.Item, error) {
	held, err := s.all.Held(s.In(name))
	for d, item := range held {
		item.Name = name
		held[d] = item
	}
	return held, err
}

// Stocked leaves out what belongs to another index by now.
func (s spaceCatalogue) Stocked(yield func(pypi.Name) bool) error {
	return s.all.Stocked(func(kept pypi.Name) bool {
		name, ours := s.Out(kept)
		return !ours || !s.owns(name) || yield(name)
	})
}

// spaceShelf is the part of a shelf that belongs to an index.
type spaceShelf struct {
	syncer.Shelf
	space
}

func (s spaceShelf) Begin(i syncer.Item) (syncer.Incoming, error) {
	i.Name = s.In(i.Name)
	return s.Shelf.Begin(i)
}

func (s spaceShelf) Open(name pypi.Name, d pypi.Digest) (*os.File, syncer.Item, error) {
	f, item, err := s.Shelf.Open(s.In(name), d)
	item.Name = name
	return f, item, err
}

func (s spaceShelf) Pin(name pypi.Name, d pypi.Digest, pinned bool) error {
	return s.Shelf.Pin(s.In(name), d, pinned)
}

// spaceNotes are the notes on an index and its projects.
type spaceNotes struct {
	all syncer.Notes
	space
}

func (s spaceNotes) Note(name pypi.Name) ([]byte, error) { return s.all.Note(s.In(name)) }

func (s spaceNotes) SetNote(name pypi.Name, note []byte, lists map[string]time.Time) error {
	return s.all.SetNote(s.In(name), note, lists)
}

func (s spaceNotes) Listed(list string, yield func(pypi.Name, time.Time) bool) error {
	return s.all.Listed(list, func(kept pypi.Name, at time.Time) bool {
		name, ours := s.Out(kept)
		return !ours || yield(name, at)
	})
}

// unpinStrangers gives up what is held for selections of indexes to which it belonged
// once: it is only cached from now on. It is called for every index that there may
// have been, when the rules have changed.
func (r *rooms) unpinStrangers() error {
	var strangers []pypi.Name
	err := r.Store.Stocked(func(kept pypi.Name) bool {
		if name, of := kept.Apart(); r.config.Owner(name) != string(of) {
			strangers = append(strangers, kept)
		}
		return true
	})
	for _, kept := range strangers {
		held, heldErr := r.Store.Held(kept)
		if heldErr != nil {
			return heldErr
		}
		for _, digest := range slices.SortedFunc(maps.Keys(held), func(a, b pypi.Digest) int { return slices.Compare(a[:], b[:]) }) {
			if !held[digest].Pinned {
				continue
			}
			if err := r.Store.Pin(kept, digest, false); err != nil {
				return err
			}
		}
	}
	return err
}

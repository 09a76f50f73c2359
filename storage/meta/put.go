package meta

import (
	"fmt"
	"slices"

	"cheeseboard/storage/pypi"
)

// Update is the next version of a project's page, and what the follower of the
// upstream notes with it.
type Update struct {
	Project *pypi.Project
	State   *State // nil: what is noted stays
}

// State is what the follower of an upstream notes of a project: see SetState.
type State struct {
	Value []byte
	Marks []Mark
}

// PutProject is PutProjects for one page.
func (d *DB) PutProject(p *pypi.Project) (doomed []pypi.Digest, err error) {
	doomed, errs := d.PutProjects([]Update{{Project: p}})
	if errs != nil {
		err = errs[0]
	}
	return doomed, err
}

// PutProjects replaces projects' pages, also those whose records are damaged, and
// what is noted of them, in as few transactions as possible: each costs a card
// some pages of flash. It drops the references of the projects to blobs that
// their pages do not name, and returns the digests that nothing names any more:
// they are doomed (see Doomed); where there is an error, some may be named still:
// Bury looks. A page that equals the stored one writes nothing.
//
// errs is nil when all of it is durable. Else it holds an error, or nil, for each
// update: what one project is refused for does not keep the others out.
func (d *DB) PutProjects(updates []Update) (doomed []pypi.Digest, errs []error) {
	changes := make([]*change, len(updates))
	for i, u := range updates {
		changes[i] = &change{name: u.Project.Name, need: growing, fn: func(b *batch) error {
			gone, err := d.put(b, u.Project)
			doomed = append(doomed, gone...)
			if err == nil && u.State != nil {
				err = d.note(b, u.Project.Name, *u.State)
			}
			return err
		}}
	}
	d.submit(changes...)
	for i, c := range changes {
		if c.err == nil {
			continue
		}
		if errs == nil {
			errs = make([]error, len(updates))
		}
		errs[i] = fmt.Errorf("store project %s: %w", updates[i].Project.Name, c.err)
	}
	return doomed, errs
}

// put writes what has changed of a page.
func (d *DB) put(b *batch, p *pypi.Project) (doomed []pypi.Digest, err error) {
	old, slots, oldRaw, lost, err := d.stored(b.txn, p.Name) // slots: names alone
	if err != nil {
		return nil, err
	}
	next := head{project: *p, generation: old.generation}
	inline, chunks := arrange(slots, p.Files)
	next.project.Files = inline
	next.implied = implies(append(slices.Clone(chunks), chunk{files: inline}), p.Versions)
	stale, err := d.writeChunks(b, p.Name, old, &next, chunks)
	if err != nil {
		return nil, err
	}
	raw, err := d.packHead(&next)
	if err != nil {
		return nil, err
	}
	listed, _, err := get(b.txn, nameKey(p.Name))
	if err != nil {
		return nil, err
	}
	if serial, err := serialOf(listed); err != nil || serial != p.LastSerial || string(raw) != string(oldRaw) {
		if err := b.set(headKey(p.Name), raw); err != nil {
			return nil, err
		}
		if err := b.touch(p.Name, p.LastSerial); err != nil {
			return nil, err
		}
		if err := b.mourn(p.Name, false); err != nil {
			return nil, err
		}
	}
	for _, c := range append(stale, lost...) {
		if err := b.delete(chunkKey(p.Name, c)); err != nil {
			return nil, err
		}
	}
	return b.dropRefs(p.Name, p.Files)
}

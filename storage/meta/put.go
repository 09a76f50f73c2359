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

// groupBytes is how much of a group goes into one transaction. Badger allows
// twice as much, so that a page of usual size still fits behind it.
const groupBytes = 300 << 10

// PutProject is PutProjects for one page.
func (d *DB) PutProject(p *pypi.Project) (doomed []pypi.Digest, err error) {
	return d.putTogether([]Update{{Project: p}})
}

// PutProjects replaces projects' pages, also those whose records are damaged, and
// what is noted of them, in as few transactions as possible: each costs a card
// some pages of flash. It drops the references of the projects to blobs that
// their pages do not name, and returns the digests that nothing names any more:
// they are doomed (see Doomed). A page that equals the stored one writes nothing.
//
// errs is nil when all of it is durable. Else it holds an error, or nil, for each
// update: what one project is refused for does not keep the others out.
func (d *DB) PutProjects(updates []Update) (doomed []pypi.Digest, errs []error) {
	doomed, err := d.putTogether(updates)
	if err == nil {
		return doomed, nil
	}
	if len(updates) == 1 {
		return doomed, []error{err}
	}
	errs = make([]error, len(updates))
	for i := range updates {
		var more []pypi.Digest
		more, errs[i] = d.putTogether(updates[i : i+1])
		doomed = append(doomed, more...)
	}
	return doomed, errs
}

// putTogether stops at the first error. What is doomed may then be named still:
// Bury looks.
func (d *DB) putTogether(updates []Update) (doomed []pypi.Digest, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &batch{db: d, txn: d.db.NewTransaction(true), need: growing}
	defer func() { b.discard() }()
	for _, u := range updates {
		if b.size > groupBytes {
			if err := b.commit(); err != nil {
				return doomed, err
			}
			b.again()
		}
		err := b.change(u.Project.Name, func(b *batch) error {
			gone, err := d.put(b, u.Project)
			doomed = append(doomed, gone...)
			if err == nil && u.State != nil {
				err = d.note(b, u.Project.Name, *u.State)
			}
			return err
		})
		if err != nil {
			return doomed, fmt.Errorf("store project %s: %w", u.Project.Name, err)
		}
	}
	if err := b.commit(); err != nil {
		return doomed, fmt.Errorf("store %s: %w", described(updates), err)
	}
	return doomed, nil
}

func described(updates []Update) string {
	if len(updates) == 1 {
		return "project " + string(updates[0].Project.Name)
	}
	return fmt.Sprintf("%d projects", len(updates))
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

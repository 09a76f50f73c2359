package storage

import (
	"errors"
	"fmt"
	"slices"

	"cheeseboard/storage/pypi"
)

// Pages change here, and with them what is here of them. A reference goes before its
// bytes: see bury.

// PutProject replaces a page. References to files that it does not name are
// dropped and their bytes removed: whoever calls it has decided that the page is
// to be believed. On nil the page is durable. ErrPrivate, ErrFull.
func (s *Store) PutProject(p *pypi.Project) error {
	if s.Private(p.Name) {
		return fmt.Errorf("store project %s: %w", p.Name, ErrPrivate)
	}
	return s.putProject(p)
}

func (s *Store) putProject(p *pypi.Project) error {
	var doomed []pypi.Digest
	err := s.relieved(func() (err error) {
		doomed, err = s.meta.PutProject(p)
		return full(err)
	})
	if err != nil {
		return err
	}
	return s.bury(doomed)
}

// PutProjects replaces pages and what is noted of them, in as few writes to the
// disk as possible: what PutProject says of one holds for each. errs is nil when
// all of it is durable, and else holds an error, or nil, for each update.
func (s *Store) PutProjects(updates []Update) (errs []error) {
	if slices.ContainsFunc(updates, s.updatesPrivate) {
		return s.putOthers(updates)
	}
	doomed, errs := s.meta.PutProjects(updates)
	for i := range errs {
		errs[i] = full(errs[i])
	}
	if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, ErrFull) }) && s.relieve() == nil {
		again, later := s.meta.PutProjects(updates) // what is stored already costs no write
		doomed, errs = append(doomed, again...), later
	}
	if err := s.bury(doomed); err != nil {
		// The pages are durable. What is left over is removed at the next start.
		s.log.Error("files that nothing names any more cannot be removed", "reason", err)
	}
	return errs
}

func (s *Store) updatesPrivate(u Update) bool { return s.Private(u.Project.Name) }

// putOthers is PutProjects where some are private, and refused.
func (s *Store) putOthers(updates []Update) []error {
	errs := make([]error, len(updates))
	var others []Update
	var places []int
	for i, u := range updates {
		if s.updatesPrivate(u) {
			errs[i] = fmt.Errorf("store project %s: %w", u.Project.Name, ErrPrivate)
			continue
		}
		others, places = append(others, u), append(places, i)
	}
	if len(others) > 0 {
		for i, err := range s.PutProjects(others) {
			errs[places[i]] = err
		}
	}
	return errs
}

// DeleteProject forgets a project and removes its files. ErrPrivate, ErrFull.
func (s *Store) DeleteProject(name pypi.Name) error {
	if s.Private(name) {
		return fmt.Errorf("delete project %s: %w", name, ErrPrivate)
	}
	doomed, err := s.meta.DeleteProject(name)
	if err != nil {
		return full(err)
	}
	return s.bury(doomed)
}

// bury removes the bytes of blobs that nothing names, makes that durable, and
// then forgets that they are to be removed. A cut in between is met by recover.
func (s *Store) bury(doomed []pypi.Digest) error {
	var errs []error
	for _, digest := range doomed {
		if err := s.meta.Bury(digest, func() error { return s.blobs.Remove(digest) }); err != nil {
			errs = append(errs, fmt.Errorf("remove blob %s: %w", digest, err))
		}
	}
	s.recount(doomed...)
	if err := s.blobs.SyncRemoved(doomed...); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return full(errors.Join(append(errs, s.meta.Buried(doomed, s.gone))...))
}

package storage

import (
	"errors"
	"fmt"
	"slices"

	"cheeseboard/storage/meta"
	"cheeseboard/storage/pypi"
)

// What was uploaded can be withdrawn by whoever administers the box: yanked, so that
// only those get it who ask for exactly that version, or deleted. A name of a file
// stands for the same bytes for good, also when it was deleted.

// ErrNotPrivate: the project is none of this box's own.
var ErrNotPrivate = errors.New("nothing was uploaded under that name")

// Yank marks the files of a private project that pick chooses (PEP 592), or takes the
// mark away, and gives their names; those that are so already are among them. Durable
// when it returns. ErrNotPrivate, ErrFull.
func (s *Store) Yank(name pypi.Name, pick func(*pypi.File) bool, y pypi.Yanked) (filenames []string, err error) {
	if !y.Is {
		y.Reason = ""
	}
	s.own.putting.Lock()
	defer s.own.putting.Unlock()
	page, err := s.ownPage(name)
	if err != nil {
		return nil, fmt.Errorf("yank: %w", err)
	}
	changed := false
	for i := range page.Files {
		if f := &page.Files[i]; pick(f) {
			filenames = append(filenames, f.Filename)
			changed = changed || f.Yanked != y
			f.Yanked = y
		}
	}
	if !changed {
		return filenames, nil
	}
	// COMMIT POINT: when PutOwn returns, the page says so.
	err = s.relieved(func() error {
		_, err := s.meta.PutOwn(page, nil, nil)
		return full(err)
	})
	if err != nil {
		return nil, fmt.Errorf("yank: %w", err)
	}
	s.log.Info("private files were yanked, or are not any more", "project", name, "files", filenames, "yanked", y.Is, "reason", y.Reason)
	return filenames, nil
}

// Withdraw deletes the files of a private project that pick chooses, and gives their
// names. None of these can be uploaded again with other bytes. The project stays
// private, and its page stays, also without files. Durable when it returns.
// ErrNotPrivate, ErrFull.
func (s *Store) Withdraw(name pypi.Name, pick func(*pypi.File) bool) (filenames []string, err error) {
	s.own.putting.Lock()
	defer s.own.putting.Unlock()
	page, err := s.ownPage(name)
	if err != nil {
		return nil, fmt.Errorf("delete: %w", err)
	}
	var retired []meta.Retired
	var refs []Ref
	left := page.Files[:0:0]
	for i := range page.Files {
		f := &page.Files[i]
		if !pick(f) {
			left = append(left, *f)
			continue
		}
		digest, _ := f.Hashes.SHA256() // without one nothing is uploaded
		retired = append(retired, meta.Retired{Filename: f.Filename, Digest: digest})
		filenames = append(filenames, f.Filename)
		refs = append(refs, Ref{Name: name, Digest: digest})
		if d, ok := f.CoreMetadata.Hashes.SHA256(); ok {
			refs = append(refs, Ref{Name: name, Digest: d})
		}
	}
	if len(retired) == 0 {
		return nil, nil
	}
	page.Files, page.Versions = left, slices.DeleteFunc(page.Versions, func(v string) bool { return !hasVersion(name, left, v) })
	// COMMIT POINT: when RetireOwn returns, the files are not part of the store.
	doomed, err := s.meta.RetireOwn(page, retired)
	if err != nil {
		return nil, full(err)
	}
	s.log.Info("private files were deleted", "project", name, "files", filenames)
	// What follows the next start does again where it fails.
	if err := errors.Join(s.bury(doomed), s.Forsake(refs...)); err != nil {
		s.log.Error("files that nothing names any more cannot be removed", "reason", err)
	}
	return filenames, nil
}

func hasVersion(name pypi.Name, files []pypi.File, version string) bool {
	return slices.ContainsFunc(files, func(f pypi.File) bool {
		v, _, err := pypi.DistributionVersion(name, f.Filename)
		return err == nil && v.String() == version
	})
}

// ownPage reads the page of a private project.
func (s *Store) ownPage(name pypi.Name) (*pypi.Project, error) {
	if !s.Private(name) {
		return nil, fmt.Errorf("%s: %w", name, ErrNotPrivate)
	}
	page, here, err := s.meta.Project(name)
	if err == nil && !here {
		err = fmt.Errorf("the page of %s is not here", name)
	}
	return page, err
}

// retired finds the deleted file for which clients would take a name, unless it is
// that name and stood for the same bytes.
func (s *Store) retired(name pypi.Name, filename string, digest pypi.Digest) error {
	list, err := s.meta.RetiredOwn(name)
	if err != nil {
		return err
	}
	alike := likeness(name, filename)
	for _, r := range list {
		if likeness(name, r.Filename) == alike && (r.Filename != filename || r.Digest != digest) {
			return &TakenError{Filename: r.Filename, Digest: r.Digest, Deleted: true}
		}
	}
	return nil
}
